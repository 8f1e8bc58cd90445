//! What a request waits for before it is sent, and before it is sent again.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;
use tower_service::Service;

use crate::{
    attach::{Attached, BearerRequest, Obtained, Pending},
    challenge::Rejection,
    error::{BoxError, Error},
};

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;

/// The response that the service will give, and what its request carries.
type Sent<F> = (F, Option<Attached>);

/// A request that waits for a token.
pub(super) struct FirstAttempt<S, Req> {
    token: Waiting<Result<Obtained, Error>>,
    deadline: Option<Instant>,
    /// The service that was polled ready, until it is called.
    kept: Option<(Req, S)>,
}

impl<S, Req> FirstAttempt<S, Req>
where
    S: Service<Req>,
    Req: BearerRequest,
{
    pub(super) fn new(pending: Pending, request: Req, service: S) -> Self {
        let deadline = request.deadline();
        Self { token: Box::pin(pending.token(deadline)), deadline, kept: Some((request, service)) }
    }

    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sent<S::Future>, Error>> {
        let obtained = ready!(self.token.as_mut().poll(cx));
        let (mut request, mut service) = self.kept.take().unwrap_or_else(|| polled_again());
        let attached = obtained?.attach(&mut request, self.deadline);
        Poll::Ready(Ok((service.call(request), attached)))
    }
}

/// A request whose token was rejected. It is sent again if another token can be obtained.
pub(super) struct SecondAttempt<S, Req, Res> {
    stage: SecondStage<Res>,
    deadline: Option<Instant>,
    request: Option<Req>,
    service: S,
}

enum SecondStage<Res> {
    /// The response is kept in case no other token can be obtained.
    Token(Waiting<Option<Obtained>>, Option<Res>),
    /// Readiness counts only once, so the service is polled again.
    Service(Option<Obtained>),
}

pub(super) enum Retried<F, Res> {
    Sent(Sent<F>),
    Not(Res),
}

impl<S, Req, Res> SecondAttempt<S, Req, Res>
where
    S: Service<Req>,
    Req: BearerRequest,
{
    pub(super) fn new(attached: Attached, rejection: Rejection, response: Res, (request, service): (Req, S)) -> Self {
        let deadline = request.deadline();
        let token = Box::pin(attached.recover(rejection, request.extensions(), deadline));
        Self { stage: SecondStage::Token(token, Some(response)), deadline, request: Some(request), service }
    }

    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<Retried<S::Future, Res>, BoxError>>
    where
        S::Error: Into<BoxError>,
    {
        if let SecondStage::Token(token, response) = &mut self.stage {
            let obtained = ready!(token.as_mut().poll(cx));
            if let (None, Some(response)) = (&obtained, response.take()) {
                return Poll::Ready(Ok(Retried::Not(response)));
            }
            // The response is dropped before the service is polled: an unread body may hold the connection that the
            // second attempt needs.
            self.stage = SecondStage::Service(obtained);
        }
        ready!(self.service.poll_ready(cx)).map_err(Into::into)?;
        let SecondStage::Service(obtained) = &mut self.stage else { polled_again() };
        let (Some(obtained), Some(mut request)) = (obtained.take(), self.request.take()) else { polled_again() };
        let attached = obtained.attach(&mut request, self.deadline);
        Poll::Ready(Ok(Retried::Sent((self.service.call(request), attached))))
    }
}

/// As with every future, polling it after completion is a bug in the caller.
fn polled_again() -> ! {
    panic!("ResponseFuture polled after completion")
}
