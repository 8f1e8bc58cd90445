//! The programs of `docs/other-clients.md`, which shows these files as they are (but what progenitor generates).

pub mod blocking;
pub mod generated;
pub mod interceptor;
pub mod kubernetes;
pub mod otlp_http;
pub mod progenitor;
pub mod reqwest_012;
