//! Servers for the tests; and an API and a source without any network.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[cfg(feature = "test-util")]
pub mod fake;
mod servers;

pub use servers::*;
