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
//! - To run it: [in production](docs::in_production), [sharing tokens between instances](docs::sharing_tokens),
//!   [when it does not work](docs::when_it_does_not_work).
//! - To build on it: [testing your application](docs::testing), [for authors of SDKs](docs::for_sdk_authors),
//!   [upgrading](docs::upgrading).
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
//! Token requests run in their own tasks: a caller that goes away ends none, and all callers that wait for one share
//! its result. A failed renewal costs nothing while the old token is usable. A lifetime counts from when the token was
//! requested, on the monotonic clock and on the wall clock, and ends on whichever gets there first, so that a machine
//! that slept does not use an expired token. Without traffic, nothing is fetched (unless the cache is built with
//! [`keep_warm`](TokenCacheBuilder::keep_warm)).
//!
//! A 401 rejects the token that was attached if its Bearer challenge says `invalid_token`, gives no reason, or gives
//! one that does not begin with `insufficient_` (RFC 6750 section 3); so does gRPC's status 16. The first rejection
//! starts the renewal; all other callers get the new token without another token request. Then the adapter may send the
//! request again, once: the middleware does if its body can be copied; the layer does if
//! [`with_replay`](BearerAuthLayer::with_replay) says how. Without a copy, the caller gets the 401 at once. If the new
//! token is rejected, too, the caller gets the second 401. If no other token can be obtained, the caller gets the first
//! 401 unchanged, and the old token stays in use, since another API may still accept it.
//!
//! # The numbers
//!
//! | what | default | set by |
//! |---|---|---|
//! | renewal before expiry | a quarter of the lifetime, at most 1 h, plus up to a tenth of that (stable for a cache and token); a server's `refresh_in` wins, within 25 to 95 % of the lifetime, and is spread likewise | [`renewal_share`](TokenCacheBuilder::renewal_share) |
//! | a token counts as expired | 5 % of its lifetime, at most 10 s, before it expires | [`leeway`](TokenCacheBuilder::leeway) |
//! | lifetime without an `expires_in`, or with one of zero or less | 1 h, or until a JWT's `exp` where that is earlier | [`assumed_lifetime`](TokenCacheBuilder::assumed_lifetime) |
//! | between two token requests for one token, start to start | at least 1 s (quick retries, and a second secret after a refusal, are part of one) | |
//! | one exchange with the token endpoint | 28 s, body included; so another runtime can take over within a caller's wait | [`timeout`](ClientCredentialsBuilder::timeout) |
//! | a caller's wait for a token | 30 s; the token request continues for other callers. A request that is sent again waits for another token at most 5 s more | [`wait_limit`](TokenCacheBuilder::wait_limit) |
//! | a caller's wait after an API called the token invalid | until another one is requested, then at most 5 s; after that the old token stays in use | |
//! | quick retries | two, after 50–250 ms and 250 ms–1 s; when the connection fails, for 500, 502, 503 and 504, and for a 200 that is empty, an HTML page or cut off; only if nothing failed before. A `Retry-After` is waited out for at most 5 s in total | |
//! | between attempts after a failure | about 1, 2, 4 … s from the start of the last one, at most 30 s; while a token is usable, at most a quarter of its remaining time, within 30 s to 5 min | |
//! | … after an OAuth error code in a 4xx, or a 401, 403, 404 or 405 without one | 10, 20, 40, 60 s; after `invalid_client`, and after a 401 or 403 without a code, the hold-back ends when the client's [`Secret`] has changed (a file is checked every second, a function is called every 10 s), at most once a minute | |
//! | … after another 4xx without such a code | as after a failure, at most 60 s | |
//! | … after `Retry-After` | what it says, and up to as much again, within 4 to 5 min if it says more; at most half of the remaining time of a usable token | |
//! | … while a token is usable | in addition, once more 5 s before it expires | |
//! | failures are forgotten | 60 s after the hold-back that followed them | |
//! | failures that are about all tokens of a cache | those that three of them get in a row, none of which was failing before, with no success between: then one token request a second is sent until one succeeds; a `Retry-After` and an `invalid_client` hold all of them back | |
//! | renewals because of rejections | the first at once; while new tokens are rejected before they were accepted, 10 s, 20 s … 5 min apart, for each token and named origin (beyond 64 origins, some count together) | |
//! | a token counts as accepted | when a request that is sent again with it is not rejected; else when its origin rejects no token for as long as the interval above, at least a minute if 401s give no reason | |
//! | token requests in flight for a cache | 16, and 16 more that take longer than a second; up to 64 while callers wait longer than 5 s for their turn and the requests succeed no slower than at first | |
//! | tokens in a cache, beside the default one | 1 000; the least recently used one is removed, unless it is waited for or has a handle. As many again may stay while requests use them or they are held back | [`most_keys`](TokenCacheBuilder::most_keys) |
//! | a discovered token endpoint is looked up again | after a day; after a minute if it fails, except with an OAuth error code | |
//! | the previous secret is tried too | for 10 min after a change | |
//! | an assertion can be used | for 1 min; if the server's `Date` differs by more than 10 s, a refused assertion is made once more with the server's time, which is used from then on if that one is accepted | [`lifetime`](ClientAssertion::lifetime) |
//! | size of a token response | 1 MiB | |
//! | shared tokens: an instance's lease for a token request | 5 s, extended each second while the request is under way; kept until 1 s after it began | |
//! | … a wait for the token request of another instance | looks again every 25 to 250 ms; for at most four fifths of a caller's wait, then the instance requests a token itself | |
//! | … an operation of the store | 250 ms if a caller waits for it, else 2 s; it is tried once more if it fails. Connecting before it: 2 s | |
//! | … a store that is down | left alone for 5 to 10 s, then 10 to 20, 20 to 40, 30 to 60 s | |
//! | … a renewal while the store is down | at a random moment in the first half of what is left of the token | |
//! | … a look into the store while token requests are held back | at most every 250 ms, if there is no usable token | |
//!
//! # Errors
//!
//! [`Error`] says why there is no token, at which endpoint, and what to do if that is known. It is cheap to clone,
//! since all callers that waited for a token request get the same one. It never contains a secret or a token.
//! [`Error::kind`] tells failures apart, [`Error::is_transient`] says whether a failure may pass on its own,
//! [`Error::retry_after`] how long to wait, [`Error::response`] and [`Error::status`] how the endpoint responded. An
//! invalid setting is an error when something is built, by the setting's name. [`Error::find`] finds the error again in
//! tower's `BoxError`, reqwest-middleware's and reqwest-retry's errors and `tonic::Status`.
//!
//! No failure is final: once the server is repaired, or a [`Secret`] that can change has changed, the next attempt
//! succeeds, without a restart.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `reqwest-middleware` | yes | `BearerAuthMiddleware`; enables `reqwest` |
//! | `reqwest` | by the above | the default client for token requests, the layer over `reqwest::Request`, a `reqwest::Client` as [`HttpClient`] |
//! | `rustls`, `native-tls` | | TLS for the default client; not needed if the application's reqwest 0.13 enables TLS |
//! | `tracing` | yes | log events, and a span for each token request, with the target `client_credentials` |
//! | `jwt` | | signing with keys in PEM: `PrivateKey`, `ClientAuthentication::client_secret_jwt` |
//! | `metrics` | | counters, histograms and gauges, through the `metrics` facade |
//! | `tonic` | | a call without a token fails with a status code and the reason: `GrpcStatusLayer`, and `From<Error>` for `tonic::Status` |
//! | `serde` | | `ClientCredentialsBuilder` is `Deserialize`, for the settings in an application's own file, and can be read from the environment |
//! | `store`, `file`, `redis` | | tokens that are shared between processes: [`store`]; kept in files, or in Redis or Valkey |
//! | `test-util` | | `testing`: an authorization server and an API for tests; `Clock`, for tests that move time; enables hyper and tokio's `net` |
//!
//! Without any of them, the crate consists of the cache and the tower layer. Token requests then go through your own
//! client: a tower service in a [`TowerClient`], or an [`HttpClient`].
//!
//! wasm is not supported: token requests run as tokio tasks, with threads and clocks that a browser does not have.
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
        BearerHeader, BearerRequest, BearerResponse, NoReplay, Replay, ReplayFn, TokenHeader, TryClone, WithoutToken,
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
    token_request::{TokenRequest, TokenRequestBuilder},
};

/// The README's programs are tests.
#[cfg(all(doctest, feature = "reqwest-middleware"))]
#[doc = include_str!("../README.md")]
struct Readme;
