//! The status of a gRPC call that was not sent because there was no token: a code and the reason. (tonic turns other
//! crates' errors into `Unknown`, and omits their causes.)

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tonic::{Code, Status};
use tower_layer::Layer;
use tower_service::Service;

use crate::error::{BoxError, Error};

/// `Unavailable` if the failure may pass, otherwise `Unauthenticated`. The message is the reason with its causes, and
/// [`Error::find`] finds the error in the status.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = if error.is_transient() { Code::Unavailable } else { Code::Unauthenticated };
        let mut status = Self::new(code, error.chain());
        status.set_source(Arc::new(error));
        status
    }
}

/// Turns every error of the inner service into a `tonic::Status`.
///
/// Around [`BearerAuthLayer`](crate::BearerAuthLayer), a call that gets no token fails as `Unavailable` or
/// `Unauthenticated`, with the reason, instead of `Unknown`.
///
/// ```
/// use client_credentials::{BearerAuthLayer, GrpcStatusLayer, TokenCache};
/// use tonic::transport::Channel;
///
/// # fn example(tokens: TokenCache, channel: Channel) -> Result<(), client_credentials::Error> {
/// let service = tower::ServiceBuilder::new()
///     .layer(GrpcStatusLayer)
///     .layer(BearerAuthLayer::new(tokens).for_origin("http://orders.internal:50051")?)
///     .service(channel);
/// # fn check<S: tower::Service<http::Request<tonic::body::Body>, Error = tonic::Status>>(_: S) {}
/// # check(service);
/// # Ok(())
/// # }
/// ```
///
/// A server that calls other servers with this client should not pass this status on to its own callers: it is about
/// the server's own credentials, and it names its token endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcStatusLayer;

impl<S> Layer<S> for GrpcStatusLayer {
    type Service = GrpcStatus<S>;

    fn layer(&self, inner: S) -> GrpcStatus<S> {
        GrpcStatus { inner }
    }
}

/// A service whose error is a `tonic::Status`. Made by [`GrpcStatusLayer`].
#[derive(Clone, Copy, Debug)]
pub struct GrpcStatus<S> {
    inner: S,
}

impl<S> GrpcStatus<S> {
    /// A reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// A mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req> Service<Req> for GrpcStatus<S>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = Status;
    type Future = GrpcStatusFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx).map_err(to_status)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        GrpcStatusFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The response future of [`GrpcStatus`].
    #[derive(Debug)]
    pub struct GrpcStatusFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, Res, E> Future for GrpcStatusFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Res, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().inner.poll(cx)).map_err(to_status))
    }
}

fn to_status(error: impl Into<BoxError>) -> Status {
    let error = error.into();
    match Error::find(&*error) {
        // A status that contains our error already has its code.
        Some(ours) if !error.is::<Status>() => ours.clone().into(),
        _ => Status::from_error(error),
    }
}
