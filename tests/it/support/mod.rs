//! Servers and clients for the tests.
//!
//! HTTP servers are wiremock's ([`responding`]); the authorization server is `testing`'s, on loopback or in memory.
//! `sockets` has servers of bytes for what wiremock cannot do. `source`, `fake` and `tenants` are for time: they need
//! no network, and a test moves their clock.
#![allow(dead_code, unused_imports, unreachable_pub)]

mod authorization;
pub mod endpoint;
pub mod fake;
#[cfg(feature = "store")]
pub mod instances;
pub mod keys;
#[cfg(feature = "tracing")]
pub mod log;
pub mod process;
mod servers;
#[cfg(all(feature = "jwt", feature = "reqwest-middleware", feature = "tracing"))]
pub mod situations;
pub mod sockets;
pub mod source;
pub mod tenants;

pub use authorization::*;
pub use servers::*;
