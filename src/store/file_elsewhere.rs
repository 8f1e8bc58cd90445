//! The feature `file` where there are no files of Unix.

use std::{path::Path, time::Duration};

use async_trait::async_trait;

use super::contract::{BoxError, Entry, EntryName, TokenStore};
use crate::error::Error;

/// A [`TokenStore`] in a folder, on Unix. On this system, making one is an error.
#[derive(Clone, Debug)]
pub enum FileStore {}

impl FileStore {
    /// Keeps tokens in a folder, on Unix.
    ///
    /// # Errors
    ///
    /// On this system, always.
    pub fn new(_: impl AsRef<Path>) -> Result<Self, Error> {
        Err(Error::configuration("file_store: tokens in files need Unix"))
    }

    /// Keeps tokens where the user's programs keep what can be fetched again, on Unix.
    ///
    /// # Errors
    ///
    /// On this system, always.
    pub fn in_user_cache_dir(_: &str) -> Result<Self, Error> {
        Self::new("")
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        match *self {}
    }
}

#[async_trait]
impl TokenStore for FileStore {
    async fn load(&self, _: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
        match *self {}
    }

    async fn put(&self, _: &EntryName, _: Option<&[u8]>, _: &[u8], _: Duration, _: Duration) -> Result<bool, BoxError> {
        match *self {}
    }

    async fn remove(&self, _: &EntryName, _: &[u8]) -> Result<bool, BoxError> {
        match *self {}
    }
}
