use std::{convert::Infallible, fmt};

/// Whether, and how, a request is copied so that it can be sent again after its token was rejected.
pub trait Replay<Req> {
    /// What is kept of a request until its answer is there.
    type Copy;

    /// A copy, made before the request is sent; `None`: this one is sent once.
    fn copy(&self, request: &Req) -> Option<Self::Copy>;

    /// The request that is sent again.
    fn restore(copy: Self::Copy) -> Req;
}

/// Sends every request once: the default, which fits every body.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReplay;

impl<Req> Replay<Req> for NoReplay {
    type Copy = Infallible;

    fn copy(&self, _request: &Req) -> Option<Infallible> {
        None
    }

    fn restore(copy: Infallible) -> Req {
        match copy {}
    }
}

/// Copies what can be copied: an `http::Request` whose body is `Clone`, a `reqwest::Request` by its `try_clone`.
///
/// The copy is made before the request is sent, and nothing is buffered: a body such as `Full<Bytes>` shares its bytes. The second attempt is
/// the original request, with another token.
///
/// # If it does not compile
///
/// Over a body that is not `Clone` (a boxed one, tonic's, axum's, hyper's `Incoming`) the layer is no service, and the compiler does not always say why:
///
/// ```compile_fail,E0599
/// # use bytes::Bytes;
/// # use client_credentials::{BearerAuthLayer, TokenCache, TryClone};
/// # use http_body_util::combinators::BoxBody;
/// # use tower::{ServiceBuilder, ServiceExt};
/// # type Client = hyper_util::client::legacy::Client<hyper_util::client::legacy::connect::HttpConnector, BoxBody<Bytes, std::convert::Infallible>>;
/// # fn example(tokens: TokenCache, client: Client, request: http::Request<BoxBody<Bytes, std::convert::Infallible>>) {
/// let service = ServiceBuilder::new().layer(BearerAuthLayer::new(tokens).with_replay(TryClone)).service(client);
/// let answer = service.oneshot(request);
/// # }
/// ```
///
/// ```text
/// error[E0599]: the method `oneshot` exists for struct `BearerAuth<Client<HttpConnector, BoxBody<Bytes, Infallible>>, ...>`, but its trait bounds were not satisfied
///   = note: the following trait bounds were not satisfied:
///           `BearerAuth<Client<HttpConnector, BoxBody<Bytes, Infallible>>, TryClone>: Service<_>`
///           which is required by `BearerAuth<Client<HttpConnector, BoxBody<Bytes, Infallible>>, TryClone>: tower::ServiceExt<_>`
/// ```
///
/// The same for `ready`, `call`, `ready_and` and the methods of a generated tonic client, there with the reason:
///
/// ```text
/// error[E0277]: the trait bound `tonic::body::Body: Clone` is not satisfied
/// error[E0599]: the method `check` exists for struct `HealthClient<BearerAuth<Channel, TryClone>>`, but its trait bounds were not satisfied
/// ```
///
/// Either leave `with_replay` out, and the 401 goes to the caller, or say with [`replay_fn`] how your requests are copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct TryClone;

impl<B: Clone> Replay<http::Request<B>> for TryClone {
    type Copy = http::Request<B>;

    fn copy(&self, request: &http::Request<B>) -> Option<http::Request<B>> {
        Some(request.clone())
    }

    fn restore(copy: http::Request<B>) -> http::Request<B> {
        copy
    }
}

#[cfg(feature = "reqwest")]
impl Replay<reqwest::Request> for TryClone {
    type Copy = reqwest::Request;

    fn copy(&self, request: &reqwest::Request) -> Option<reqwest::Request> {
        request.try_clone()
    }

    fn restore(copy: reqwest::Request) -> reqwest::Request {
        copy
    }
}

/// Copies requests with a function, for bodies that are not `Clone` or that only some requests may have twice.
///
/// ```
/// use bytes::Bytes;
/// use client_credentials::{AccessToken, BearerAuthLayer, TokenCache, replay_fn};
/// use http::{Method, Request};
/// use http_body_util::{BodyExt, Empty, combinators::BoxBody};
///
/// type Body = BoxBody<Bytes, std::convert::Infallible>;
///
/// /// A GET has no body that could be lost.
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
pub fn replay_fn<F, Req>(function: F) -> ReplayFn<F>
where
    F: Fn(&Req) -> Option<Req>,
{
    ReplayFn { function }
}

/// A [`Replay`] made of a function, by [`replay_fn`].
#[derive(Clone, Copy)]
pub struct ReplayFn<F> {
    function: F,
}

impl<F, Req> Replay<Req> for ReplayFn<F>
where
    F: Fn(&Req) -> Option<Req>,
{
    type Copy = Req;

    fn copy(&self, request: &Req) -> Option<Req> {
        (self.function)(request)
    }

    fn restore(copy: Req) -> Req {
        copy
    }
}

impl<F> fmt::Debug for ReplayFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayFn").finish_non_exhaustive()
    }
}
