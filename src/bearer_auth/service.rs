use std::task::{Context, Poll};

use tower_service::Service;

use super::{ResponseFuture, attempt::FirstAttempt};
use crate::{
    attach::{Attach, Bearer, BearerRequest, BearerResponse, NoReplay, Replay},
    cache::TokenCache,
    error::BoxError,
};

/// For clients: attaches a bearer token to every request that goes through. What it does, and its settings, are those
/// of [`BearerAuthLayer`](super::BearerAuthLayer), which makes it.
#[derive(Clone, Debug)]
pub struct BearerAuth<S, R = NoReplay> {
    inner: S,
    bearer: Bearer,
    replay: R,
}

impl<S> BearerAuth<S> {
    /// Attaches the tokens of this cache to the requests of `inner`, as
    /// [`BearerAuthLayer::new`](super::BearerAuthLayer::new) does.
    #[must_use]
    pub fn new(inner: S, tokens: TokenCache) -> Self {
        Self { inner, bearer: Bearer::new(tokens), replay: NoReplay }
    }
}

impl<S, R> BearerAuth<S, R> {
    pub(super) fn with(inner: S, bearer: Bearer, replay: R) -> Self {
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
    R: Replay<Req>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        match self.bearer.attach(&mut request, None, |request| self.replay.spare(request, &self.inner)) {
            Attach::Not => ResponseFuture::sent(self.inner.call(request), None, None),
            Attach::With(attached, spare) => ResponseFuture::sent(self.inner.call(request), Some(attached), spare),
            Attach::Wait(pending) => {
                let spare = self.replay.spare(&request, &self.inner);
                // The service that was polled ready is the one to call: it is moved into the future, and a clone, which
                // must be polled again, stays. So what it reserved is given back where the request is refused.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::waiting(FirstAttempt::new(pending, request, ready, spare))
            }
        }
    }
}
