use http::{HeaderMap, StatusCode};
use tower_layer::Layer;

use super::BearerAuth;
use crate::{
    attach::{Bearer, NoReplay, TokenHeader},
    cache::TokenCache,
    error::Error,
};

/// For clients: attaches a bearer token to every outgoing request, and renews it.
///
/// (A server that checks tokens wants another layer, such as tower-http's `AsyncRequireAuthorizationLayer`.)
///
/// Over any `tower::Service` of a client: hyper-util's, `reqwest::Client`, tonic's channel, or layers around them.
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
/// Its error is tower's [`BoxError`](tower_service::Service::Error), as with tower's own layers that fail for reasons
/// of their own (time limits, load shedding): the service's own error unchanged, which `downcast_ref` finds, or ours,
/// which [`Error::find`](crate::Error::find) finds. An error type of ours around the service's would have to be named
/// and matched in every stack, and tonic, `option_layer` and boxed services want a `BoxError` in the end.
///
/// # Where the token goes
///
/// A request gets a token if the origin of its URI, and every `Host` header that it has, is one that the tokens may be
/// sent to. To another origin it is sent without one, and the log (target `client_credentials`) says so once for each
/// origin. It is refused where the token would go over plain `http` to a host that was named with `https`, and where
/// its URI names no authority: such requests, tonic's and kube's for instance, go where the inner service goes, which
/// [`for_origin`](Self::for_origin) says.
///
/// A [`WithoutToken`](crate::WithoutToken) among the request's extensions, a header of that name that the caller set,
/// and a `CONNECT` without a scheme, which speaks to a proxy, each mean: no token. An extended `CONNECT` (RFC 8441) is
/// a request like any other.
///
/// # Which layer goes where
///
/// In a `ServiceBuilder` the first layer is the outermost. Put retry and redirect layers and the time limit of the
/// whole call before this one, and the time limit of one attempt, concurrency limits, load shedding and buffers behind
/// it. What is seen otherwise:
///
/// | behind this layer (nearer to the client) | what is seen |
/// |---|---|
/// | a retry layer | all its attempts carry the same token, also after that was rejected |
/// | a redirect layer | it decides whether the token goes to another host, whose 401 counts as one from the host asked |
/// | a layer that sets `Authorization` | it replaces ours; *before* this layer it stays, and no token is fetched |
/// | a layer that sets scheme and host | this one refuses a request without them, unless it has `for_origin` |
///
/// | before this layer | what is seen |
/// |---|---|
/// | a short time limit | it covers the wait for a first token, and the replay |
/// | another `BearerAuthLayer` | the outermost one attaches; the others leave its header alone |
///
/// A concurrency limit on either side: a request that waits for a token holds its permit. Token requests that go
/// through the same limit find no room where every request waits for them, and end with a time-out: give them a client
/// of their own.
///
/// # Time limits
///
/// A request's own time limit bounds each wait for a token: gRPC's `grpc-timeout`, which stays on the request, and
/// `reqwest::Request::timeout`, of which the client is left what remains. Any other time limit belongs around this
/// layer; one within it does not count the wait.
///
/// # If it does not compile
///
/// The service within must be `Clone`: a request that waits for its token takes the ready one along, and a clone stays.
/// hyper-util's, reqwest's and tonic's clients are. For one that is not, such as tower's `RateLimit` or `BoxService`,
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
/// Put a buffer between (`.buffer(64).rate_limit(5, second)`), and for a box take `BoxCloneSyncService`. An
/// `option_layer` wants one error type, whether the layer is there or not:
/// `.option_layer(layer).map_err(BoxError::from)`. For a body that is not `Clone`, see [`TryClone`](crate::TryClone).
///
/// # A rejected token
///
/// is renewed, and the request sent again where [`with_replay`](Self::with_replay) says how. Without a copy to send
/// again, the response goes to the caller at once, and the renewal runs beside it.
///
/// A 401 rejects the token if its `Bearer` challenge says `invalid_token`, gives no reason, or gives any that does not
/// begin with `insufficient_` (RFC 6750 section 3.1); so does `grpc-status: 16` in the headers of an HTTP/2 response
/// whose content type is gRPC's. [`with_rejection`](Self::with_rejection) adds others. Responses that accept the new
/// token end a streak of rejections; while every new one is rejected too, the next rejection within ten seconds (then
/// twenty, forty … up to five minutes) renews nothing. All origins behind a wildcard, or behind `any_origin`, have one
/// streak, and one name in the log.
///
/// # Which token
///
/// A [`TokenRequest`](crate::TokenRequest) among the request's `http::Extensions` says which one; without it, the token
/// of the cache's handle is meant ([`TokenCache::with_request`]). A redirect layer may drop the extensions, and with
/// them which token: tower-http's does so on the way to another host, and before its version 0.7 on each hop. The token
/// of the handle stays.
///
/// # With tonic
///
/// The requests of a generated client name no authority when they pass the layer; the channel adds its own, also in
/// place of one that `with_origin` set. So the layer is told where the channel goes:
///
/// ```
/// use std::sync::Arc;
///
/// use client_credentials::{BearerAuthLayer, Error, TokenCache};
/// use tonic::{Code, Status, transport::Channel};
/// use tower::{BoxError, Service, ServiceBuilder};
///
/// fn to_status(error: BoxError) -> Status {
///     let Some(ours) = Error::find(&*error) else { return Status::from_error(error) };
///     let code = if ours.is_transient() { Code::Unavailable } else { Code::Unauthenticated };
///     let mut status = Status::new(code, ours.to_string());
///     status.set_source(Arc::new(ours.clone())); // where `Error::find` finds it again
///     status
/// }
///
/// # fn example(tokens: TokenCache, channel: Channel) -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .map_err(to_status) // tonic makes `Code::Unknown` of an error that it does not know
///     .layer(BearerAuthLayer::new(tokens).for_origin("http://orders.internal:50051")?)
///     .service(channel);
/// # fn check<S: Service<http::Request<tonic::body::Body>, Error = Status>>(_: S) {}
/// # check(service);
/// # Ok(())
/// # }
/// ```
///
/// A call whose token the server refuses fails as `Unauthenticated`, and the next one waits for a new token. To send
/// unary calls again, collect their body first, since tonic's is not `Clone`:
///
/// ```
/// # use client_credentials::{BearerAuthLayer, Error, TokenCache, TryClone};
/// # use tonic::{Status, body::Body, transport::Channel};
/// # use tower::{BoxError, ServiceBuilder, util::BoxCloneSyncService};
/// use http_body_util::{BodyExt, Full};
///
/// # fn to_status(error: BoxError) -> Status { Status::from_error(error) }
/// # fn example(tokens: TokenCache, channel: Channel) -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .map_err(to_status)
///     .filter_async(|request: http::Request<Body>| async {
///         let (parts, body) = request.into_parts();
///         let body = Full::new(body.collect().await?.to_bytes());
///         Ok::<_, BoxError>(http::Request::from_parts(parts, body))
///     })
///     .layer(BearerAuthLayer::new(tokens).for_origin("http://orders.internal:50051")?.with_replay(TryClone))
///     .map_request(|request: http::Request<Full<bytes::Bytes>>| request.map(Body::new))
///     .service(channel);
/// // Boxed: the compiler gives up on spawning calls through the types of so many layers.
/// let service = BoxCloneSyncService::new(service);
/// # fn check<S: tower::Service<http::Request<Body>, Error = Status>>(_: S) {}
/// # check(service);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BearerAuthLayer<R = NoReplay> {
    bearer: Bearer,
    replay: R,
}

