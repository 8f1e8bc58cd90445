//! Everything that a test can see through the public API and within one process, a module for each capability.

mod alerts;
mod attaching;
mod auto_traits;
#[cfg(feature = "tracing")]
mod by_hand;
mod cache;
#[cfg(feature = "reqwest")]
mod client_authentication;
mod configuration;
#[cfg(feature = "metrics")]
mod dashboard;
mod deadlines;
#[cfg(feature = "reqwest-middleware")]
mod discovery;
#[cfg(all(feature = "jwt", feature = "reqwest-middleware", feature = "tracing"))]
mod documents;
#[cfg(feature = "reqwest-middleware")]
mod errors;
mod fairness;
#[cfg(target_os = "linux")]
mod faketime;
#[cfg(feature = "store")]
mod fleet;
#[cfg(feature = "tonic")]
mod grpc_status;
#[cfg(feature = "reqwest-middleware")]
mod hand_written;
#[cfg(feature = "reqwest-middleware")]
mod http_cache;
#[cfg(feature = "reqwest-middleware")]
mod http_client;
mod keys;
mod links;
#[cfg(feature = "tracing")]
mod log;
#[cfg(all(feature = "jwt", feature = "reqwest-middleware", feature = "tracing"))]
mod log_hints;
mod many_keys;
mod messages;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "reqwest-middleware")]
mod middleware;
#[cfg(all(feature = "reqwest-middleware", feature = "tracing"))]
mod middleware_tracing;
mod model;
#[cfg(feature = "store")]
mod model_of_a_fleet;
mod model_of_several;
mod origins;
#[cfg(all(feature = "jwt", feature = "reqwest"))]
mod private_key;
#[cfg(feature = "reqwest-middleware")]
mod proxies;
#[cfg(feature = "reqwest-middleware")]
mod recipes;
#[cfg(all(feature = "reqwest-middleware", feature = "tracing"))]
mod redaction;
mod redirects;
mod rejection;
#[cfg(feature = "tracing")]
mod repeated_secrets;
mod reqwest_0_12;
mod runtimes;
#[cfg(all(feature = "metrics", feature = "store", feature = "tracing"))]
mod scenarios;
#[cfg(feature = "reqwest-middleware")]
mod secrets;
#[cfg(all(feature = "store", feature = "tracing"))]
mod sharing;
#[cfg(feature = "reqwest-middleware")]
mod stacks;
mod status;
mod support;
mod takeover;
#[cfg(feature = "reqwest-middleware")]
mod testing;
mod threads;
mod token_header;
#[cfg(feature = "reqwest-middleware")]
mod token_request;
#[cfg(feature = "reqwest")]
mod token_response;
#[cfg(feature = "store")]
mod token_store;
mod token_valid_for;
#[cfg(all(feature = "reqwest", feature = "tonic"))]
mod tonic;
mod tower_contract;
#[cfg(feature = "reqwest-middleware")]
mod transport;
#[cfg(feature = "reqwest-middleware")]
mod untouched;
mod vonage;
