//! Everything that a test can see through the public API and within one process, a module for each capability.

mod alerts;
#[cfg(feature = "test-util")]
mod attaching;
mod auto_traits;
#[cfg(all(feature = "tracing", feature = "test-util"))]
mod by_hand;
#[cfg(feature = "test-util")]
mod cache;
#[cfg(feature = "reqwest")]
mod client_authentication;
#[cfg(feature = "serde")]
mod configuration;
#[cfg(all(feature = "metrics", feature = "test-util"))]
mod dashboard;
#[cfg(feature = "test-util")]
mod deadlines;
#[cfg(all(feature = "reqwest-middleware", feature = "test-util"))]
mod discovery;
#[cfg(all(feature = "jwt", feature = "reqwest-middleware", feature = "tracing", feature = "test-util"))]
mod documents;
#[cfg(feature = "tracing")]
mod echoes;
#[cfg(feature = "reqwest-middleware")]
mod errors;
#[cfg(target_os = "linux")]
mod faketime;
#[cfg(feature = "test-util")]
mod figures;
#[cfg(feature = "test-util")]
mod fleet;
#[cfg(all(feature = "store", feature = "test-util"))]
mod fleet_with_a_store;
#[cfg(all(feature = "tonic", feature = "test-util"))]
mod grpc_status;
#[cfg(all(feature = "reqwest-middleware", feature = "test-util"))]
mod hand_written;
#[cfg(all(feature = "jwt", feature = "reqwest", feature = "tracing", feature = "test-util"))]
mod hints;
#[cfg(all(feature = "reqwest-middleware", feature = "test-util"))]
mod http_cache;
#[cfg(feature = "reqwest-middleware")]
mod http_client;
#[cfg(feature = "test-util")]
mod keys;
#[cfg(feature = "test-util")]
mod lasting;
mod links;
#[cfg(all(feature = "tracing", feature = "test-util"))]
mod log;
mod messages;
#[cfg(all(feature = "metrics", feature = "test-util"))]
mod metrics;
#[cfg(feature = "reqwest-middleware")]
mod middleware;
#[cfg(all(feature = "reqwest-middleware", feature = "tracing", feature = "test-util"))]
mod middleware_tracing;
#[cfg(feature = "test-util")]
mod model;
#[cfg(all(feature = "store", feature = "test-util"))]
mod model_of_a_fleet;
#[cfg(feature = "test-util")]
mod model_of_several;
#[cfg(feature = "test-util")]
mod origins;
#[cfg(all(feature = "jwt", feature = "reqwest"))]
mod private_key;
#[cfg(feature = "reqwest-middleware")]
mod proxies;
#[cfg(feature = "reqwest-middleware")]
mod recipes;
#[cfg(all(feature = "reqwest-middleware", feature = "tracing"))]
mod redaction;
#[cfg(feature = "test-util")]
mod redirects;
#[cfg(feature = "test-util")]
mod rejection;
#[cfg(feature = "test-util")]
mod reqwest_0_12;
#[cfg(feature = "test-util")]
mod runtimes;
#[cfg(all(feature = "metrics", feature = "store", feature = "test-util", feature = "tracing"))]
mod scenarios;
#[cfg(feature = "reqwest-middleware")]
mod secrets;
#[cfg(all(feature = "store", feature = "tracing", feature = "test-util"))]
mod sharing;
#[cfg(feature = "reqwest-middleware")]
mod stacks;
#[cfg(feature = "test-util")]
mod status;
mod support;
#[cfg(feature = "test-util")]
mod suspects;
#[cfg(feature = "test-util")]
mod takeover;
#[cfg(all(feature = "test-util", feature = "reqwest-middleware"))]
mod testing;
#[cfg(feature = "test-util")]
mod threads;
#[cfg(feature = "test-util")]
mod token_header;
#[cfg(feature = "reqwest-middleware")]
mod token_request;
#[cfg(feature = "reqwest")]
mod token_response;
#[cfg(all(feature = "store", feature = "test-util"))]
mod token_store;
#[cfg(all(feature = "reqwest", feature = "tonic"))]
mod tonic;
#[cfg(feature = "test-util")]
mod tower_contract;
#[cfg(feature = "reqwest-middleware")]
mod transport;
#[cfg(feature = "reqwest-middleware")]
mod untouched;
mod vonage;
#[cfg(all(feature = "reqwest-middleware", feature = "tracing", feature = "test-util"))]
mod wrong_order;