impl BearerAuthLayer {
    /// Attaches the tokens of this cache. Give every adapter over one source a clone of the same cache: two caches are
    /// two tokens, and two renewals.
    #[must_use]
    pub fn new(tokens: TokenCache) -> Self {
        Self { bearer: Bearer::new(tokens), replay: NoReplay }
    }
}

impl<R> BearerAuthLayer<R> {
    /// Names the one origin that the inner service sends requests to which name none themselves: over tonic's channel,
    /// in kube's `ClientBuilder::with_layer`, over axum's router. Such requests are refused without it.
    ///
    /// A request that names an authority is checked by that one, as everywhere.
    ///
    /// # Errors
    ///
    /// If this is not one of the origins that the tokens may be sent to, or not an origin.
    pub fn for_origin(self, origin: impl AsRef<str>) -> Result<Self, Error> {
        Ok(Self { bearer: self.bearer.for_origin(origin.as_ref())?, ..self })
    }

    /// Sends a request again, once, if its token was rejected and another one could be obtained:
    /// [`TryClone`](crate::TryClone), or [`replay_fn`](crate::replay_fn) for bodies that are copied otherwise.
    ///
    /// Not the default, since it would not compile over every body. A request that cannot be copied is sent once.
    ///
    /// The caller gets the response of the second attempt, whatever it is. If that attempt fails (the service is not
    /// ready for it, or the connection breaks), the caller gets that error: the first response is gone by then, since
    /// its body may have held the connection that was needed.
    #[must_use]
    pub fn with_replay<T>(self, replay: T) -> BearerAuthLayer<T> {
        BearerAuthLayer { bearer: self.bearer, replay }
    }

    /// Sends the token in another header, or behind another word than `Bearer`.
    #[must_use]
    pub fn with_header(self, header: TokenHeader) -> Self {
        Self { bearer: self.bearer.with_header(header), ..self }
    }

    /// Counts a response as a rejection of its token where `rejected` says so, in addition to those that count already:
    /// the 401s that RFC 6750 means, gRPC's refusals, and what an earlier call of this method named.
    ///
    /// For servers with other habits: a 403 for an expired token, or a 401 whose challenge is of another scheme
    /// (`Basic`, `Token`, `OAuth`). Without it those go to the caller, and the token stays in use. However often it
    /// says so, the token endpoint is asked no more often than under a server that returns 401 to everything.
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
        BearerAuth::with(inner, self.bearer.clone(), self.replay.clone())
    }
}
