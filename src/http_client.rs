//! The seam to the token endpoint: an HTTP request in, an HTTP response out.

use std::{fmt, marker::PhantomData};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;
use zeroize::Zeroizing;

use crate::error::{BoxError, Error, ErrorKind, classify};

/// No answer of a token endpoint is larger.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;

/// Sends one request to a token endpoint, or one for the document that names it ([`ClientCredentials::discover`](crate::ClientCredentials::discover)).
///
/// Implemented for `reqwest::Client`, for `reqwest_middleware::ClientWithMiddleware`, and for tower services by [`TowerClient`]. An
/// implementation of your own does not follow redirects (the body is a secret), stops reading at 1 MiB, and hands on
/// `http::Request::extensions` where it can (they mark the request as a token request, for adapters of this crate in the same client).
/// The time limit is kept by the caller.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot send token requests",
    label = "not an `HttpClient`",
    note = "with the feature `reqwest`, clients of reqwest 0.13 can, and a tower service can in a `TowerClient::new(..)`",
    note = "a client of reqwest 0.12 does not fit: leave `.http_client(..)` out, or wrap it as README.md shows"
)]
#[async_trait]
pub trait HttpClient: Send + Sync + 'static {
    /// Sends the request. Failures of the transport are [`Error::transient`].
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Error>;
}

#[async_trait]
impl<T: HttpClient + ?Sized> HttpClient for std::sync::Arc<T> {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        T::send(self, request).await
    }
}

/// The bytes of a request to, or an answer from, a token endpoint. `Debug` shows their number alone.
#[derive(Clone, Default)]
pub struct Body(Bytes);

impl Body {
    /// The bytes themselves.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    pub(crate) fn wiped(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Bytes::from_owner(bytes))
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

/// Marks a request as a token request: an adapter of ours on its way leaves it alone, or it would wait for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IsTokenRequest;

/// An [`HttpClient`] over a tower service, such as hyper-util's client.
///
/// `B` is the service's request body, made from the bytes of ours.
pub struct TowerClient<S, B> {
    service: S,
    body: PhantomData<fn() -> B>,
}

impl<S, B> TowerClient<S, B> {
    /// Wraps a service. Put no redirect-following layer around it: the request carries a secret. And no concurrency limit that it shares with the requests that wait
    /// for the token: they would hold the permits that it needs.
    pub fn new(service: S) -> Self {
        Self { service, body: PhantomData }
    }
}

#[async_trait]
impl<S, B, ResBody> HttpClient for TowerClient<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: From<Bytes> + Send + 'static,
    ResBody: http_body::Body + Send,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        let mut service = self.service.clone();
        std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(|error| transport(error.into()))?;
        let response = service
            .call(request.map(|body| B::from(body.into_bytes())))
            .await
            .map_err(|error| transport(error.into()))?;
        let (parts, body) = response.into_parts();
        let mut body = std::pin::pin!(body);
        let mut read = Reading::default();
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(|error| transport(error.into()))?;
            if let Ok(mut data) = frame.into_data() {
                while bytes::Buf::has_remaining(&data) {
                    let chunk = bytes::Buf::chunk(&data);
                    read.push(chunk)?;
                    let length = chunk.len();
                    bytes::Buf::advance(&mut data, length);
                }
            }
        }
        Ok(Response::from_parts(parts, read.finish()))
    }
}

impl<S: Clone, B> Clone for TowerClient<S, B> {
    fn clone(&self) -> Self {
        Self::new(self.service.clone())
    }
}

impl<S, B> fmt::Debug for TowerClient<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerClient").finish_non_exhaustive()
    }
}

/// A body while it is read: bounded, and wiped wherever it is moved.
#[derive(Default)]
struct Reading(Zeroizing<Vec<u8>>);

impl Reading {
    fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let needed = self.0.len() + chunk.len();
        if needed > MOST_BYTES {
            return Err(too_large());
        }
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.capacity()).max(4096)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(chunk);
        Ok(())
    }

    fn finish(self) -> Body {
        Body::wiped(self.0)
    }
}

pub(crate) fn too_large() -> Error {
    Error::new(ErrorKind::InvalidResponse, format!("the answer is larger than {MOST_BYTES} bytes"))
}

/// A redirect to `target`, which is an origin or what is known of it.
pub(crate) fn redirected(target: &str) -> Error {
    Error::new(
        ErrorKind::Redirect,
        format!("the answer is a redirect to {target}, which is not followed: where it leads could get a secret"),
    )
    .with_advice("configure the URL that answers itself")
}

fn transport(cause: BoxError) -> Error {
    if let Some(error) = Error::find(&*cause) {
        return error.clone();
    }
    let kind = classify(&*cause);
    described(kind).caused_by(cause)
}

