//! OAuth 2.0 client_credentials tokens on every request: a tower `Layer` and a reqwest middleware that fetch, share, renew and attach them.
//!
//! - [`ClientCredentials`] gets tokens from a token endpoint (RFC 6749 section 4.4); [`TokenSource`] is the plug for anything else.
//! - [`TokenCache`] shares one token among all callers, renews it beside the traffic, and replaces it when it was rejected.
//! - [`BearerAuthLayer`] puts it on the requests of a tower service, `BearerAuthMiddleware` on those of a reqwest client.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bearer_auth;
mod cache;
mod challenge;
mod client_credentials;
mod error;
mod http_client;
mod log;
#[cfg(feature = "reqwest-middleware")]
mod middleware;
mod origin;
mod source;
mod token;
pub mod vonage;

// The public interface.
pub use async_trait::async_trait;

#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub use crate::cache::Clock;
#[cfg(feature = "reqwest-middleware")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest-middleware")))]
pub use crate::middleware::BearerAuthMiddleware;
pub use crate::{
    bearer_auth::{
        BearerAuth, BearerAuthLayer, BearerRequest, BearerResponse, NoReplay, Replay, ReplayFn, ResponseFuture,
        TryClone, replay_fn,
    },
    cache::{TokenCache, TokenCacheBuilder},
    client_credentials::{ClientAuthentication, ClientCredentials, ClientCredentialsBuilder},
    error::{Error, ErrorKind, ErrorResponse},
    http_client::{Body, HttpClient, TowerClient},
    origin::Origins,
    source::{TokenFn, TokenRequest, TokenRequestBuilder, TokenSource, token_fn},
    token::AccessToken,
};

#[cfg(all(doctest, feature = "reqwest-middleware"))]
#[doc = include_str!("../README.md")]
struct Readme;
