use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::attempt::{FirstAttempt, Retried, SecondAttempt};
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
        stage: Stage<S, Req, S::Future, S::Response>,
        // Of the request that was sent last.
        attached: Option<Attached>,
        // With a spare, the request can be sent again.
        spare: Option<R::Spare<S>>,
    }
}

pin_project! {
    /// The stages that wait for a token are boxed: they wait for the network anyway, and a small future is cheap to
    /// move.
    #[project = StageProjection]
    pub(super) enum Stage<S, Req, F, Res> {
        // There is no token yet; the service was polled ready.
        Waiting { first: Box<FirstAttempt<S, Req>> },
        Sent { #[pin] future: F },
        // The token was rejected. The response is kept until there is another token.
        Recovering { second: Box<SecondAttempt<S, Req, Res>> },
    }
}

impl<S, Req, R> ResponseFuture<S, Req, R>
where
    S: Service<Req>,
    R: Replay<Req>,
{
    pub(super) fn sent(future: S::Future, attached: Option<Attached>, spare: Option<R::Spare<S>>) -> Self {
        Self { stage: Stage::Sent { future }, attached, spare }
    }

    pub(super) fn waiting(first: FirstAttempt<S, Req>, spare: Option<R::Spare<S>>) -> Self {
        Self { stage: Stage::Waiting { first: Box::new(first) }, attached: None, spare }
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
            let (future, attached) = match this.stage.as_mut().project() {
                StageProjection::Waiting { first } => ready!(first.poll_sent(cx))?,
                StageProjection::Sent { future } => {
                    // Read in place: moving the response first costs some 5 ns.
                    let outcome = future.poll(cx);
                    let Poll::Ready(Ok(response)) = &outcome else { return outcome.map_err(Into::into) };
                    let Some(rejection) = this.attached.as_ref().and_then(|attached| attached.read(response)) else {
                        return outcome.map_err(Into::into);
                    };
                    let Some(attached) = this.attached.take() else { return outcome.map_err(Into::into) };
                    let Some(spare) = this.spare.take() else {
                        attached.reject(rejection);
                        return outcome.map_err(Into::into);
                    };
                    let (response, spare) = (ready!(outcome).map_err(Into::into)?, R::take_apart(spare));
                    let second = SecondAttempt::new(attached, rejection, response, spare);
                    // This drops the inner future, and with it what it holds, such as a concurrency limit's permit.
                    this.stage.set(Stage::Recovering { second: Box::new(second) });
                    continue;
                }
                StageProjection::Recovering { second } => match ready!(second.poll_sent(cx))? {
                    Retried::Sent(sent) => sent,
                    Retried::Not(response) => return Poll::Ready(Ok(response)),
                },
            };
            *this.attached = attached;
            this.stage.set(Stage::Sent { future });
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
