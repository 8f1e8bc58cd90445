//! OAuth 2.0 client_credentials tokens on every request: a tower `Layer` and a reqwest middleware that fetch, share,
//! renew and attach them.
//!
//! - [`ClientCredentials`] gets tokens from a token endpoint (RFC 6749 section 4.4); [`TokenSource`] is the plug for
//!   anything else.
//! - [`TokenCache`] shares one token among all callers, renews it beside the traffic, and replaces it when it was
//!   rejected.
//! - [`BearerAuthLayer`] puts it on the requests of a tower service, `BearerAuthMiddleware` on those of a reqwest
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
//!         .origin("https://api.example.com") // where the token may go
//!         .build()?,
//! );
//! let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
//!     .with(BearerAuthMiddleware::new(tokens.clone()))
//!     .build();
//! client.get("https://api.example.com/stats").send().await?.error_for_status()?;
//!
//! // Where no adapter reaches (docs/other-clients.md):
//! let header = tokens.header_for("https://api.example.com/stats").await?;
//! # let _ = header.value();
//! # Ok(())
//! # }
//! ```
//!
//! The README and the pages in `docs/` have a program for each kind of client, and say which layer goes where.
//!
//! # The life of a token
//!
//! ```text
//!         issued                renew_at                  expires_at
//!           │ fresh                │ aging                    │ expired
//!           ├──────────────────────┼──────────────────────────┼───────────────
//! attach    │ now                  │ now                      │ waits for the one token request
//! renewal   │ none                 │ the first request starts │ under way; or held back after a
//!           │                      │ it, beside the traffic   │ failure: an error at once
//! ```
//!
//! Token requests run in tasks of their own: a caller that goes away ends none, and all who wait for one share its
//! outcome. A renewal that fails costs nothing while the old token lives. A lifetime counts from when its token was
//! asked for, on the monotonic clock and on the wall clock, and ends on whichever gets there first; a machine that
//! slept does not take a dead token for a living one. Nobody asks, nothing is fetched (unless a cache is told to [keep
//! warm](TokenCacheBuilder::keep_warm)).
//!
//! A 401 rejects the token that was attached if its Bearer challenge says `invalid_token`, gives no reason, or gives
//! one that does not begin with `insufficient_` (RFC 6750 section 3); so does gRPC's status 16. The first who reports
//! it starts the renewal; everybody else gets the new token without another token request. What the request does then
//! is up to the adapter: the middleware sends it again, once, if its body can be copied; the layer does where
//! [`with_replay`](BearerAuthLayer::with_replay) says how. Where there is no copy, the 401 goes to the caller at once.
//! A new token that is rejected too is final: the caller gets the 401. If no other token can be obtained, the caller
//! gets the first 401 unchanged, and the old token stays in use, since another API may still accept it.
//!
//! # The numbers
//!
//! | what | default | set by |
//! |---|---|---|
//! | renewal before expiry | a quarter of the lifetime, at most 1 h, plus up to a tenth of that (stable for a cache and token); a server's `refresh_in` wins, within 25 to 95 % of the lifetime, and is spread likewise | [`renewal_share`](TokenCacheBuilder::renewal_share) |
//! | a token counts as expired | 5 % of its lifetime, at most 10 s, before it does | [`leeway`](TokenCacheBuilder::leeway) |
//! | lifetime without an `expires_in`, or with one of zero or less | 1 h, or until a JWT's `exp` where that is earlier | [`assumed_lifetime`](TokenCacheBuilder::assumed_lifetime) |
//! | between two token requests for one token, start to start | at least 1 s (quick retries, and a second secret after a refusal, are part of one) | |
//! | one exchange with the token endpoint | 28 s, body included, so that another runtime can take over within a caller's wait | [`timeout`](ClientCredentialsBuilder::timeout) |
//! | a caller's wait for a token | 30 s; the token request goes on for the others. A request that is sent again waits for another token at most 5 s more | [`wait_limit`](TokenCacheBuilder::wait_limit) |
//! | a caller's wait after an API called the token invalid | until another one is asked for, then at most 5 s; after that the old token stays in use | |
//! | quick retries | two, after 50–250 ms and 250 ms–1 s; when the connection fails, and for 500, 502, 503 and 504; for a 200 that is empty, a page or cut off; only where nothing failed before. A `Retry-After` is waited out for at most 5 s in all | |
//! | between attempts after a failure | about 1, 2, 4 … s from the start of the last one, at most 30 s; while a token lives, at most a quarter of what it has left, within 30 s to 5 min | |
//! | … after an OAuth error code in a 4xx, or a 401, 403 or 404 without one | 10, 20, 40, 60 s; after `invalid_client`, and after a 401 or 403 without a code, it ends when the client's [`Secret`] has changed (a file is looked at every second, a function called every 10 s), at most once a minute | |
//! | … after another 4xx without such a code | as after a failure, at most 60 s | |
//! | … after `Retry-After` | what it says, and up to as much again, within 4 to 5 min where it says more; at most half of what a living token has left | |
//! | … while a token lives | whatever the above says, once more 5 s before it expires | |
//! | failures are forgotten | 60 s after the hold-back that followed them | |
//! | failures that are about all tokens of a cache | what three of them get in a row, none of which was failing before, with no success between: then it is one token request a second until one succeeds; a `Retry-After` and an `invalid_client` hold all of them back | |
//! | renewals because of rejections | the first at once; while new tokens are rejected before they were accepted 10 s, 20 s … 5 min apart, for each token and named origin (64 of them; further ones share) | |
//! | a token counts as accepted | when a request that is sent again with it is not rejected; else when its origin rejects none for as long as the interval above, at least a minute where 401s give no reason | |
//! | token requests in flight for a cache | 16, and 16 more that take longer than a second; up to 64 while a line waits longer than 5 s and they succeed no slower than at first | |
//! | tokens in a cache, beside the default one | 1 000; the one that was used least recently goes, unless it is in use. As many again may stay while they are held back | [`most_keys`](TokenCacheBuilder::most_keys) |
//! | a discovered token endpoint is looked up again | after a day; where it fails otherwise than by an OAuth error code, after a minute | |
//! | the previous secret is tried too | for 10 min after a change | |
//! | an assertion can be used | for 1 min; where the server's `Date` is more than 10 s off, a refused one is made once more by that time, which is used from then on if it is accepted | [`lifetime`](ClientAssertion::lifetime) |
//! | size of a token response | 1 MiB | |
//!
//! # Errors
//!
//! [`Error`] says why there is no token, at which endpoint, and what to do where that is known. It is cheap to clone,
//! since all who waited for a token request get the same one; it never contains a secret or a token. [`Error::kind`]
//! tells the kinds apart, [`Error::is_transient`] says whether it may pass without anybody mending it,
//! [`Error::retry_after`] how long to wait, [`Error::response`] and [`Error::status`] what the endpoint answered. Wrong
//! settings are refused where something is built, by the setting's name. Through tower's `BoxError`,
//! reqwest-middleware, reqwest-retry and `tonic::Status`, [`Error::find`] finds it again.
//!
//! No failure is final: when the server is mended, or a [`Secret`] that can change, the next attempt finds out, without
//! a restart.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `reqwest-middleware` | yes | `BearerAuthMiddleware`; enables `reqwest` |
//! | `reqwest` | by the above | the default client for token requests, the layer over `reqwest::Request`, a `reqwest::Client` as [`HttpClient`] |
//! | `rustls`, `native-tls` | | TLS for the default client, unless the application's reqwest 0.13 has it anyway |
//! | `tracing` | yes | log events, and a span for each token request, with the target `client_credentials` |
//! | `jwt` | | signing with keys in PEM: `PrivateKey`, `ClientAuthentication::client_secret_jwt` |
//! | `metrics` | | counters, histograms and a gauge, by the metrics facade |
//! | `tonic` | | a call that has no token fails with a code and the reason: `GrpcStatusLayer`, and `From<Error>` for `tonic::Status` |
//! | `serde` | | `ClientCredentialsBuilder` is `Deserialize`, for the settings in an application's own file, and can be read from the environment |
//! | `test-util` | | `testing`: an authorization server and an API for tests; `Clock`, for tests that move time; enables hyper and tokio's `net` |
//!
//! Without any of them the cache and the tower layer are left. Token requests then go through a client of yours: a
//! tower service in a [`TowerClient`], or an [`HttpClient`].
//!
//! Not for wasm: token requests run as tokio tasks, with threads and clocks that a browser does not have.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attach;
mod bearer_auth;
mod cache;
mod challenge;
mod client_credentials;
mod error;
mod fault;
#[cfg(feature = "tonic")]
mod grpc_status;
mod host;
mod http_client;
#[cfg(feature = "reqwest-middleware")]
mod middleware;
mod origin;
mod report;
mod runtime;
mod sharded;
mod source;
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod testing;
mod token;
mod token_request;
pub mod vonage;

