//! Unusual properties of tokens that are logged once instead of for each token.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::report::log;

/// After this many different scopes, no more are logged.
const MAX_SCOPES: usize = 64;

#[derive(Default)]
pub(super) struct Notices {
    no_lifetime: AtomicBool,
    scopes: Mutex<HashSet<String>>,
}

impl Notices {
    pub(super) fn no_lifetime(&self, source: &str) {
        if !self.no_lifetime.swap(true, Ordering::Relaxed) {
            log::no_lifetime(source);
        }
    }

    /// Logs that another scope was granted, once for each requested scope.
    pub(super) fn other_scope(&self, source: &str, asked: &str, granted: &str) {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if scopes.len() < MAX_SCOPES && scopes.insert(asked.to_owned()) {
            drop(scopes);
            log::other_scope(source, asked, granted);
        }
    }
}

/// Whether one of the requested scopes was not granted.
pub(super) fn lacks_scope(asked: &str, granted: &str) -> bool {
    let granted: HashSet<&str> = split(granted).collect();
    split(asked).any(|scope| !granted.contains(scope))
}

/// Some servers separate scopes with commas.
fn split(scopes: &str) -> impl Iterator<Item = &str> {
    scopes.split([' ', ',']).filter(|scope| !scope.is_empty())
}
