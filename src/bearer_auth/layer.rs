use http::{HeaderMap, StatusCode};
use tower_layer::Layer;

use super::BearerAuth;
use crate::{
    attach::{Bearer, NoReplay, TokenHeader},
    cache::TokenCache,
    error::Error,
};

/// A layer for clients that attaches a bearer token to every outgoing request, and renews it.
///
/// (To check tokens in a server, use another layer, such as tower-http's `AsyncRequireAuthorizationLayer`.)
///
/// It wraps any client that is a `tower::Service`: hyper-util's, `reqwest::Client`, tonic's channel, or layers around
/// them.
///
/// ```no_run
/// # use client_credentials::{BearerAuthLayer, ClientCredentials, TokenCache, TryClone};
/// # fn main() -> Result<(), client_credentials::Error> {
/// # let client = tower::service_fn(|_: http::Request<String>| async {
/// #     Ok::<_, std::io::Error>(http::Response::new(()))
/// # });
/// let source = ClientCredentials::builder("https://auth.example.com/oauth2/token", "abcde", "12345")
///     .origin("https://api.example.com")
///     .build()?;
/// let tokens = TokenCache::from(source); // one for each source; its clones share their tokens
/// let service = tower::ServiceBuilder::new()
///     .layer(BearerAuthLayer::new(tokens).with_replay(TryClone))
///     .service(client);
/// # fn check<S: tower::Service<http::Request<String>, Response = http::Response<()>>>(_: S) {}
/// # check(service);
/// # Ok(())
/// # }
/// ```
///
/// The error is tower's [`BoxError`](tower_service::Service::Error), as in tower's own layers that can fail (timeouts,
/// load shedding). It is either the inner service's error, unchanged, which `downcast_ref` finds, or an error of this
/// crate, which [`Error::find`](crate::Error::find) finds. (A type of our own around the service's error would have to
/// be named and matched in every stack, and tonic, `option_layer` and boxed services need a `BoxError` in the end.)
///
/// # Where the token goes
///
/// A request gets a token if the origin of its URI, and of every `Host` header that it has, is one that the tokens may
/// be sent to. A request to another origin is sent without a token, and the log (target `client_credentials`) says so
/// once for each origin.
///
/// A request is refused if its token would go over plain `http` to a host that was named with `https`. It is also
/// refused if its URI names no authority, unless [`for_origin`](Self::for_origin) says where the inner service sends
/// such requests (tonic's and kube's, for instance).
///
/// Three more kinds of request are sent without a token: one with the extension [`WithoutToken`](crate::WithoutToken),
/// one on which the caller set the token's header (`Authorization`, unless [`with_header`](Self::with_header) names
/// another), and a `CONNECT` without a scheme, which goes to a proxy. An extended `CONNECT` (RFC 8441) is treated like
/// any other request.
///
/// # Which layer goes where
///
/// In a `ServiceBuilder` the first layer is the outermost. Put retry and redirect layers and the time limit of the
/// whole call before this layer. Put the time limit of one attempt, concurrency limits, load shedding and buffers
/// behind it. [In production](crate::docs::in_production#which-layer-goes-where) has the reasons.
///
/// A request's own time limit bounds each wait for a token. It is gRPC's `grpc-timeout`, which is sent unchanged, or
/// `reqwest::Request::timeout`, which is reduced to what remains.
///
/// # If it does not compile
///
/// The client must use `http` 1 or, with the feature `reqwest`, reqwest 0.13. For reqwest 0.12 and other clients, use
/// [`TokenCache::header_for`].
///
/// The inner service must be `Clone`: a request that waits for its token takes the ready service with it, and leaves a
/// clone. The clients of hyper-util, reqwest and tonic are `Clone`. tower's `RateLimit` and `BoxService` are not, and
/// the compiler says so where the stack is used:
///
/// ```compile_fail,E0599
/// # use client_credentials::{BearerAuthLayer, TokenCache};
/// # use tower::ServiceExt;
/// # fn example(tokens: TokenCache, request: http::Request<String>) {
/// # let client = tower::service_fn(|_: http::Request<String>| async {
/// #     Ok::<_, std::io::Error>(http::Response::new(()))
/// # });
/// # let second = std::time::Duration::from_secs(1);
/// let layer = BearerAuthLayer::new(tokens);
/// let service = tower::ServiceBuilder::new().layer(layer).rate_limit(5, second).service(client);
/// let response = service.oneshot(request);
/// # }
/// ```
///
/// Put a buffer before a rate limit (`.buffer(64).rate_limit(5, second)`), and use `BoxCloneSyncService` for a box.
/// `option_layer` needs the same error type with and without the layer: `.option_layer(layer).map_err(BoxError::from)`.
/// For a body that is not `Clone`, see [`TryClone`](crate::TryClone).
///
/// # A rejected token
///
/// A rejected token is renewed, and the request is sent again if [`with_replay`](Self::with_replay) says how to copy
/// it. Without a copy, the caller gets the response at once, and the renewal runs in the background.
/// [How it works](crate::docs::how_it_works#when-an-api-rejects-a-token) says which responses reject a token;
/// [`with_rejection`](Self::with_rejection) adds others.
///
/// # Which token
///
/// A [`TokenRequest`](crate::TokenRequest) in the request's `http::Extensions` selects the token. Without one, the
/// request gets the token of the cache's handle ([`TokenCache::with_request`]). A redirect layer may drop the
/// extensions, and the selection with them: tower-http's does so on the way to another host, and before version 0.7 on
/// every hop. The request then gets the handle's token.
///
/// # With tonic
///
/// The requests of a generated client name no authority when they pass the layer, so tell it with
/// [`for_origin`](Self::for_origin) where the channel goes. [Other clients](crate::docs::other_clients#tonic) has a
/// program, and a stack that sends unary calls again.
#[derive(Clone, Debug)]
pub struct BearerAuthLayer<R = NoReplay> {
    bearer: Bearer,
    replay: R,
}

