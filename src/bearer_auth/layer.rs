use http::{HeaderMap, StatusCode};
use tower_layer::Layer;

use super::BearerAuth;
use crate::{
    attach::{Bearer, NoReplay},
    cache::TokenCache,
};

/// For clients: attaches a bearer token to every outgoing request, and renews it.
///
/// (A server that checks tokens wants another layer, such as tower-http's `AsyncRequireAuthorizationLayer`.)
///
/// Over any `tower::Service` of a client: hyper-util's, `reqwest::Client`, tonic's channel, or layers around them. Its
/// error is a [`BoxError`](tower_service::Service::Error): the service's own as it was, or ours, which
/// [`Error::find`](crate::Error::find) finds.
///
/// ```no_run
/// # use client_credentials::{BearerAuthLayer, ClientCredentials, TryClone};
/// # fn main() -> Result<(), client_credentials::Error> {
/// # type Response = http::Response<()>;
/// # let client = tower::service_fn(|_: http::Request<String>| async { Ok::<_, std::io::Error>(Response::default()) });
/// let source = ClientCredentials::builder("https://auth.example.com/oauth2/token", "abcde", "12345")
///     .origin("https://api.example.com")
///     .build()?;
/// let service = tower::ServiceBuilder::new()
///     .layer(BearerAuthLayer::new(source).with_replay(TryClone))
///     .service(client);
/// # let _: &dyn tower::Service<http::Request<String>, Response = Response, Error = _, Future = _> = &service;
/// # Ok(())
/// # }
/// ```
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
/// | a redirect layer | what becomes of the token at another host is up to that layer, and no other is attached there; a 401 from there counts as one from the host that was asked |
/// | a layer that sets an `Authorization` header | it replaces ours. *Before* this layer such a header stays, and no token is fetched (a `debug` event says so) |
/// | a layer that sets scheme and host | this one sees a request without an authority, and attaches a token to all of them |
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
/// A request that goes without a token because of its origin, and why, is in the log (target `client_credentials`),
/// once for each origin. A `CONNECT` request goes as it is: it speaks to a proxy.
///
/// # If it does not compile
///
/// The client must be one of `http` 1 or, with the feature `reqwest`, of reqwest 0.13. For reqwest 0.12 and others
/// there is [`TokenCache::header_for`].
///
/// The service within must be `Clone`: a request that waits for its token takes the ready one along, and a clone stays.
/// hyper-util's, reqwest's and tonic's clients are. For one that is not, such as tower's `RateLimit` or `BoxService`,
/// the compiler says so:
///
/// ```compile_fail,E0599
/// # use client_credentials::{BearerAuthLayer, TokenCache};
/// # fn example(tokens: TokenCache) {
/// # type Response = http::Response<()>;
/// # let client = tower::service_fn(|_: http::Request<String>| async { Ok::<_, std::io::Error>(Response::default()) });
/// # let second = std::time::Duration::from_secs(1);
/// tower::ServiceBuilder::new().layer(BearerAuthLayer::new(tokens)).rate_limit(5, second).service(client);
/// # }
/// ```
///
/// ```text
/// error[E0599]: the method `service` exists for struct `ServiceBuilder<...>`, but its trait bounds were not satisfied
///   = note: the following trait bounds were not satisfied:
///           `RateLimit<_>: Clone`
/// ```
///
/// Put a buffer between (`.buffer(64).rate_limit(5, second)`), and for a box take `BoxCloneSyncService`. An
/// `option_layer` wants one error type, whether the layer is there or not:
/// `.option_layer(layer).map_err(BoxError::from)`. For a body that is not `Clone`, see [`TryClone`](crate::TryClone).
///
/// # A rejected token
///
/// is renewed, and the request sent again where [`with_replay`](Self::with_replay) says how. Without it, the answer
/// goes to the caller when the renewal has ended, so that the caller's next request has the new token. Nothing but a
/// replay shows that a new token was accepted where the old one was not; without one, the next rejection within ten
/// seconds (then twenty, forty … up to five minutes) renews nothing.
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
/// tonic makes `Code::Unknown` of an error that it does not know. A `map_err` around the layer says it better:
///
/// ```
/// use std::sync::Arc;
///
/// use client_credentials::{BearerAuthLayer, Error, TokenCache, grpc_unauthenticated};
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
/// # fn example(tokens: TokenCache, channel: Channel) {
/// let service = ServiceBuilder::new()
///     .map_err(to_status)
///     .layer(BearerAuthLayer::new(tokens).with_rejection(grpc_unauthenticated))
///     .service(channel);
/// # fn check<S: Service<http::Request<tonic::body::Body>, Error = Status>>(_: S) {}
/// # check(service);
/// # }
/// ```
///
/// A gRPC server refuses a token with `grpc-status: 16` and no 401, which counts where
/// [`grpc_unauthenticated`](crate::grpc_unauthenticated) says so: the call fails as `Unauthenticated`, and the next one
/// has a new token. To send unary calls again, collect their body first, since tonic's is not `Clone`:
///
/// ```
/// # use client_credentials::{BearerAuthLayer, TokenCache, TryClone, grpc_unauthenticated};
/// # use tonic::{Status, body::Body, transport::Channel};
/// # use tower::{BoxError, ServiceBuilder, util::BoxCloneSyncService};
/// use http_body_util::{BodyExt, Full};
///
/// # fn to_status(error: BoxError) -> Status { Status::from_error(error) }
/// # fn example(tokens: TokenCache, channel: Channel) {
/// let service = ServiceBuilder::new()
///     .map_err(to_status)
///     .filter_async(|request: http::Request<Body>| async {
///         let (parts, body) = request.into_parts();
///         let body = Full::new(body.collect().await?.to_bytes());
///         Ok::<_, BoxError>(http::Request::from_parts(parts, body))
///     })
///     .layer(BearerAuthLayer::new(tokens).with_rejection(grpc_unauthenticated).with_replay(TryClone))
///     .map_request(|request: http::Request<Full<bytes::Bytes>>| request.map(Body::new))
///     .service(channel);
/// // Boxed: the compiler gives up on spawning calls through the types of so many layers.
/// let service = BoxCloneSyncService::new(service);
/// # fn check<S: tower::Service<http::Request<Body>, Error = Status>>(_: S) {}
/// # check(service);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BearerAuthLayer<R = NoReplay> {
    bearer: Bearer,
    replay: R,
}

