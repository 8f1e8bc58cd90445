use std::{convert::Infallible, fmt};

#[cfg(feature = "reqwest")]
use tokio::time::Instant;

#[cfg(feature = "reqwest")]
use super::request::sealed::Request as _;

/// How a request is copied, so that it can be sent again after its token was rejected: [`NoReplay`], [`TryClone`], or
/// your own function with [`replay_fn`]. The trait is sealed, so that it can change.
pub trait Replay<Req>: sealed::Replay<Req> {}

impl<Req, T: sealed::Replay<Req>> Replay<Req> for T {}

pub(crate) mod sealed {
    /// The copy is made before the token is attached, together with a clone of the service that sends it.
    pub trait Replay<Req> {
        /// The copy and its service in one type, so that they take no space where there is never a copy.
        type Spare<S>;

        /// `None`: this request is sent once.
        fn spare<S: Clone>(&self, request: &Req, service: &S) -> Option<Self::Spare<S>>;

        fn take_apart<S>(spare: Self::Spare<S>) -> (Req, S);
    }
}

/// Sends every request once: the default, which works with every body.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReplay;

impl<Req> sealed::Replay<Req> for NoReplay {
    type Spare<S> = Infallible;

    fn spare<S: Clone>(&self, _request: &Req, _service: &S) -> Option<Infallible> {
        None
    }

    fn take_apart<S>(spare: Infallible) -> (Req, S) {
        match spare {}
    }
}

/// Copies an `http::Request` whose body is `Clone`, and a `reqwest::Request` whose `try_clone` succeeds.
///
/// The copy is made before the request is sent, and nothing is buffered: a body such as `Full<Bytes>` shares its bytes.
/// The second attempt is the original request, with another token.
///
/// # If it does not compile
///
/// With a body that is not `Clone` (a boxed one, tonic's, axum's, hyper's `Incoming`), `BearerAuth` is not a service,
/// and the compiler does not always say why:
///
/// ```compile_fail,E0599
/// # use bytes::Bytes;
/// # use client_credentials::{BearerAuthLayer, TokenCache, TryClone};
/// # use http_body_util::combinators::BoxBody;
/// # use tower::{ServiceBuilder, ServiceExt};
/// # use hyper_util::client::legacy::{Client as Legacy, connect::HttpConnector};
/// # type Boxed = BoxBody<Bytes, std::convert::Infallible>;
/// # type Client = Legacy<HttpConnector, Boxed>;
/// # fn example(tokens: TokenCache, client: Client, request: http::Request<Boxed>) {
/// let service = ServiceBuilder::new().layer(BearerAuthLayer::new(tokens).with_replay(TryClone)).service(client);
/// let response = service.oneshot(request);
/// # }
/// ```
///
/// ```text
/// error[E0599]: the method `oneshot` exists for struct `BearerAuth<Client<HttpConnector, BoxBody<Bytes, …>>, ...>`,
///               but its trait bounds were not satisfied
///   = note: the following trait bounds were not satisfied:
///           `BearerAuth<Client<HttpConnector, BoxBody<Bytes, Infallible>>, TryClone>: Service<_>`
/// ```
///
/// `ready`, `call` and `ready_and` fail in the same way. For the methods of a generated tonic client, the compiler
/// names the reason:
///
/// ```text
/// error[E0277]: the trait bound `tonic::body::Body: Clone` is not satisfied
/// error[E0599]: the method `check` exists for struct `HealthClient<BearerAuth<Channel, TryClone>>`, but its trait
///               bounds were not satisfied
/// ```
///
/// Either omit `with_replay`, so that the 401 goes to the caller, or define with [`replay_fn`] how your requests are
/// copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct TryClone;

impl<B: Clone> sealed::Replay<http::Request<B>> for TryClone {
    type Spare<S> = (http::Request<B>, S);

    fn spare<S: Clone>(&self, request: &http::Request<B>, service: &S) -> Option<Self::Spare<S>> {
        Some((request.clone(), service.clone()))
    }

    fn take_apart<S>(spare: Self::Spare<S>) -> (http::Request<B>, S) {
        spare
    }
}

#[cfg(feature = "reqwest")]
impl sealed::Replay<reqwest::Request> for TryClone {
    /// With the end of the request's own time limit, since the first attempt counts too.
    type Spare<S> = (reqwest::Request, S, Option<Instant>);

    fn spare<S: Clone>(&self, request: &reqwest::Request, service: &S) -> Option<Self::Spare<S>> {
        Some((request.try_clone()?, service.clone(), request.deadline()))
    }

    fn take_apart<S>((mut request, service, deadline): Self::Spare<S>) -> (reqwest::Request, S) {
        if let Some(deadline) = deadline {
            request.leave_until(deadline);
        }
        (request, service)
    }
}

/// Copies requests with a function, for bodies that are not `Clone`, or where only some requests may be sent again.
///
/// A request for which the function returns `None` is sent once. It is called once for each request that may get a
/// token, before the token is attached.
///
/// ```
/// use bytes::Bytes;
/// use client_credentials::{AccessToken, BearerAuthLayer, TokenCache, replay_fn};
/// use http::{Method, Request};
/// use http_body_util::{BodyExt, Empty, combinators::BoxBody};
///
/// type Body = BoxBody<Bytes, std::convert::Infallible>;
///
/// /// A GET has no body to copy.
/// fn copy_of_a_get(request: &Request<Body>) -> Option<Request<Body>> {
///     let mut copy = Request::new(Empty::new().boxed());
///     copy.method_mut().clone_from(request.method());
///     copy.uri_mut().clone_from(request.uri());
///     copy.headers_mut().clone_from(request.headers());
///     copy.extensions_mut().clone_from(request.extensions());
///     *copy.version_mut() = request.version();
///     (request.method() == Method::GET).then_some(copy)
/// }
///
/// # let tokens = TokenCache::builder(AccessToken::new("abcde12345")?).any_origin().build()?;
/// let layer = BearerAuthLayer::new(tokens).with_replay(replay_fn(copy_of_a_get));
/// # Ok::<(), client_credentials::Error>(())
/// ```
#[must_use]
pub fn replay_fn<F, Req>(function: F) -> ReplayFn<F>
where
    F: Fn(&Req) -> Option<Req>,
{
    ReplayFn { function }
}

/// A [`Replay`] that copies requests with a function. Made by [`replay_fn`].
#[derive(Clone, Copy)]
pub struct ReplayFn<F> {
    function: F,
}

impl<F, Req> sealed::Replay<Req> for ReplayFn<F>
where
    F: Fn(&Req) -> Option<Req>,
{
    type Spare<S> = (Req, S);

    fn spare<S: Clone>(&self, request: &Req, service: &S) -> Option<Self::Spare<S>> {
        Some(((self.function)(request)?, service.clone()))
    }

    fn take_apart<S>(spare: Self::Spare<S>) -> (Req, S) {
        spare
    }
}

impl<F> fmt::Debug for ReplayFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayFn").finish_non_exhaustive()
    }
}
