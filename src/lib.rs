//! OAuth 2.0 client_credentials tokens on every request: a tower `Layer` and a reqwest middleware that fetch, share,
//! renew and attach them.
//!
//! - [`ClientCredentials`] gets tokens from a token endpoint (RFC 6749 section 4.4). Implement [`TokenSource`] for
//!   anything else.
//! - [`TokenCache`] shares one token among all callers, renews it beside the traffic, and replaces it when an API
//!   rejects it.
//! - [`BearerAuthLayer`] attaches it to the requests of a tower service, `BearerAuthMiddleware` to those of a reqwest
//!   client.
//!
#![cfg_attr(feature = "reqwest-middleware", doc = "```no_run")]
#![cfg_attr(not(feature = "reqwest-middleware"), doc = "```ignore")]
//! use client_credentials::{BearerAuthMiddleware, ClientCredentials, TokenCache};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = TokenCache::from(
//!     ClientCredentials::builder("https://auth.example.com/oauth2/token", "abcde", "12345")
//!         .scope("stats")
//!         .origin("https://api.example.com") // where the token may be sent
//!         .build()?,
//! );
//! let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
//!     .with(BearerAuthMiddleware::new(tokens.clone()))
//!     .build();
//! client.get("https://api.example.com/stats").send().await?.error_for_status()?;
//!
//! // Where no adapter reaches (`docs::other_clients`):
//! let header = tokens.header_for("https://api.example.com/stats").await?;
//! # let _ = header.value();
//! # Ok(())
//! # }
//! ```
//!
//! The [guide](docs) has a page for each task:
//!
//! - To start: [authorization servers](docs::providers), [from hand-written token code](docs::from_hand_written_code),
//!   [several APIs and tenants](docs::several_apis_and_tenants), [other clients](docs::other_clients),
//!   [blocking programs](docs::blocking_programs), [recipes](docs::recipes).
//! - To run it: [how it works](docs::how_it_works) (with all numbers), [in production](docs::in_production),
//!   [sharing tokens between instances](docs::sharing_tokens), [when it does not work](docs::when_it_does_not_work).
//! - To build on it: [testing your application](docs::testing), [for authors of SDKs](docs::for_sdk_authors),
//!   [upgrading](docs::upgrading).
//!
//! # Errors
//!
//! [`Error`] says why there is no token, at which endpoint, and what to do if that is known. It never contains a secret
//! or a token. [`Error::kind`] tells failures apart, [`Error::is_transient`] says whether a failure may pass on its
//! own, and [`Error::find`] finds the error again in what your client returns. An invalid setting is an error when
//! something is built, by the setting's name.
//!
//! # Features
//!
//! | feature | what it does | what it adds to the build |
//! |---|---|---|
//! | `reqwest-middleware` (default) | `BearerAuthMiddleware` | `reqwest`, reqwest-middleware |
//! | `reqwest` (with the above) | the default client for token requests, the layer over `reqwest::Request`, a `reqwest::Client` as [`HttpClient`] | reqwest without its default features, and so without TLS |
//! | `rustls`, `native-tls` | TLS for the default client; not needed if the application's reqwest 0.13 enables TLS | reqwest's feature of that name |
//! | `tracing` (default) | log events, and a span for each token request, with the target `client_credentials` | tracing |
//! | `metrics` | counters, histograms and gauges, through the `metrics` facade | metrics |
//! | `jwt` | signing with keys in PEM: `PrivateKey`, `ClientAuthentication::client_secret_jwt` | aws-lc-rs, rustls-pki-types |
//! | `serde` | `ClientCredentialsBuilder` is `Deserialize`, for the settings in an application's own file, and can be read from the environment | nothing |
//! | `tonic` | a call without a token fails with a status code and the reason: `GrpcStatusLayer`, and `From<Error>` for `tonic::Status` | tonic without its transport |
//! | `store`, `file`, `redis` | tokens that are shared between processes: [`store`]; kept in files, or in Redis or Valkey | aws-lc-rs; for `redis`, redis |
//! | `test-util` | `testing`: an authorization server and an API for tests; `Clock`, for tests that move time | hyper, hyper-util, http-body-util, tokio's `net` |
//!
//! Without any of them, the crate consists of the cache and the tower layer. Token requests then go through your own
//! client: a tower service in a [`TowerClient`], or an [`HttpClient`]. wasm is not supported: token requests run as
//! tokio tasks, with threads and clocks that a browser does not have.
#![forbid(unsafe_code)]
// It marks what needs a feature.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attach;
mod bearer_auth;
mod cache;
mod challenge;
mod client_credentials;
// Its programs, when they are tests, need these features.
#[cfg(any(
    all(doc, not(doctest)),
    all(
        doctest,
        feature = "jwt",
        feature = "reqwest-middleware",
        feature = "serde",
        feature = "test-util",
        feature = "tonic"
    )
))]
#[cfg_attr(docsrs, doc(auto_cfg = false))]
pub mod docs;
mod error;
mod fault;
mod fingerprint;
#[cfg(feature = "tonic")]
mod grpc_status;
mod host;
mod http_client;
mod lock;
#[cfg(feature = "reqwest-middleware")]
mod middleware;
mod origin;
mod report;
mod runtime;
mod secret_file;
mod sharded;
mod source;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "test-util")]
pub mod testing;
mod token;
mod token_identity;
mod token_request;
pub mod vonage;

// The public interface.
pub use async_trait::async_trait;

#[cfg(feature = "test-util")]
pub use crate::cache::Clock;
#[cfg(feature = "jwt")]
pub use crate::client_credentials::PrivateKey;
#[cfg(feature = "tonic")]
pub use crate::grpc_status::{GrpcStatus, GrpcStatusFuture, GrpcStatusLayer};
#[cfg(feature = "reqwest-middleware")]
pub use crate::middleware::BearerAuthMiddleware;
pub use crate::{
    attach::{
        BearerHeader, BearerRequest, BearerResponse, NoReplay, Replay, ReplayFn, TokenHeader, TryClone,
        grpc_unauthenticated, replay_fn,
    },
    bearer_auth::{BearerAuth, BearerAuthLayer, ResponseFuture},
    cache::{CacheStatus, ObtainedFrom, TokenCache, TokenCacheBuilder},
    client_credentials::{
        ClientAssertion, ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, Secret, Signer,
    },
    error::{Error, ErrorKind, ErrorResponse},
    http_client::{HttpClient, IntoHttpClient, SecretBody, TowerClient},
    origin::Origins,
    source::{Identifying, TokenFn, TokenSource, token_fn},
    token::AccessToken,
    token_identity::TokenIdentity,
    token_request::{TokenRequest, TokenRequestBuilder, WithoutToken},
};

/// The README's programs are tests.
#[cfg(all(doctest, feature = "reqwest-middleware"))]
#[doc = include_str!("../README.md")]
struct Readme;
