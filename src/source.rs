//! Where tokens come from.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{error::Error, origin::Origins, token::AccessToken, token_request::TokenRequest};

/// Asks for one new token. The plug of this crate.
///
/// A source does not cache, share, retry or renew: [`TokenCache`](crate::TokenCache) does that for every source.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` is not a token source",
    label = "not a `TokenSource`",
    note = "a closure becomes one by `token_fn(..)`, a fixed token by `AccessToken::new(..)?`",
    note = "for a type of your own, write `#[async_trait] impl TokenSource for ..`"
)]
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// Asks for one new token. What `request` does not set is the source's own default.
    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error>;

    /// Is told that an API rejected `token`, before a new one is asked for.
    ///
    /// For sources that keep tokens elsewhere and must not hand out a dead one again.
    async fn rejected(&self, request: &TokenRequest, token: &AccessToken) {
        let _ = (request, token);
    }

    /// Returns when the client can prove itself by something else than what the server refused, so that the cache need
    /// not wait out its hold-back.
    ///
    /// Asked after an `invalid_client`, and dropped when the hold-back is over. The default never returns.
    async fn credentials_changed(&self) {
        std::future::pending::<()>().await;
    }

    /// What this source asks for where a request leaves it open; by default nothing that is known here.
    ///
    /// A request that adds nothing to it is for the same token, so the cache uses its own token for both.
    fn defaults(&self) -> TokenRequest {
        TokenRequest::default()
    }

    /// Where this source's tokens may be sent. `None`: whoever builds the cache says so.
    fn origins(&self) -> Option<Origins> {
        None
    }

    /// How logs and metrics call this source: for [`ClientCredentials`](crate::ClientCredentials) its token endpoint.
    fn name(&self) -> &str {
        "token source"
    }

    /// How long one call of [`token`](Self::token) may take before the cache ends it; 28 seconds, so that another
    /// runtime can take over within the 30 seconds that a caller waits.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(28)
    }
}

#[async_trait]
impl<T: TokenSource + ?Sized> TokenSource for Arc<T> {
    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        T::token(self, request).await
    }

    async fn rejected(&self, request: &TokenRequest, token: &AccessToken) {
        T::rejected(self, request, token).await;
    }

    async fn credentials_changed(&self) {
        T::credentials_changed(self).await;
    }

    fn defaults(&self) -> TokenRequest {
        T::defaults(self)
    }

    fn origins(&self) -> Option<Origins> {
        T::origins(self)
    }

    fn name(&self) -> &str {
        T::name(self)
    }

    fn time_limit(&self) -> Duration {
        T::time_limit(self)
    }
}

/// A fixed token.
#[async_trait]
impl TokenSource for AccessToken {
    async fn token(&self, _request: &TokenRequest) -> Result<AccessToken, Error> {
        Ok(self.clone())
    }
}

/// A source made of a closure.
///
/// ```
/// use client_credentials::{token_fn, AccessToken, TokenCache};
///
/// let source = token_fn(|_request| async { AccessToken::new("abcde12345") });
/// let tokens = TokenCache::builder(source).origin("https://api.example.com").build()?;
/// # Ok::<(), client_credentials::Error>(())
/// ```
pub fn token_fn<F, Fut>(function: F) -> TokenFn<F>
where
    F: Fn(TokenRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<AccessToken, Error>> + Send,
{
    TokenFn { function }
}

/// A [`TokenSource`] made of a closure, by [`token_fn`].
#[derive(Clone)]
pub struct TokenFn<F> {
    function: F,
}

#[async_trait]
impl<F, Fut> TokenSource for TokenFn<F>
where
    F: Fn(TokenRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<AccessToken, Error>> + Send,
{
    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        (self.function)(request.clone()).await
    }
}

impl<F> fmt::Debug for TokenFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFn").finish_non_exhaustive()
    }
}
