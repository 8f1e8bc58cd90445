//! Shares tokens between processes: a [`TokenStore`] keeps what the instances of an application share.

mod contract;
mod key;
#[cfg_attr(not(test), expect(dead_code, reason = "the cache does not share tokens yet"))]
mod names;
#[cfg(feature = "redis")]
mod redis;
#[cfg_attr(not(test), expect(dead_code, reason = "the cache does not share tokens yet"))]
mod seal;

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::{Reconnecting, RedisStore};
pub use self::{
    contract::{BoxError, Entry, EntryName, TokenStore},
    key::EncryptionKey,
};
// For the cache.
#[expect(unused_imports, reason = "the cache does not share tokens yet")]
pub(crate) use self::{
    names::TokenName,
    seal::{Opened, Seal},
};
