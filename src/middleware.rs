//! The reqwest-middleware side.

use async_trait::async_trait;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next, Result};

use crate::{
    bearer_auth::{Attach, Destination, Replay, TryClone, decide, rejection, replayed, set},
    cache::TokenCache,
    http_client::IsTokenRequest,
    source::TokenRequest,
};

/// Attaches a bearer token to every request of a `reqwest_middleware::ClientWithMiddleware`, and renews it.
///
/// A request whose token was rejected is sent again, once, if its body can be copied (a stream cannot). A [`TokenRequest`] among the request's
/// extensions (`with_extension`) says which token it wants.
///
/// Add it after reqwest-retry, so that each attempt has the current token.
#[derive(Clone, Debug)]
pub struct BearerAuthMiddleware {
    tokens: TokenCache,
    replay: bool,
}

impl BearerAuthMiddleware {
    /// Attaches the tokens of this cache, or of a cache made for this source alone.
    pub fn new(tokens: impl Into<TokenCache>) -> Self {
        Self { tokens: tokens.into(), replay: true }
    }

    /// Sends every request once; the answer that rejects a token goes to the caller.
    #[must_use]
    pub fn without_replay(self) -> Self {
        Self { replay: false, ..self }
    }
}

#[async_trait]
impl Middleware for BearerAuthMiddleware {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        if extensions.get::<IsTokenRequest>().is_some() {
            return next.run(request, extensions).await;
        }
        let token = match decide(&request, extensions.get::<TokenRequest>(), &self.tokens) {
            Attach::Not => return next.run(request, extensions).await,
            Attach::Refuse(error) => return Err(failed(error)),
            Attach::With(token) => token,
            Attach::Wait(wanted) => self.tokens.clone().wait(wanted).await.map_err(failed)?,
        };
        let copy = if self.replay { TryClone.copy(&request) } else { None };
        let copy = copy.map(|copy| (copy, extensions.clone()));
        let destination = Destination::of(&request);
        set(request.headers_mut(), &token);
        let response = next.clone().run(request, extensions).await?;
        let Some((rejection, origin)) = rejection(&response, &destination) else {
            return Ok(response);
        };
        let (Some(token), Some((mut request, original))) =
            (self.tokens.clone().recover(token, origin, rejection).await, copy)
        else {
            return Ok(response);
        };
        drop(response);
        set(request.headers_mut(), &token);
        *extensions = original;
        let response = next.run(request, extensions).await?;
        replayed(&self.tokens, &token, &destination, &response);
        Ok(response)
    }
}

/// Why a request was not sent. One level above our error, because reqwest-retry hides the error that a middleware returns and shows
/// its causes alone.
#[derive(Debug)]
struct NotSent(crate::Error);

impl std::fmt::Display for NotSent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no access token for the request")
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
