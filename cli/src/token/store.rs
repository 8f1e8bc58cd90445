//! Where tokens are kept from call to call.

use std::{
    future::Future,
    sync::Once,
    time::{Duration, Instant},
};

use client_credentials::{
    async_trait,
    store::{BoxError, Entry, EntryName, FileStore, TokenStore},
};

use crate::streams::say;

const FOLDER: &str = "client-credentials";
/// What is dropped after a shorter time is no longer needed.
const LONG: Duration = Duration::from_millis(200);

/// The user's folder. `None`: it cannot be used, which is said and is no failure.
pub(super) fn open() -> Option<Said> {
    match FileStore::in_user_cache_dir(FOLDER) {
        Ok(store) => Some(Said { store, once: Once::new() }),
        Err(error) => {
            say_not_kept(&error.to_string());
            None
        }
    }
}

fn say_not_kept(why: &str) {
    say(format!("the token is not kept for the next call: {why}"));
}

/// A store whose first failure is said.
pub(super) struct Said {
    store: FileStore,
    once: Once,
}

impl Said {
    async fn noted<T>(&self, operation: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
        let mut hanging = Hanging { once: &self.once, since: Some(Instant::now()) };
        let outcome = operation.await;
        hanging.since = None;
        if let Err(error) = &outcome {
            self.once.call_once(|| say_not_kept(&error.to_string()));
        }
        outcome
    }
}

/// An operation that the cache drops, since it takes too long.
struct Hanging<'a> {
    once: &'a Once,
    /// `None`: it has ended.
    since: Option<Instant>,
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() > LONG) {
            self.once.call_once(|| say_not_kept("its folder is locked, or the disk does not respond"));
        }
    }
}

#[async_trait]
impl TokenStore for Said {
    async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
        self.noted(self.store.load(names)).await
    }

    async fn put(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
        limit: Duration,
    ) -> Result<bool, BoxError> {
        self.noted(self.store.put(name, old, new, life, limit)).await
    }

    async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError> {
        self.noted(self.store.remove(name, old)).await
    }

    fn name(&self) -> &str {
        self.store.name()
    }
}
