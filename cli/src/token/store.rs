//! Where tokens are kept from call to call.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use client_credentials::{
    async_trait,
    store::{BoxError, Entry, EntryName, FileStore, TokenStore},
};

const FOLDER: &str = "client-credentials";

/// The user's folder. `None`: it cannot be used, which is said and is no failure.
pub(super) fn open() -> Option<Said<FileStore>> {
    match FileStore::in_user_cache_dir(FOLDER) {
        Ok(store) => Some(Said { store, once: AtomicBool::new(false) }),
        Err(error) => {
            say(&error.to_string());
            None
        }
    }
}

fn say(why: &str) {
    eprintln!("the token is not kept for the next call: {why}");
}

/// A store whose first failure is said.
pub(super) struct Said<S> {
    store: S,
    once: AtomicBool,
}

impl<S> Said<S> {
    fn noted<T>(&self, outcome: Result<T, BoxError>) -> Result<T, BoxError> {
        if let Err(error) = &outcome
            && !self.once.swap(true, Ordering::Relaxed)
        {
            say(&error.to_string());
        }
        outcome
    }
}

#[async_trait]
impl<S: TokenStore> TokenStore for Said<S> {
    async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
        self.noted(self.store.load(names).await)
    }

    async fn put(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
        limit: Duration,
    ) -> Result<bool, BoxError> {
        self.noted(self.store.put(name, old, new, life, limit).await)
    }

    async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError> {
        self.noted(self.store.remove(name, old).await)
    }

    fn name(&self) -> &str {
        self.store.name()
    }
}