impl BearerAuthLayer {
    /// Attaches the tokens of this cache, or of a cache made for this source alone.
    pub fn new(tokens: impl Into<TokenCache>) -> Self {
        Self { bearer: Bearer::new(tokens.into()), replay: NoReplay }
    }
}

impl<R> BearerAuthLayer<R> {
    /// Sends a request again, once, if its token was rejected and another one could be had:
    /// [`TryClone`](crate::TryClone), or [`replay_fn`](crate::replay_fn) for bodies that are copied otherwise.
    ///
    /// Not the default, since it would not compile over every body. A request that cannot be copied is sent once.
    pub fn with_replay<T>(self, replay: T) -> BearerAuthLayer<T> {
        BearerAuthLayer { bearer: self.bearer, replay }
    }

    /// Counts an answer as a rejection of its token where `rejected` says so, beside the 401s that RFC 6750 means.
    ///
    /// For servers with other habits: a 403 for an expired token, a 401 whose challenge is of another scheme (`Basic`,
    /// `Token`, `OAuth`) or has an error code of its own, or a gRPC status
    /// ([`grpc_unauthenticated`](crate::grpc_unauthenticated)). Without it those go to the caller, and the token stays.
    /// However often it says so, the token endpoint is asked no more often than under a server that answers 401 to
    /// everything.
    ///
    /// ```
    /// # use client_credentials::{AccessToken, BearerAuthLayer, TokenCache};
    /// # let tokens = TokenCache::builder(AccessToken::new("abcde12345")?).any_origin().build()?;
    /// BearerAuthLayer::new(tokens).with_rejection(|status, headers| {
    ///     let expired = headers.get("x-reason").is_some_and(|reason| reason == "token expired");
    ///     status == http::StatusCode::FORBIDDEN && expired
    /// });
    /// # Ok::<(), client_credentials::Error>(())
    /// ```
    #[must_use]
    pub fn with_rejection(self, rejected: impl Fn(StatusCode, &HeaderMap) -> bool + Send + Sync + 'static) -> Self {
        Self { bearer: self.bearer.with_rejection(rejected), ..self }
    }
}

impl<S: Clone, R: Clone> Layer<S> for BearerAuthLayer<R> {
    type Service = BearerAuth<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        BearerAuth::new(inner, self.bearer.clone(), self.replay.clone())
    }
}
