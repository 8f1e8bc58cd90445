//! What the cache asks of a store.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use zeroize::Zeroize;

/// Why an operation of a store failed. The cache logs its text: it must not contain a password.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps named entries of bytes, for all instances of an application.
///
/// A store needs to know nothing of tokens. The cache encrypts the entries and gives each a name and a life; a store
/// keeps them, compares them and forgets them. Implement it for the database that you already run.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// Loads entries, in one round trip: for each name, in the order given, its entry, or `None` if there is none or its
    /// life has ended.
    ///
    /// The names of one call belong to one token.
    async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError>;

    /// Stores `new` under `name` for `life`, in one atomic step, if what is stored equals `old` (`None`: nothing is
    /// stored, or its life has ended). Returns whether it was stored. If not, what is stored keeps its bytes and its
    /// life.
    ///
    /// Entries are arbitrary bytes, of which there is at least one, and may be as large as tokens are.
    ///
    /// The cache gives up after `limit`, and drops the future. A write that arrives later must change nothing.
    async fn put(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
        limit: Duration,
    ) -> Result<bool, BoxError>;

    /// Removes the entry of that name, in one atomic step, if it equals `old`. Returns whether it was removed.
    async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError>;

    /// The name of this store in logs and metrics, without a password.
    fn name(&self) -> &str {
        "token store"
    }
}

#[async_trait]
impl<S: TokenStore + ?Sized> TokenStore for Arc<S> {
    async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
        (**self).load(names).await
    }

    async fn put(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
        limit: Duration,
    ) -> Result<bool, BoxError> {
        (**self).put(name, old, new, life, limit).await
    }

    async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError> {
        (**self).remove(name, old).await
    }

    fn name(&self) -> &str {
        (**self).name()
    }
}

/// What is stored under a name. Its bytes are wiped when it is dropped: without encryption, they are a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it was put.
    pub bytes: Vec<u8>,
    /// What is left of its life, by the store's own clock.
    pub life: Duration,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("length", &self.bytes.len()).field("life", &self.life).finish_non_exhaustive()
    }
}

/// The name of an entry: lower-case hexadecimal digits that stand for one token, a dot, and what the entry is.
///
/// The digits are a SHA-256 of what identifies the token (its server, client, scope and so on; never a secret), without
/// a key. Whoever can read the names and guesses all of that can confirm the guess.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryName {
    text: String,
    token: usize,
}

impl EntryName {
    pub(crate) fn new(token: &str, what: &str) -> Self {
        Self { text: format!("{token}.{what}"), token: token.len() }
    }

    /// The whole name, such as `9f86d0….token`. Unique in the store, and without characters that are special in file
    /// names.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the dot, which the entries of one token have in common. For stores that keep related entries
    /// together.
    pub fn token(&self) -> &str {
        &self.text[..self.token]
    }
}

/// Reads a name as [`as_str`](EntryName::as_str) has it.
impl FromStr for EntryName {
    type Err = BoxError;

    fn from_str(name: &str) -> Result<Self, BoxError> {
        let is_digit = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f');
        let is_name = |(token, what): &(&str, &str)| {
            let is_known = token.chars().all(is_digit) && what.chars().all(|c| c.is_ascii_lowercase());
            is_known && (1..=64).contains(&token.len()) && (1..=16).contains(&what.len())
        };
        let name = name.split_once('.').filter(is_name).ok_or("not the name of an entry, such as 9f86d081.token")?;
        Ok(Self::new(name.0, name.1))
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
