//! Shares tokens between processes: a [`TokenStore`] keeps what the instances of an application share.

mod contract;
#[cfg(all(feature = "file", unix))]
mod file;
#[cfg(all(feature = "file", not(unix)))]
#[path = "file_elsewhere.rs"]
mod file;
mod key;
#[cfg_attr(not(test), expect(dead_code, reason = "the cache does not share tokens yet"))]
mod names;
#[cfg_attr(not(test), expect(dead_code, reason = "the cache does not share tokens yet"))]
mod seal;

#[cfg(feature = "file")]
#[cfg_attr(docsrs, doc(cfg(feature = "file")))]
pub use self::file::FileStore;
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
