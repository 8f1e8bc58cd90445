//! What the tests are made with. Take the first that can say what the test needs:
//!
//! | for | take |
//! |---|---|
//! | HTTP, to a token endpoint or an API | wiremock's server: [`responding`], [`protected_api`], [`received`] |
//! | a fault within a connection, TLS, HTTP/2 frames, endless bodies | [`sockets`], which writes bytes |
//! | time, and what a token endpoint responds | `testing::AuthorizationServer::in_memory()`, `Clock::tokio()` |
//! | time, and many tokens with a response for each | [`tenants`]: a token endpoint that a function speaks for |
//! | time, and what the token source does: hangs, fails, issues what it likes | [`source`] |
//! | time, and what an API responds | [`api`], or `testing::ProtectedApi` where RFC 6750 says it |
//! | several instances over one store | [`instances`]; over one that hangs, fails or forgets, [`stores`] |
//! | a token's life hour by hour | no code: a scenario in `tests/scenarios` |
//!
//! A paused clock is for the fakes in memory alone: beside real sockets it runs ahead of them.
//!
//! The rest: [`endpoint`] makes sources and HTTP clients of every kind, [`keys`] keys and signers, [`log`] has what is
//! logged, [`traces`] finds what came out of a secret, [`process`] runs a test in a process of its own, and
//! [`situations`] makes the crate say all that the pages quote.
#![allow(dead_code, unused_imports, unreachable_pub)]

pub mod api;
pub mod endpoint;
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
#[cfg(feature = "store")]
pub mod stores;
pub mod tenants;
pub mod traces;

pub use servers::*;
