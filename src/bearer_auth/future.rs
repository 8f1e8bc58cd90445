use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    attach::{Attached, BearerRequest, BearerResponse, Pending, Replay},
    error::{BoxError, Error},
};

pin_project! {
    /// The response future of [`BearerAuth`](super::BearerAuth).
    pub struct ResponseFuture<S, Req, R>
    where
        S: Service<Req>,
        R: Replay<Req>,
    {
        #[pin]
        state: State<S, Req, S::Future, S::Response, R, R::Copy>,
    }
}

/// Only what waits for a token is boxed, and what is kept meanwhile; it waits for a network anyway. What is left is as
/// small as it can be, since futures are moved about.
type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pin_project! {
    #[project = StateProjection]
    #[project_replace = StateOwned]
    enum State<S, Req, F, Res, R, C> {
        // Sent without a token of ours.
        Untouched { #[pin] future: F },
        // Refused before it was sent.
        Refused { error: Option<Error> },
        // There is no token yet; the service was polled ready.
        Waiting { attached: Waiting<Result<Attached, Error>>, kept: Box<(Req, S, R)> },
        // Sent with a token. With a spare, it can be sent again.
        Sent { #[pin] future: F, attached: Attached, spare: Option<(C, S)> },
        // Rejected. The response is kept, in case that no other token can be had.
        Recovering { attached: Waiting<Option<Attached>>, response: Res, spare: Option<(C, S)> },
        // Another token is there; readiness counts once, so the service is asked again.
        Replaying { kept: Box<(Req, S)>, attached: Attached },
        // Sent again: the answer is the answer.
        Replayed { #[pin] future: F, attached: Attached },
        Done,
    }
}

impl<S, Req, R> ResponseFuture<S, Req, R>
where
    S: Service<Req>,
    R: Replay<Req>,
{
    pub(super) fn untouched(future: S::Future) -> Self {
        Self { state: State::Untouched { future } }
    }

    pub(super) fn refused(error: Error) -> Self {
        Self { state: State::Refused { error: Some(error) } }
    }

    pub(super) fn sent(future: S::Future, attached: Attached, spare: Option<(R::Copy, S)>) -> Self {
        Self { state: State::Sent { future, attached, spare } }
    }

    pub(super) fn waiting(pending: Pending, request: Req, service: S, replay: R) -> Self {
        Self {
            state: State::Waiting { attached: Box::pin(pending.token()), kept: Box::new((request, service, replay)) },
        }
    }
}

impl<S, Req, R> Future for ResponseFuture<S, Req, R>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    S::Response: BearerResponse,
    Req: BearerRequest,
    R: Replay<Req>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProjection::Untouched { future } => return future.poll(cx).map_err(Into::into),
                StateProjection::Refused { error } => match error.take() {
                    Some(error) => return Poll::Ready(Err(error.into())),
                    None => polled_again(),
                },
                StateProjection::Waiting { attached, .. } => {
                    let attached = ready!(attached.as_mut().poll(cx));
                    let StateOwned::Waiting { kept, .. } = state.as_mut().project_replace(State::Done) else {
                        polled_again()
                    };
                    let (attached, (mut request, mut service, replay)) = (attached?, *kept);
                    let copy = replay.copy(&request);
                    if !attached.set(&mut request) {
                        state.set(State::Untouched { future: service.call(request) });
                        continue;
                    }
                    let spare = copy.map(|copy| (copy, service.clone()));
                    let future = service.call(request);
                    state.set(State::Sent { future, attached, spare });
                }
                StateProjection::Sent { future, attached, .. } => {
                    // Looked at where it is: moving it first takes some 5 ns more.
                    let answer = future.poll(cx);
                    let rejected = match &answer {
                        Poll::Ready(Ok(response)) => attached.read(response),
                        Poll::Ready(Err(_)) => None,
                        Poll::Pending => return Poll::Pending,
                    };
                    let Some(rejected) = rejected else {
                        return answer.map_err(Into::into);
                    };
                    let response = ready!(answer).map_err(Into::into)?;
                    // The inner future goes here, and with it what it holds (a concurrency limit's permit).
                    let StateOwned::Sent { attached, spare, .. } = state.as_mut().project_replace(State::Done) else {
                        polled_again()
                    };
                    let attached = Box::pin(attached.recover(rejected, spare.is_some()));
                    state.set(State::Recovering { attached, response, spare });
                }
                StateProjection::Recovering { attached, .. } => {
                    let attached = ready!(attached.as_mut().poll(cx));
                    let StateOwned::Recovering { response, spare, .. } = state.as_mut().project_replace(State::Done)
                    else {
                        polled_again()
                    };
                    let (Some(attached), Some((copy, service))) = (attached, spare) else {
                        return Poll::Ready(Ok(response));
                    };
                    // Before the service is asked: an unread body may hold the connection that it needs.
                    drop(response);
                    let mut request = R::restore(copy);
                    // There was room for the other one.
                    let _ = attached.set(&mut request);
                    state.set(State::Replaying { kept: Box::new((request, service)), attached });
                }
                StateProjection::Replaying { kept, .. } => {
                    ready!(kept.1.poll_ready(cx)).map_err(Into::into)?;
                    let StateOwned::Replaying { kept, attached } = state.as_mut().project_replace(State::Done) else {
                        polled_again()
                    };
                    let (request, mut service) = *kept;
                    let future = service.call(request);
                    state.set(State::Replayed { future, attached });
                }
                StateProjection::Replayed { future, attached } => {
                    let response = ready!(future.poll(cx)).map_err(Into::into)?;
                    attached.replayed(&response);
                    return Poll::Ready(Ok(response));
                }
                StateProjection::Done => polled_again(),
            }
        }
    }
}

/// As with every future, polling it after it has ended is a mistake of the caller.
fn polled_again() -> ! {
    panic!("ResponseFuture polled after completion")
}

impl<S, Req, R> fmt::Debug for ResponseFuture<S, Req, R>
where
    S: Service<Req>,
    R: Replay<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
