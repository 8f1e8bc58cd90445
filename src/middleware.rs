//! The reqwest-middleware side.

use std::{
    future::{Future, ready},
    pin::Pin,
};

use http::{Extensions, HeaderMap, StatusCode};
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next, Result};

use crate::{
    attach::{Attach, Attached, Bearer, Rejected, Replay, TryClone},
    cache::TokenCache,
    http_client::IsTokenRequest,
    source::TokenRequest,
};

/// Attaches a bearer token to every request of a `reqwest_middleware::ClientWithMiddleware`, and renews it.
///
/// A request whose token was rejected is sent again, once, if its body can be copied (a stream and a multipart form cannot, and are sent once). A
/// [`TokenRequest`] among the request's extensions (`with_extension`) says which token it wants. A header that the caller set
/// (`RequestBuilder::bearer_auth`) stays.
///
/// # Among other middlewares
///
/// What is added first is outermost. Add this one behind reqwest-retry, so that each attempt has the token of its moment; before it, all attempts
/// of a request carry the same token. With reqwest-tracing either order will do: outside of this one it shows one span for each request, inside one for each
/// time that it is sent. Redirects are followed by reqwest itself, beneath every middleware: it drops the token where host or port change, and a 401 from there does
/// not count as a rejection (the log says so, once for each origin).
///
/// reqwest-retry takes every error of a middleware for fatal. To have it try again when a token could not be had for a reason that may pass:
///
/// ```
/// use client_credentials::{AccessToken, BearerAuthMiddleware, Error, TokenCache};
/// use reqwest_retry::{
///     RetryTransientMiddleware, Retryable, RetryableStrategy, default_on_request_failure, default_on_request_success,
///     policies::ExponentialBackoff,
/// };
///
/// struct AlsoTokens;
///
/// impl RetryableStrategy for AlsoTokens {
///     fn handle(&self, result: &reqwest_middleware::Result<reqwest::Response>) -> Option<Retryable> {
///         match result {
///             Ok(answer) => default_on_request_success(answer),
///             Err(error) => match Error::find(error) {
///                 Some(ours) if ours.is_transient() => Some(Retryable::Transient),
///                 Some(_) => Some(Retryable::Fatal),
///                 None => default_on_request_failure(error),
///             },
///         }
///     }
/// }
///
/// # let tokens = TokenCache::builder(AccessToken::new("abcde12345")?).any_origin().build()?;
/// let policy = ExponentialBackoff::builder().build_with_max_retries(3);
/// let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
///     .with(RetryTransientMiddleware::new_with_policy_and_strategy(policy, AlsoTokens))
///     .with(BearerAuthMiddleware::new(tokens))
///     .build();
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BearerAuthMiddleware {
    bearer: Bearer,
    replay: bool,
}

impl BearerAuthMiddleware {
    /// Attaches the tokens of this cache, or of a cache made for this source alone.
    pub fn new(tokens: impl Into<TokenCache>) -> Self {
        Self { bearer: Bearer::new(tokens.into()), replay: true }
    }

    /// Sends every request once; the answer that rejects a token goes to the caller.
    #[must_use]
    pub fn without_replay(self) -> Self {
        Self { replay: false, ..self }
    }

    /// Counts an answer as a rejection of its token where `rejected` says so, beside the 401s that RFC 6750 means. As
    /// [`BearerAuthLayer::with_rejection`](crate::BearerAuthLayer::with_rejection).
    #[must_use]
    pub fn with_rejection(self, rejected: impl Fn(StatusCode, &HeaderMap) -> bool + Send + Sync + 'static) -> Self {
        Self { bearer: self.bearer.with_rejection(rejected), ..self }
    }
}

/// Written out, and no `async fn`: the future of a request that finds its token at hand then has room for nothing but what it needs.
impl Middleware for BearerAuthMiddleware {
    fn handle<'a, 'b, 'c, 'future>(
        &'a self,
        mut request: Request,
        extensions: &'b mut Extensions,
        next: Next<'c>,
    ) -> Pin<Box<dyn Future<Output = Result<Response>> + Send + 'future>>
    where
        'a: 'future,
        'b: 'future,
        'c: 'future,
        Self: 'future,
    {
        if extensions.get::<IsTokenRequest>().is_some() {
            return next.run(request, extensions);
        }
        let spare = |request: &Request| self.spare(request, extensions);
        match self.bearer.attach(&mut request, extensions.get::<TokenRequest>(), spare) {
            Attach::Not => next.run(request, extensions),
            Attach::Refuse(error) => Box::pin(ready(Err(failed(error)))),
            Attach::With(attached, spare) => Box::pin(send(request, attached, spare, extensions, next)),
            Attach::Wait(pending) => Box::pin(async move {
                let attached = pending.token().await.map_err(failed)?;
                let spare = self.spare(&request, extensions);
                if !attached.set(&mut request) {
                    return next.run(request, extensions).await;
                }
                send(request, attached, spare, extensions, next).await
            }),
        }
    }
}

impl BearerAuthMiddleware {
    fn spare(&self, request: &Request, extensions: &Extensions) -> Option<Spare> {
        let request = if self.replay { TryClone.copy(request)? } else { return None };
        Some(Spare { request, extensions: extensions.clone() })
    }
}

/// What can be sent again.
struct Spare {
    request: Request,
    extensions: Extensions,
}

#[expect(clippy::manual_async_fn, reason = "the future of an `async fn` has room for each argument twice")]
fn send<'future>(
    request: Request,
    attached: Attached,
    spare: Option<Spare>,
    extensions: &'future mut Extensions,
    next: Next<'future>,
) -> impl Future<Output = Result<Response>> + Send + 'future {
    async move {
        let response = next.clone().run(request, extensions).await?;
        match attached.read(&response) {
            Some(rejected) => Box::pin(send_again(attached, rejected, response, spare, extensions, next)).await,
            None => Ok(response),
        }
    }
}

async fn send_again(
    attached: Attached,
    rejected: Rejected,
    response: Response,
    spare: Option<Spare>,
    extensions: &mut Extensions,
    next: Next<'_>,
) -> Result<Response> {
    let recovered = attached.recover(rejected, spare.is_some()).await;
    let (Some(attached), Some(Spare { mut request, extensions: original })) = (recovered, spare) else {
        return Ok(response);
    };
    // Before it is sent again: an unread body may hold the connection that it needs.
    drop(response);
    // There was room for the other one.
    let _ = attached.set(&mut request);
    *extensions = original;
    let response = next.run(request, extensions).await?;
    attached.replayed(&response);
    Ok(response)
}

/// Why a request was not sent. One level above our error, because reqwest-retry hides the error that a middleware returns and shows
/// its causes alone.
#[derive(Debug)]
struct NotSent(crate::Error);

impl std::fmt::Display for NotSent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "request not sent: {}", self.0)
    }
}

impl std::error::Error for NotSent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn failed(error: crate::Error) -> Error {
    Error::middleware(NotSent(error))
}
