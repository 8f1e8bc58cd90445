use std::{
    fmt,
    future::Future,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::waiting::Waiting;
use crate::{
    attach::{Attached, BearerRequest, BearerResponse, Replay},
    error::BoxError,
};

pin_project! {
    /// The response future of [`BearerAuth`](super::BearerAuth).
    ///
    /// `Sync` where the request, the service, its future and its response are.
    pub struct ResponseFuture<S, Req, R>
    where
        S: Service<Req>,
        R: Replay<Req>,
    {
        #[pin]
        state: State<S, Req, S::Future, S::Response>,
        // Of the request that was sent last.
        attached: Option<Attached>,
        // With a spare, the request can be sent again.
        spare: Option<R::Spare<S>>,
    }
}

pin_project! {
    #[project = StateProj]
    pub(super) enum State<S, Req, F, Res> {
        // There is no token, or the API rejected it. Boxed: it waits for the network anyway, and a small future is
        // cheap to move.
        Waiting { waiting: Box<Waiting<S, Req, Res>> },
        // Polling the future from `Service::call`
        Called { #[pin] future: F },
    }
}

impl<S, Req, R> ResponseFuture<S, Req, R>
where
    S: Service<Req>,
    R: Replay<Req>,
{
    pub(super) fn called(future: S::Future, attached: Option<Attached>, spare: Option<R::Spare<S>>) -> Self {
        Self { state: State::Called { future }, attached, spare }
    }

    pub(super) fn waiting(waiting: Waiting<S, Req, S::Response>, spare: Option<R::Spare<S>>) -> Self {
        Self { state: State::Waiting { waiting: Box::new(waiting) }, attached: None, spare }
    }
}

impl<S, Req, R> Future for ResponseFuture<S, Req, R>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    S::Response: BearerResponse,
    Req: BearerRequest,
    R: Replay<Req>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Waiting { waiting } => match ready!(waiting.poll_sent(cx)) {
                    ControlFlow::Break(outcome) => return Poll::Ready(outcome),
                    ControlFlow::Continue((future, attached)) => {
                        *this.attached = attached;
                        this.state.set(State::Called { future });
                    }
                },
                StateProj::Called { future } => {
                    // Read in place: moving the response first costs some 5 ns.
                    let outcome = future.poll(cx);
                    let rejected = match (&outcome, &this.attached) {
                        (Poll::Ready(Ok(response)), Some(attached)) => attached.read(response),
                        _ => None,
                    };
                    let Some(rejected) = rejected else { return outcome.map_err(Into::into) };
                    let Some(spare) = this.spare.take() else {
                        rejected.renew();
                        return outcome.map_err(Into::into);
                    };
                    let response = ready!(outcome).map_err(Into::into)?;
                    let waiting = Waiting::again(rejected, response, R::take_apart(spare));
                    // This drops the inner future, and with it what it holds, such as a concurrency limit's permit.
                    this.state.set(State::Waiting { waiting: Box::new(waiting) });
                }
            }
        }
    }
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
