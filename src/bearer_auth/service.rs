use std::task::{Context, Poll};

use tower_service::Service;

use super::ResponseFuture;
use crate::{
    attach::{Attach, Bearer, BearerRequest, BearerResponse, NoReplay, Replay},
    error::BoxError,
};

/// For clients: attaches a bearer token to every request that goes through. Made by
/// [`BearerAuthLayer`](super::BearerAuthLayer).
#[derive(Clone, Debug)]
// Where a client does not fit, all that the compiler shows of ours is this line.
#[rustfmt::skip]
pub struct BearerAuth<S, R = NoReplay> { // not a `Service`? "If it does not compile" in `BearerAuthLayer`'s docs
    inner: S,
    bearer: Bearer,
    replay: R,
}

impl<S, R> BearerAuth<S, R> {
    pub(super) fn new(inner: S, bearer: Bearer, replay: R) -> Self {
        Self { inner, bearer, replay }
    }

    /// The service within.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service within.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service within.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, Req> Service<Req> for BearerAuth<S, R>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    S::Response: BearerResponse,
    Req: BearerRequest,
    R: Replay<Req> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        match self.bearer.attach(&mut request, None, |request| self.replay.copy(request)) {
            Attach::Not => ResponseFuture::untouched(self.inner.call(request)),
            Attach::Refuse(error) => ResponseFuture::refused(error),
            Attach::With(attached, copy) => {
                let spare = copy.map(|copy| (copy, self.inner.clone()));
                ResponseFuture::sent(self.inner.call(request), attached, spare)
            }
            Attach::Wait(pending) => {
                // The service that was polled ready is the one to call: it is taken along, and a clone, which must be
                // polled again, stays.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::waiting(pending, request, ready, self.replay.clone())
            }
        }
    }
}
