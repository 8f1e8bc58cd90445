//! Where tokens come from.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    error::Error, origin::Origins, token::AccessToken, token_identity::TokenIdentity, token_request::TokenRequest,
};

/// Obtains tokens, one new token per call. Implement it to plug in a token source of your own.
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
    /// Obtains one new token. For what `request` does not set, the source's own defaults apply.
    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error>;

    /// Called when an API has rejected `token`, before a new one is requested.
    ///
    /// For sources that keep tokens elsewhere and must not return a dead one again.
    async fn rejected(&self, request: &TokenRequest, token: &AccessToken) {
        let _ = (request, token);
    }

    /// Returns once the client has other credentials than those that the server refused. The cache then ends its
    /// hold-back early.
    ///
    /// Called after an `invalid_client`, and dropped when the hold-back is over. The default never returns.
    async fn credentials_changed(&self) {
        std::future::pending::<()>().await;
    }

    /// What this source requests by default, where a [`TokenRequest`] does not say. Empty unless implemented.
    ///
    /// A request that adds nothing to these defaults is for the same token, so the cache uses one token for both.
    fn defaults(&self) -> TokenRequest {
        TokenRequest::default()
    }

    /// What identifies the token for `request`, for caches that share tokens through a
    #[cfg_attr(feature = "store", doc = "[store](crate::store):")]
    #[cfg_attr(not(feature = "store"), doc = "store:")]
    /// every input that changes the token, and never a secret. `None` unless implemented: the source does not say, and
    /// such a cache needs a `namespace`, beside which `request` and [`defaults`](Self::defaults) identify the token.
    ///
    /// Called for each look into the store, so that it follows what changes, such as a client's id in a file. While it
    /// fails, the cache requests tokens without the store.
    ///
    /// ```
    /// use client_credentials::{
    ///     AccessToken, Error, Identifying, TokenIdentity, TokenRequest, TokenSource, async_trait,
    /// };
    ///
    /// struct Issuer { url: String }
    ///
    /// #[async_trait]
    /// impl TokenSource for Issuer {
    ///     async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
    ///         # let _ = request;
    ///         AccessToken::new("abcde12345")
    ///     }
    ///
    ///     fn identity<'a>(&'a self, request: &'a TokenRequest) -> Option<Identifying<'a>> {
    ///         Some(Box::pin(async move { Ok(TokenIdentity::new().with(&self.url).with_request(request)) }))
    ///     }
    /// }
    /// ```
    fn identity<'a>(&'a self, request: &'a TokenRequest) -> Option<Identifying<'a>> {
        let _ = request;
        None
    }

    /// Where this source's tokens may be sent. `None`: the origins are named where the cache is built.
    fn origins(&self) -> Option<Origins> {
        None
    }

    /// The name of this source in logs and metrics: for [`ClientCredentials`](crate::ClientCredentials) its token
    /// endpoint.
    fn name(&self) -> &str {
        "token source"
    }

    /// How long one call of [`token`](Self::token) may take before the cache ends it. The default is 28 seconds, so
    /// that another runtime can take over within the 30 seconds that a caller waits.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(28)
    }
}

/// What [`TokenSource::identity`] returns: it may have to be read first.
pub type Identifying<'a> = Pin<Box<dyn Future<Output = Result<TokenIdentity, Error>> + Send + 'a>>;

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

    fn identity<'a>(&'a self, request: &'a TokenRequest) -> Option<Identifying<'a>> {
        T::identity(self, request)
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

/// Makes a [`TokenSource`] of a closure.
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

/// A [`TokenSource`] that [`token_fn`] made of a closure.
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
