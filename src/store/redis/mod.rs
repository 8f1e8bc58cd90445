//! The feature `redis`: entries in Redis or Valkey.

mod clock;
mod connection;
mod failure;
mod link;
mod operation;
mod settings;

use std::{fmt, future::Future, slice, sync::Arc, time::Duration};

use ::redis::aio::ConnectionLike;
use async_trait::async_trait;

pub use self::connection::Reconnecting;
use self::{link::Link, operation::Operation};
use super::{BoxError, Entry, EntryName, TokenStore};
use crate::error::Error;

/// The longest that the cache waits for an operation, and what connecting may take.
const LONGEST: Duration = Duration::from_secs(2);

/// Shares tokens through Redis or Valkey: a single server, a primary with replicas, or a cluster.
///
/// ```
/// use client_credentials::store::RedisStore;
///
/// # fn example() -> Result<(), client_credentials::Error> {
/// let store = RedisStore::new("redis://cache.internal/")?;
/// # Ok(())
/// # }
/// # example().expect("a store");
/// ```
///
/// It connects when it is first used. If a connection is broken, or if its server is loading or read-only (such as a
/// primary that was demoted), the operation is tried once more on a new connection before it fails.
///
/// This is a handle that is cheap to clone. It can be used in any number of tokio runtimes: if one ends or stands
/// still, the others make a connection of their own.
///
/// # What it needs
///
/// Redis 6 or later, Valkey, or a service that speaks their protocol and runs Lua scripts (`EVAL`). Every key has a
/// time to live, and any eviction policy will do: an entry that was evicted costs a token request. Loading all entries
/// of a token is one round trip. They have the same hash tag, and so are in one slot of a cluster. Entries are read
/// from the primary, since a replica may lag behind.
///
/// A write has a deadline by the server's clock: if it was delayed in a slow network or a stopped process, it changes
/// nothing when it arrives.
///
/// | setting | default | set by |
/// |---|---|---|
/// | address, user, password, database | | the URL: `redis://user:password@host:6379/0`, `unix:///run/redis.sock` |
/// | protocol | RESP2 | the URL: `?protocol=resp3` |
/// | TLS | off | the URL: `rediss://`, and a feature of the `redis` crate in your Cargo.toml: `tokio-native-tls-comp`, or `tokio-rustls-comp` and an [installed crypto provider](https://docs.rs/rustls/latest/rustls/crypto/struct.CryptoProvider.html#method.install_default) |
/// | Sentinel, passwords that change (IAM), client certificates | | [`connect_with`](Self::connect_with) |
/// | beginning of all keys | `client-credentials` | [`key_prefix`](Self::key_prefix) |
/// | making a connection | at most 2 s | |
///
/// The user needs no more than these permissions (ACL):
///
/// | rule | for |
/// |---|---|
/// | `-@all` | nothing else |
/// | `+eval` `+evalsha` | the scripts |
/// | `+get` `+pttl` `+time` `+set` `+del` | what the scripts do |
/// | `~client-credentials:*` | the keys, by their prefix |
/// | `+cluster\|slots` | a cluster only: where the slots are |
/// | `+select` | a database other than 0 only |
///
/// As one command: `ACL SETUSER tokens on >password -@all +eval +evalsha +get +pttl +time +set +del
/// ~client-credentials:*`.
#[derive(Clone)]
pub struct RedisStore {
    link: Arc<Link>,
    prefix: Arc<str>,
}

impl RedisStore {
    /// Makes a store on one server, by its URL. Does not connect, and so works while the server is down.
    ///
    /// # Errors
    ///
    /// If the URL is not one of Redis, or is `rediss://` without TLS in the `redis` crate. The error does not contain
    /// the URL.
    pub fn new(url: impl AsRef<str>) -> Result<Self, Error> {
        Ok(Self::on(settings::server(url.as_ref())?))
    }

    /// Makes a store on a cluster, by the URLs of some of its nodes, which name the others. Does not connect, and so
    /// works while the cluster is down.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); also if there is no URL, or if the URLs differ in user or password.
    pub fn cluster<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Self, Error> {
        Ok(Self::on(settings::cluster(urls)?))
    }

    /// Makes a store on a connection that the application has already, and that reconnects on its own: a
    /// `ConnectionManager` or a `ClusterConnection` of the `redis` crate.
    ///
    /// The tokio runtime in which it was made must outlive the store. If that is not so, or for another kind of
    /// connection, use [`connect_with`](Self::connect_with).
    pub fn over(connection: impl Reconnecting) -> Self {
        Self::on(settings::connection(connection))
    }

    /// Makes a store whose connections are made by a function: for Sentinel, for passwords that change, for TLS with
    /// certificates of your own.
    ///
    /// It is called when the store is first used, and again each time a connection is broken, at most once at a time,
    /// for at most 2 seconds.
    ///
    /// ```
    /// use client_credentials::store::RedisStore;
    ///
    /// # fn password() -> String { String::new() }
    /// let store = RedisStore::connect_with(|| async {
    ///     let url = format!("redis://tokens:{}@cache.internal/", password());
    ///     redis::Client::open(url)?.get_multiplexed_async_connection().await
    /// });
    /// ```
    pub fn connect_with<F, C, E>(connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<C, E>> + Send + 'static,
        C: ConnectionLike + Clone + Send + Sync + 'static,
        E: Into<BoxError>,
    {
        Self::on(settings::link("Redis".into(), connect))
    }

    /// Sets what the keys begin with, for several applications in one database. A colon follows it.
    ///
    /// # Errors
    ///
    /// If it is empty, or contains white space, a brace or a character that is special in patterns (`*?[]\`).
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Result<Self, Error> {
        self.prefix = settings::key_prefix(prefix.into())?.into();
        Ok(self)
    }

    fn on(link: Link) -> Self {
        Self { link: Arc::new(link), prefix: "client-credentials".into() }
    }

    /// That of the token, then those of its entries.
    fn keys(&self, names: &[EntryName]) -> Vec<String> {
        // What is in braces decides the slot.
        let slot = |name: &EntryName| format!("{}:{{{}}}", self.prefix, name.token());
        let key = |name: &EntryName| slot(name) + &name.as_str()[name.token().len()..];
        names.first().map(slot).into_iter().chain(names.iter().map(key)).collect()
    }
}

#[async_trait]
impl TokenStore for RedisStore {
    async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<operation::Found> = self.link.run(&Operation::load(self.keys(names))).await?;
        Ok(found.into_iter().map(operation::entry).collect())
    }

    async fn put(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
        limit: Duration,
    ) -> Result<bool, BoxError> {
        Ok(self.link.run(&Operation::put(self.keys(slice::from_ref(name)), old, new, life, limit)).await?)
    }

    async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError> {
        Ok(self.link.run(&Operation::remove(self.keys(slice::from_ref(name)), old, LONGEST)).await?)
    }

    async fn connect(&self) -> Result<(), BoxError> {
        self.link.connect().await?;
        Ok(())
    }

    fn name(&self) -> &str {
        "redis"
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", &self.link.server)
            .field("key_prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