fn described(kind: ErrorKind) -> Error {
    let message = match kind {
        ErrorKind::TlsMissing => "the HTTP client has no TLS",
        ErrorKind::Tls => "the TLS connection failed",
        ErrorKind::Dns => "the host name could not be resolved",
        ErrorKind::Connect => "no connection could be made",
        ErrorKind::Reset => "the connection was closed before the answer was complete",
        ErrorKind::Timeout => "the HTTP client's time limit passed",
        _ => "the HTTP client failed",
    };
    let error = Error::new(kind, message);
    if kind == ErrorKind::TlsMissing {
        return error.with_advice(
            "enable this crate's feature `rustls` or `native-tls`, or bring a client with `.http_client(..)`",
        );
    }
    error
}

#[cfg(feature = "reqwest")]
pub(crate) mod with_reqwest {
    use std::{panic::AssertUnwindSafe, time::Duration};

    use super::{
        Body, Error, ErrorKind, HttpClient, Reading, Request, Response, async_trait, classify, described, redirected,
    };
    use http::header::USER_AGENT;

    use crate::origin::Target;

    const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// The client that is used where the user brings none.
    #[derive(Clone, Debug)]
    pub(crate) struct DefaultClient(reqwest::Client);

    impl DefaultClient {
        pub(crate) fn new() -> Result<Self, Error> {
            // An idle connection that died unnoticed is the classic failure at a renewal; one handshake an hour costs nothing.
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(0);
            // It panics where reqwest was compiled with `rustls-no-provider` and no provider is installed.
            match std::panic::catch_unwind(AssertUnwindSafe(|| builder.build())) {
                Ok(Ok(client)) => Ok(Self(client)),
                Ok(Err(error)) => Err(Error::configuration(
                    "http_client: the default one cannot be built; bring one with `.http_client(..)`",
                )
                .caused_by(Box::new(error))),
                Err(_) => Err(Error::configuration(
                    "http_client: reqwest has no TLS provider; install one before, or bring a client with `.http_client(..)`",
                )),
            }
        }
    }

    #[async_trait]
    impl HttpClient for DefaultClient {
        async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
            self.0.send(request).await.map_err(|error| match error.kind() {
                ErrorKind::Tls => error
                    .with_advice("to trust a private certificate authority, bring a client with `.http_client(..)`"),
                ErrorKind::Connect | ErrorKind::Dns => error.with_advice(
                    "if a proxy is on the way, set `HTTPS_PROXY`, or bring a client with `.http_client(..)`",
                ),
                _ => error,
            })
        }
    }

    #[async_trait]
    impl HttpClient for reqwest::Client {
        async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
            let request = convert(request, self)?;
            let asked = request.url().clone();
            let response = self.execute(request).await.map_err(failed)?;
            read(response, &asked).await
        }
    }

    #[cfg(feature = "reqwest-middleware")]
    #[async_trait]
    impl HttpClient for reqwest_middleware::ClientWithMiddleware {
        async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
            let mut extensions = std::mem::take(request.extensions_mut());
            let request = convert(request, self.as_ref())?;
            let asked = request.url().clone();
            let response =
                self.execute_with_extensions(request, &mut extensions).await.map_err(|error| match error {
                    reqwest_middleware::Error::Reqwest(error) => failed(error),
                    reqwest_middleware::Error::Middleware(error) => super::transport(error.into()),
                })?;
            read(response, &asked).await
        }
    }

    /// With a body that cannot be cloned, so that no redirect can post the secret again.
    fn convert(mut request: Request<Body>, client: &reqwest::Client) -> Result<reqwest::Request, Error> {
        if has_user_agent(client) {
            request.headers_mut().remove(USER_AGENT);
        }
        let bytes = |body: Body| Some(body.into_bytes()).filter(|bytes| !bytes.is_empty());
        let request = request.map(|body| reqwest::Body::wrap(Once(bytes(body))));
        reqwest::Request::try_from(request).map_err(|error| {
            Error::configuration("token_url: reqwest does not take it").caused_by(Box::new(error.without_url()))
        })
    }

    /// reqwest shows its default headers nowhere else, and a header of the request wins over them, so that one cannot always be set. If reqwest ever shows
    /// them otherwise, the crate's own name is sent.
    fn has_user_agent(client: &reqwest::Client) -> bool {
        format!("{client:?}").contains("\"user-agent\": ")
    }

    async fn read(mut response: reqwest::Response, asked: &reqwest::Url) -> Result<Response<Body>, Error> {
        if response.url() != asked {
            let origin = Target::of_url(response.url()).to_origin();
            return Err(redirected(&origin));
        }
        let mut read = Reading::default();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            read.push(&chunk)?;
        }
        let mut answer = Response::new(read.finish());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }

    fn failed(error: reqwest::Error) -> Error {
        if error.is_redirect() {
            let origin = error.url().map(|url| Target::of_url(url).to_origin());
            return redirected(origin.as_deref().unwrap_or("an unknown origin"));
        }
        let kind = match classify(&error) {
            ErrorKind::Transport if error.is_timeout() => ErrorKind::Timeout,
            ErrorKind::Transport if error.is_connect() => ErrorKind::Connect,
            kind => kind,
        };
        described(kind).caused_by(Box::new(error.without_url()))
    }

    /// A body of one known chunk that cannot be cloned.
    struct Once(Option<bytes::Bytes>);

    impl http_body::Body for Once {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
            std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_none()
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
        }
    }
}
