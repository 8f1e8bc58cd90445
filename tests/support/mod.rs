//! Servers for the tests; and an API and a source without any network.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[cfg(feature = "test-util")]
mod authorization;
#[cfg(feature = "test-util")]
pub mod fake;
mod servers;

#[cfg(feature = "test-util")]
pub use authorization::*;
pub use servers::*;