// The public interface.
pub use async_trait::async_trait;

#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub use crate::cache::Clock;
#[cfg(feature = "jwt")]
#[cfg_attr(docsrs, doc(cfg(feature = "jwt")))]
pub use crate::client_credentials::PrivateKey;
#[cfg(feature = "tonic")]
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
pub use crate::grpc_status::{GrpcStatus, GrpcStatusFuture, GrpcStatusLayer};
#[cfg(feature = "reqwest-middleware")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest-middleware")))]
pub use crate::middleware::BearerAuthMiddleware;
pub use crate::{
    attach::{
        BearerHeader, BearerRequest, BearerResponse, NoReplay, Replay, ReplayFn, TokenHeader, TryClone, WithoutToken,
        grpc_unauthenticated, replay_fn,
    },
    bearer_auth::{BearerAuth, BearerAuthLayer, ResponseFuture},
    cache::{CacheStatus, TokenCache, TokenCacheBuilder},
    client_credentials::{
        ClientAssertion, ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, Secret, Signer,
    },
    error::{Error, ErrorKind, ErrorResponse},
    http_client::{Body, HttpClient, IntoHttpClient, TowerClient},
    origin::Origins,
    source::{TokenFn, TokenSource, token_fn},
    token::AccessToken,
    token_request::{TokenRequest, TokenRequestBuilder},
};

#[cfg(all(
    doctest,
    feature = "jwt",
    feature = "reqwest-middleware",
    feature = "serde",
    feature = "test-util",
    feature = "tonic"
))]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/in-production.md")]
#[doc = include_str!("../docs/other-clients.md")]
#[doc = include_str!("../docs/testing.md")]
#[doc = include_str!("../docs/when-it-does-not-work.md")]
#[doc = include_str!("../docs/providers.md")]
struct Documents;
