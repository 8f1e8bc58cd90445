//! What the programs of this crate share.

#[cfg(feature = "reqwest")]
pub mod endpoint;
#[cfg(feature = "reqwest")]
pub mod middleware;
#[cfg(feature = "peers")]
pub mod peers;
pub mod rows;
pub mod send;
