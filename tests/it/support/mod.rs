//! Servers for the tests; and an API and a source without any network.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[cfg(feature = "test-util")]
mod authorization;
pub mod endpoint;
#[cfg(feature = "test-util")]
pub mod fake;
#[cfg(feature = "reqwest-middleware")]
pub mod faults;
#[cfg(all(feature = "store", feature = "test-util"))]
pub mod instances;
pub mod keys;
pub mod process;
mod servers;
#[cfg(all(feature = "jwt", feature = "reqwest-middleware", feature = "tracing", feature = "test-util"))]
pub mod situations;
#[cfg(feature = "test-util")]
pub mod source;
#[cfg(feature = "test-util")]
pub mod tenants;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
pub mod tls;
#[cfg(all(feature = "tracing", feature = "test-util"))]
pub mod told;

#[cfg(feature = "test-util")]
pub use authorization::*;
pub use servers::*;
