//! What the cache asks of a store.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;

/// Why an operation of a store failed. The cache logs its text: it must not contain a password.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps named entries of bytes, for all instances of an application.
///
/// A store needs to know nothing of tokens. The cache encrypts the entries and gives each a name and a life; a store
/// keeps them, compares them and forgets them. Implement it for the database that you already run.
///
/// - Comparing and writing is one step: of two operations with the same `old`, from any two processes, one succeeds.
/// - All instances see the same: read from the primary, not from a replica.
/// - Lives and limits are measured by the store's clock, such as the database's `now()`. The instances' clocks differ.
/// - An operation may be dropped at any moment. It is then done or not, and leaves nothing locked.
/// - An error means that the store does not work. It is logged, and the cache does without the store for some time.
///   That nothing is stored, or something else, is no error. There is no need to try again: the cache does.
///
/// With the feature `test-util`, `testing::check_token_store` tests all of that.
///
/// # Example
///
/// A table in a database, with the SQL in comments. A map stands for the table here:
///
/// ```
/// use std::{collections::HashMap, time::{Duration, Instant}};
///
/// use client_credentials::{async_trait, store::{BoxError, Entry, EntryName, TokenStore}};
/// use tokio::sync::Mutex;
///
/// #[derive(Default)]
/// struct TableStore {
///     // CREATE TABLE tokens (name varchar(96) PRIMARY KEY, bytes bytea NOT NULL, ends timestamptz NOT NULL)
///     rows: Mutex<HashMap<String, Row>>,
/// }
///
/// struct Row {
///     bytes: Vec<u8>,
///     ends: Instant,
/// }
///
/// #[async_trait]
/// impl TokenStore for TableStore {
///     async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
///         // SELECT name, bytes, ends - now() FROM tokens WHERE name = ANY ($names) AND ends > now()
///         let rows = self.rows.lock().await;
///         let load = |name: &EntryName| {
///             let row = rows.get(name.as_str())?;
///             let life = row.ends.checked_duration_since(Instant::now()).filter(|life| !life.is_zero())?;
///             Some(Entry { bytes: row.bytes.clone(), life })
///         };
///         Ok(names.iter().map(load).collect()) // in the order of the names
///     }
///
///     async fn put(
///         &self,
///         name: &EntryName,
///         old: Option<&[u8]>,
///         new: &[u8],
///         life: Duration,
///         limit: Duration,
///     ) -> Result<bool, BoxError> {
///         // SELECT now() + $limit: the deadline, by the clock of the database. What follows may arrive much later.
///         let deadline = Instant::now() + limit;
///         // With an old value:
///         //   UPDATE tokens SET bytes = $new, ends = now() + $life
///         //   WHERE name = $name AND bytes = $old AND ends > now() AND clock_timestamp() < $deadline
///         // Without:
///         //   INSERT INTO tokens SELECT $name, $new, now() + $life WHERE clock_timestamp() < $deadline
///         //   ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes, ends = excluded.ends
///         //   WHERE tokens.ends <= now()
///         let mut rows = self.rows.lock().await;
///         let now = Instant::now();
///         let stored = rows.get(name.as_str()).filter(|row| row.ends > now).map(|row| &row.bytes[..]);
///         let writes = stored == old && now < deadline;
///         if writes {
///             rows.insert(name.as_str().into(), Row { bytes: new.to_vec(), ends: now + life });
///         }
///         Ok(writes) // one row was changed
///     }
///
///     async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError> {
///         // DELETE FROM tokens WHERE name = $name AND bytes = $old AND ends > now()
///         let mut rows = self.rows.lock().await;
///         let removes = rows.get(name.as_str()).is_some_and(|row| row.ends > Instant::now() && row.bytes == old);
///         if removes {
///             rows.remove(name.as_str());
///         }
///         Ok(removes)
///     }
/// }
///
/// // And now and then, by a job: DELETE FROM tokens WHERE ends < now()
///
/// # #[cfg(feature = "test-util")]
/// # #[tokio::main]
/// # async fn main() {
/// // In a test:
/// client_credentials::testing::check_token_store(TableStore::default()).await.expect("the contract");
/// # }
/// # #[cfg(not(feature = "test-util"))]
/// # fn main() {}
/// ```
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// Loads entries, in one round trip: for each name, in the order given, its entry, or `None` if there is none or
    /// its life has ended.
    ///
    /// The names of one call belong to one token.
    async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError>;

    /// Stores `new` under `name` for `life`, in one atomic step, if what is stored equals `old` (`None`: nothing is
    /// stored, or its life has ended). Returns whether it was stored. If not, what is stored keeps its bytes and its
    /// life.
    ///
    /// Entries are arbitrary bytes, of which there is at least one. A token of common size makes 1 to 4 KiB, and a
    /// server may issue some that are much larger. A store that cannot keep one returns an error.
    ///
    /// The cache gives up after `limit`, and drops the future. A write that arrives later must change nothing: a lease
    /// that nobody holds would hold up all instances, and an entry would live longer than it may.
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

    /// Connects, if that is needed. The cache calls this before an operation, and gives it 2 seconds of its own, so
    /// that a slow connection does not make the operation late. By default, it does nothing.
    async fn connect(&self) -> Result<(), BoxError> {
        Ok(())
    }

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

    async fn connect(&self) -> Result<(), BoxError> {
        (**self).connect().await
    }

    fn name(&self) -> &str {
        (**self).name()
    }
}

/// What is stored under a name.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it was put.
    pub bytes: Vec<u8>,
    /// What is left of its life, by the store's own clock. Never more than it was put for.
    pub life: Duration,
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