impl BearerAuthLayer {
    /// Attaches the tokens of this cache.
    ///
    /// Give all adapters for one source clones of the same cache: two caches fetch and renew two tokens.
    #[must_use]
    pub fn new(tokens: TokenCache) -> Self {
        Self { bearer: Bearer::new(tokens), replay: NoReplay }
    }
}

impl<R> BearerAuthLayer<R> {
    /// Names the origin to which the inner service sends requests that name no authority: around tonic's channel, in
    /// kube's `ClientBuilder::with_layer`, around axum's router. Without it, such requests are refused.
    ///
    /// A request that names an authority is checked by that authority, as without `for_origin`.
    ///
    /// # Errors
    ///
    /// If this is not an origin, or not one that the tokens may be sent to.
    pub fn for_origin(self, origin: impl AsRef<str>) -> Result<Self, Error> {
        Ok(Self { bearer: self.bearer.for_origin(origin.as_ref())?, ..self })
    }

    /// Sends a request again, once, if its token was rejected and another one can be obtained. Pass
    /// [`TryClone`](crate::TryClone), or [`replay_fn`](crate::replay_fn) for bodies that are not `Clone`.
    ///
    /// This is not the default, because it does not compile with every body. A request that cannot be copied is sent
    /// once.
    ///
    /// The caller gets the response of the second attempt, whatever it is. If that attempt fails (the service does not
    /// get ready, or the connection breaks), the caller gets its error. The first response is dropped before, since its
    /// body may hold the connection that the second attempt needs.
    #[must_use]
    pub fn with_replay<T>(self, replay: T) -> BearerAuthLayer<T> {
        BearerAuthLayer { bearer: self.bearer, replay }
    }

    /// Sends the token in another header, or with a prefix other than `Bearer`.
    #[must_use]
    pub fn with_header(self, header: TokenHeader) -> Self {
        Self { bearer: self.bearer.with_header(header), ..self }
    }

    /// Treats a response as a rejection of its token if `rejected` returns `true`, in addition to the responses that
    /// are rejections already: the 401s of RFC 6750, gRPC's refusals, and those of an earlier call of this method.
    ///
    /// Use it for servers that reject tokens in another way: with a 403 for an expired token, or with a 401 whose
    /// challenge has another scheme (`Basic`, `Token`, `OAuth`). Otherwise the caller gets such a response, and the
    /// token stays in use. Even a function that always returns `true` causes no more token requests than a server that
    /// returns 401 to every request.
    ///
    /// ```
    /// # use client_credentials::{AccessToken, BearerAuthLayer, TokenCache};
    /// # let tokens = TokenCache::builder(AccessToken::new("abcde12345")?).any_origin().build()?;
    /// let layer = BearerAuthLayer::new(tokens).with_rejection(|status, headers| {
    ///     status == http::StatusCode::FORBIDDEN && headers.get("x-reason").is_some_and(|reason| reason == "expired")
    /// });
    /// # Ok::<(), client_credentials::Error>(())
    /// ```
    #[must_use]
    pub fn with_rejection(self, rejected: impl Fn(StatusCode, &HeaderMap) -> bool + Send + Sync + 'static) -> Self {
        Self { bearer: self.bearer.with_rejection(rejected), ..self }
    }
}

impl<S, R: Clone> Layer<S> for BearerAuthLayer<R> {
    type Service = BearerAuth<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        BearerAuth { inner, bearer: self.bearer.clone(), replay: self.replay.clone() }
    }
}
