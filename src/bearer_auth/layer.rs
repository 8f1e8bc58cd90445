use tower_layer::Layer;

use super::{BearerAuth, NoReplay};
use crate::cache::TokenCache;

/// For clients: attaches a bearer token to every outgoing request, and renews it.
///
/// (A server that checks tokens wants another layer, such as tower-http's `AsyncRequireAuthorizationLayer`.)
///
/// Goes beneath retry and redirect layers, so that every attempt and every hop is looked at anew, and above time limits of a single attempt. The
/// error of the service becomes a [`BoxError`](tower_service::Service::Error); ours is found in it with
/// [`Error::find`](crate::Error::find).
///
/// ```
/// # use client_credentials::{BearerAuthLayer, ClientCredentials, TryClone};
/// # fn main() -> Result<(), client_credentials::Error> {
/// # let client = tower::service_fn(|_: http::Request<String>| async { Ok::<_, std::io::Error>(http::Response::new(())) });
/// let source = ClientCredentials::builder("https://auth.example.com/oauth2/token", "abcde", "12345")
///     .origin("https://api.example.com")
///     .build()?;
/// let service = tower::ServiceBuilder::new()
///     .layer(BearerAuthLayer::new(source).with_replay(TryClone))
///     .service(client);
/// # let _: &dyn tower::Service<http::Request<String>, Response = http::Response<()>, Error = _, Future = _> = &service;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BearerAuthLayer<R = NoReplay> {
    tokens: TokenCache,
    replay: R,
}

impl BearerAuthLayer {
    /// Attaches the tokens of this cache, or of a cache made for this source alone.
    pub fn new(tokens: impl Into<TokenCache>) -> Self {
        Self { tokens: tokens.into(), replay: NoReplay }
    }
}

impl<R> BearerAuthLayer<R> {
    /// Sends a request again, once, if its token was rejected and another one could be had: [`TryClone`](super::TryClone), or
    /// [`replay_fn`](super::replay_fn) for bodies that are copied otherwise.
    pub fn with_replay<T>(self, replay: T) -> BearerAuthLayer<T> {
        BearerAuthLayer { tokens: self.tokens, replay }
    }
}

impl<S, R: Clone> Layer<S> for BearerAuthLayer<R> {
    type Service = BearerAuth<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        BearerAuth::new(inner, self.tokens.clone(), self.replay.clone())
    }
}
