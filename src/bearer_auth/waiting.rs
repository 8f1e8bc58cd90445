//! A request that waits for a token, and then for the service.

use std::{
    ops::ControlFlow,
    task::{Context, Poll, ready},
};

use tower_service::Service;

use crate::{
    attach::{Attached, Awaited, BearerRequest, Obtained, Rejected, wanted},
    error::BoxError,
};

pub(super) struct Waiting<S, Req, Res> {
    token: Awaited,
    obtained: Option<Obtained>,
    request: Option<Req>,
    service: S,
    /// The response that rejected the previous token, in case there is no other.
    rejected: Option<Res>,
}

/// The request was sent: its response, and the token that it carries. Or it is not sent, and this is the outcome.
pub(super) type Sent<F, Res> = ControlFlow<Result<Res, BoxError>, (F, Option<Attached>)>;

impl<S, Req, Res> Waiting<S, Req, Res>
where
    S: Service<Req, Response = Res>,
    S::Error: Into<BoxError>,
    Req: BearerRequest,
{
    /// A request that has not been sent.
    pub(super) fn first(token: Awaited, request: Req, service: S) -> Self {
        Self { token, obtained: None, request: Some(request), service, rejected: None }
    }

    /// A request to send again, after this response to the first attempt.
    #[cold]
    pub(super) fn again(rejected: Rejected, response: Res, (request, service): (Req, S)) -> Self {
        let token = rejected.another(wanted(&request, None).cloned(), request.deadline());
        Self { token, obtained: None, request: Some(request), service, rejected: Some(response) }
    }

    #[cold]
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Sent<S::Future, Res>> {
        if self.obtained.is_none() {
            self.obtained = match ready!(self.token.as_mut().poll(cx)) {
                Err(error) => return Poll::Ready(ControlFlow::Break(Err(error.into()))),
                Ok(obtained) => obtained,
            };
            // Dropped before the service is polled: an unread body may hold the connection that the second attempt
            // needs.
            let rejected = self.rejected.take();
            if let (None, Some(response)) = (&self.obtained, rejected) {
                return Poll::Ready(ControlFlow::Break(Ok(response)));
            }
        }
        // Readiness counts only once, so a service that was called must be polled again. One that was not called is
        // still ready.
        if let Err(error) = ready!(self.service.poll_ready(cx)) {
            return Poll::Ready(ControlFlow::Break(Err(error.into())));
        }
        let (Some(obtained), Some(mut request)) = (self.obtained.take(), self.request.take()) else {
            // As with every future, polling it after completion is a bug in the caller.
            panic!("ResponseFuture polled after completion")
        };
        let attached = obtained.attach(&mut request);
        Poll::Ready(ControlFlow::Continue((self.service.call(request), attached)))
    }
}
