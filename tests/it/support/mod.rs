//! Servers and clients for the tests.
//!
//! HTTP servers are wiremock's ([`responding`]); the authorization server is `testing`'s, on loopback or in memory.
//! `sockets` has servers of bytes for what wiremock cannot do. `source`, `fake` and `tenants` are for time: they need
//! no network, and a test moves their clock.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[cfg(feature = "test-util")]
mod authorization;
pub mod endpoint;
#[cfg(feature = "test-util")]
pub mod fake;
#[cfg(all(feature = "store", feature = "test-util"))]
pub mod instances;
pub mod keys;
#[cfg(all(feature = "tracing", feature = "test-util"))]
pub mod log;
pub mod process;
mod servers;
#[cfg(all(feature = "jwt", feature = "reqwest-middleware", feature = "tracing", feature = "test-util"))]
pub mod situations;
pub mod sockets;
#[cfg(feature = "test-util")]
pub mod source;
#[cfg(feature = "test-util")]
pub mod tenants;

#[cfg(feature = "test-util")]
pub use authorization::*;
pub use servers::*;
