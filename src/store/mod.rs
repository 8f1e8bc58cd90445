//! Shares tokens between processes: a [`TokenStore`] keeps what the instances of an application share.
//!
#![cfg_attr(all(feature = "file", unix), doc = "```no_run")]
#![cfg_attr(not(all(feature = "file", unix)), doc = "```ignore")]
//! use client_credentials::{
//!     ClientCredentials, TokenCache,
//!     store::{EncryptionKey, FileStore},
//! };
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = ClientCredentials::builder("https://auth.example.com/oauth2/token", "abcde", "12345")
//!     .origin("https://api.example.com")
//!     .build()?;
//! let store = FileStore::in_user_cache_dir("my-tool")?;
//! let key = EncryptionKey::from_file("/run/secrets/token-key")?;
//! let tokens = TokenCache::builder(credentials).shared(store, key).build()?;
//! // Or, where the folder is protection enough (it is the user's alone): `.shared_in_the_clear(store)`.
//! # let _ = tokens;
//! # Ok(())
//! # }
//! ```
//!
//! Instances share a token if their caches have the same namespace and everything that identifies the token is the
//! same: for [`ClientCredentials`](crate::ClientCredentials) the token URL or the issuer, the client's id, the way it
//! authenticates, the grant, scope, resource, audience and further parameters, and additional headers.
//!
//! # What instances do
//!
//! - When a token is due, the cache looks into the store first. If another instance has stored a newer token, it takes
//!   that one, with its age: when to renew it, each instance decides by its own settings and jitter.
//! - Else the instance takes a *lease* and requests a token, for all. The lease lasts 5 seconds, and is extended each
//!   second while the request is under way, so that an instance that dies does not hold up the others for longer. The
//!   others wait, and look again every 25 to 250 ms. All instances together send at most one token request per second
//!   for one token; quick retries are part of one.
//! - A failure that the server reports to everybody (429, 5xx) holds back all instances. A failure that may be an
//!   instance's own (its connection, DNS, TLS, a time-out) holds back the others once a second instance meets one of
//!   the same kind. A refused or unreadable secret holds back nobody else: while a secret is replaced, some instances
//!   have the old one.
//! - A rejected token is removed from the store. If another one is stored by then, the instance takes that one, without
//!   a token request.
//! - An instance without a usable token takes any usable token that is stored, also while its own token requests are
//!   held back.
//!
//! # When the store is down
//!
//! The store is an optimisation. No request with a usable token waits for it. An operation that callers wait for ends
//! after 250 ms, one beside the traffic after 2 seconds; before that, connecting may take 2 seconds. (Where a machine
//! is short of processors, they take longer, as everything does: that is not counted as the store's.) If an operation
//! fails, it is tried once more; then the log says that the store is down, and it is left alone for 5 to 60 seconds. In
//! the meantime, each instance requests its own tokens: at once if it has none that is usable, else at a random moment
//! in the first half of what is left of its token, so that a fleet does not turn to the authorization server at once.
//!
//! # What is stored
//!
//! Three entries for each token: the token with everything that the server said about it, the lease and the last
//! failure. They are encrypted, unless the cache is built with
//! [`shared_in_the_clear`](crate::TokenCacheBuilder::shared_in_the_clear); an entry that was moved to another name, or
//! (if encrypted) changed, does not count and is replaced. An entry that is encrypted with a key that this instance
//! does not have, or written by a later version, is left alone; the instance then requests its own tokens.
//!
//! Names are SHA-256 hashes, without a key, so that a rotated key does not split the instances in two. Whoever reads
//! the store and guesses everything that identifies a token can confirm the guess.
//!
//! # Limits
//!
//! - If the server ends the old token as soon as it issues a new one, each other instance meets one 401 per renewal,
//!   and then takes the new token. What cannot be sent again is lost.
//! - Tokens that are bound to a certificate (RFC 8705) or a key can be used only by instances that have it.

mod availability;
mod contract;
#[cfg(all(feature = "file", unix))]
mod file;
#[cfg(all(feature = "file", not(unix)))]
#[path = "file_elsewhere.rs"]
mod file;
mod key;
mod names;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod seal;
mod shared_tokens;
mod stored_failure;
mod stored_lease;
mod stored_token;
mod visit;

#[cfg(feature = "file")]
pub use self::file::FileStore;
#[cfg(feature = "redis")]
pub use self::redis::{Reconnecting, RedisStore};
pub use self::{
    contract::{BoxError, Entry, EntryName, TokenStore},
    key::EncryptionKey,
};
// For the cache.
pub(crate) use self::{
    availability::{Down, LONGEST_OPERATION, Urgency},
    seal::Seal,
    shared_tokens::SharedTokens,
    stored_token::StoredToken,
    visit::Visit,
};
