use std::{
    future::ready,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{ResponseFuture, waiting::Waiting};
use crate::{
    attach::{Awaited, Bearer, BearerRequest, BearerResponse, NoReplay, Replay},
    cache::TokenCache,
    error::BoxError,
};

/// Attaches a bearer token to every request that a client sends. It is made by
/// [`BearerAuthLayer`](super::BearerAuthLayer), which documents its behaviour and settings.
#[derive(Clone, Debug)]
// If a client does not fit, this line is all that the compiler shows of this crate.
#[rustfmt::skip]
pub struct BearerAuth<S, R = NoReplay> { // not a `Service`? "If it does not compile" in `BearerAuthLayer`'s docs
    pub(super) inner: S,
    pub(super) bearer: Bearer,
    pub(super) replay: R,
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
        let permitted = match self.bearer.permit(&request, None) {
            Ok(Some(permitted)) => permitted,
            Ok(None) => return ResponseFuture::called(self.inner.call(request), None, None),
            Err(error) => return self.wait(Box::pin(ready(Err(error))), request, None),
        };
        let spare = self.replay.spare(&request, &self.inner);
        let attached = permitted.attach(&mut request, None);
        if attached.is_none() {
            return self.wait(permitted.token(&request, None), request, spare);
        }
        ResponseFuture::called(self.inner.call(request), attached, spare)
    }
}

impl<S, R> BearerAuth<S, R> {
    /// The service that was polled ready must be the one that is called. It moves into the future and leaves a clone,
    /// which must be polled again. If the request is refused, dropping the service gives back what it had reserved.
    #[cold]
    fn wait<Req>(&mut self, token: Awaited, request: Req, spare: Option<R::Spare<S>>) -> ResponseFuture<S, Req, R>
    where
        S: Service<Req> + Clone,
        S::Error: Into<BoxError>,
        Req: BearerRequest,
        R: Replay<Req>,
    {
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        ResponseFuture::waiting(Waiting::first(token, request, ready), spare)
    }
}
