//! The reqwest-middleware side.

use std::{future::Future, pin::Pin};

use http::{Extensions, HeaderMap, StatusCode};
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next, Result};
use tokio::time::Instant;

use crate::{
    attach::{Bearer, Rejected, Request as _, TokenHeader},
    cache::TokenCache,
};

/// Attaches a bearer token to every request of a `reqwest_middleware::ClientWithMiddleware`, and renews it.
///
/// A request whose token was rejected is sent again, once, if its body can be copied. (A stream and a multipart form
/// cannot be copied, so the caller gets the 401 at once.) If the second attempt fails, the caller gets its error. Given
/// to a request by `with_extension`, a [`TokenRequest`](crate::TokenRequest) selects its token, and
/// [`WithoutToken`](crate::WithoutToken) sends it without one.
///
/// An `Authorization` header that the caller set (`RequestBuilder::bearer_auth`) stays. Do not set one with
/// `reqwest::ClientBuilder::default_headers`: the client adds it behind every middleware, and only where the request
/// has none. So it never replaces a token, but it is sent to every origin that gets none.
///
/// # Time limits
///
/// A request's own time limit (`RequestBuilder::timeout`) bounds its wait for a token, and is then reduced to what
/// remains. A time limit of the whole client (`reqwest::ClientBuilder::timeout`) begins when the request is sent, and
/// no middleware can read it. So it does not bound the wait, which ends after
/// [`wait_limit`](crate::TokenCacheBuilder::wait_limit) (30 seconds by default).
///
/// # Among other middlewares
///
/// The middleware that is added first is the outermost.
///
/// Add this one after reqwest-retry, so that each attempt uses the token that is current when it is sent. If it is
/// added before reqwest-retry, all attempts of a request carry the same token. reqwest-tracing works in either order:
/// added before this one, it shows one span for each request; added after it, one for each attempt.
///
/// reqwest itself follows redirects, behind every middleware, and removes the token when host or port changes, also on
/// the way back. A 401 at the end of a redirect rejects the token only if it comes from the original origin and says
/// `invalid_token`. (The log mentions any other, once for each origin.)
///
/// reqwest-retry treats every error of a middleware as fatal. This strategy makes it retry if a token could not be
/// obtained for a reason that may pass:
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
///             Ok(response) => default_on_request_success(response),
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
    /// Attaches the tokens of this cache. Give all adapters for one source clones of the same cache: two caches fetch
    /// and renew two tokens.
    #[must_use]
    pub fn new(tokens: TokenCache) -> Self {
        Self { bearer: Bearer::new(tokens), replay: true }
    }

    /// Sends every request once. If its token is rejected, the caller gets the response at once, and the renewal runs
    /// in the background.
    #[must_use]
    pub fn without_replay(self) -> Self {
        Self { replay: false, ..self }
    }

    /// Treats a response as a rejection of its token if `rejected` returns `true`, in addition to the responses that
    /// are rejections already. See [`BearerAuthLayer::with_rejection`](crate::BearerAuthLayer::with_rejection).
    #[must_use]
    pub fn with_rejection(self, rejected: impl Fn(StatusCode, &HeaderMap) -> bool + Send + Sync + 'static) -> Self {
        Self { bearer: self.bearer.with_rejection(rejected), ..self }
    }

    /// Sends the token in another header, or with a prefix other than `Bearer`.
    #[must_use]
    pub fn with_header(self, header: TokenHeader) -> Self {
        Self { bearer: self.bearer.with_header(header), ..self }
    }
}

/// Written without `async fn`, so that the future holds each argument once.
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
        Box::pin(async move {
            let Some(permitted) = self.bearer.permit(&request, Some(extensions)).map_err(failed)? else {
                return next.run(request, extensions).await;
            };
            let deadline = request.deadline();
            let copy = if self.replay { request.try_clone() } else { None };
            let original = copy.is_some().then(|| extensions.clone());
            let mut attached = permitted.attach(&mut request, Some(extensions));
            if attached.is_none() {
                let obtained = permitted.token(&request, Some(extensions)).await.map_err(failed)?;
                attached = obtained.and_then(|obtained| obtained.attach(&mut request));
            }
            let response = next.clone().run(request, extensions).await?;
            match attached.and_then(|attached| attached.read(&response)) {
                Some(rejected) => {
                    let copy = copy.zip(original);
                    Box::pin(send_again(rejected, response, copy, deadline, extensions, next)).await
                }
                None => Ok(response),
            }
        })
    }
}

/// `copy`: of the request and of its extensions.
async fn send_again(
    rejected: Rejected,
    response: Response,
    copy: Option<(Request, Extensions)>,
    deadline: Option<Instant>,
    extensions: &mut Extensions,
    next: Next<'_>,
) -> Result<Response> {
    let Some((mut request, original)) = copy else {
        rejected.renew();
        return Ok(response);
    };
    let another = rejected.another(original.get().cloned(), deadline);
    let Some(obtained) = another.await.map_err(failed)? else { return Ok(response) };
    // Dropped before the request is sent again: an unread body may hold the connection that it needs.
    drop(response);
    let attached = obtained.attach(&mut request);
    *extensions = original;
    let response = next.run(request, extensions).await?;
    // This response is final, whatever it says.
    let _ = attached.and_then(|attached| attached.read(&response));
    Ok(response)
}

/// Why a request was not sent. It wraps our error, because reqwest-retry hides the error that a middleware returns, and
/// shows only its causes.
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
