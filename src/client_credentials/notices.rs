//! Oddities of a server's tokens that are logged once, rather than for each token.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::report::log;

/// Further scopes that are not granted are not logged.
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

    /// Logs it once for each scope that is requested.
    pub(super) fn other_scope(&self, source: &str, asked: &str, granted: &str) {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if scopes.len() < MAX_SCOPES && scopes.insert(asked.to_owned()) {
            drop(scopes);
            log::other_scope(source, asked, granted);
        }
    }
}

/// Whether a part of what was requested is missing.
pub(super) fn lacks_scope(asked: &str, granted: &str) -> bool {
    let granted: HashSet<&str> = split(granted).collect();
    split(asked).any(|scope| !granted.contains(scope))
}

/// Some servers separate scopes by commas.
fn split(scopes: &str) -> impl Iterator<Item = &str> {
    scopes.split([' ', ',']).filter(|scope| !scope.is_empty())
}
