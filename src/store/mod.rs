//! Shares tokens between processes: a [`TokenStore`] keeps what the instances of an application share.

mod contract;

pub use self::contract::{BoxError, Entry, EntryName, TokenStore};
