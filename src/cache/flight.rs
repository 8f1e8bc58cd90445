//! One token request on its way, detached from whoever asked for it.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, OnceLock, Weak},
    task::Poll,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{
    clock::{self, Moment},
    renewal,
    slot::{Context, Slot},
};
use crate::{
    error::{Error, ErrorKind},
    report::log::Caller,
    source::TokenRequest,
    token::AccessToken,
};

pub(super) type Outcome = Result<AccessToken, Error>;

tokio::task_local! {
    /// The slot whose source runs in this task.
    static SOURCE_OF: Weak<Slot>;
}

/// Whether a caller in this task would wait for itself: it is the source that the slot's own flight asks.
pub(super) fn is_asked_for(slot: &Arc<Slot>) -> bool {
    SOURCE_OF.try_with(|own| std::ptr::eq(own.as_ptr(), Arc::as_ptr(slot))).unwrap_or(false)
}

/// The slot's side of a flight.
pub(super) struct Flight {
    pub id: u64,
    /// Past it, nobody drives the flight's runtime any more, and whoever waits or comes takes over.
    pub deadline: Moment,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// What a caller waits for. Without an outcome at the deadline, or with nobody left to send one, somebody else takes over.
pub(super) struct Joined {
    pub outcome: watch::Receiver<Option<Outcome>>,
    pub deadline: Moment,
}

impl Flight {
    pub(super) fn join(&self) -> Joined {
        Joined { outcome: self.outcome.clone(), deadline: self.deadline }
    }
}

/// The task of a slot's last flight. It ends with its slot, and with its successor.
#[derive(Default)]
pub(super) struct Task(Arc<OnceLock<AbortHandle>>);

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}

/// A flight that is about to start. Its guard is complete before its task exists.
pub(super) struct Launch {
    guard: Guard,
    context: Arc<Context>,
    request: TokenRequest,
    /// A token that an API rejected, for sources that keep tokens elsewhere.
    rejected: Option<AccessToken>,
    /// Whether a failure is followed by a quick retry.
    quick: bool,
    task: Arc<OnceLock<AbortHandle>>,
}

impl Launch {
    pub(super) fn new(
        slot: &Arc<Slot>,
        id: u64,
        deadline: Moment,
        rejected: Option<AccessToken>,
        quick: bool,
    ) -> (Self, Flight, Task) {
        let (sender, outcome) = watch::channel(None);
        let task = Arc::new(OnceLock::new());
        let launch = Self {
            guard: Guard { slot: Arc::downgrade(slot), id, outcome: sender, finished: false },
            context: Arc::clone(slot.context()),
            request: slot.request().clone(),
            rejected,
            quick,
            task: Arc::clone(&task),
        };
        (launch, Flight { id, deadline, outcome }, Task(task))
    }

    /// Not to be called under the slot's lock: a runtime that has ended drops the task here, and its guard takes that lock.
    pub(super) fn start(self, runtime: &Handle) {
        let task = Arc::clone(&self.task);
        let caller = Caller::current();
        let _ = task.set(runtime.spawn(self.fly(caller)).abort_handle());
    }

    async fn fly(self, caller: Caller) {
        let (slot, context) = (self.guard.slot.clone(), Arc::clone(&self.context));
        let keeps_warm = context.settings.keep_warm && self.request.is_default();
        if self.exchange(caller).await {
            await_credentials(&slot, &context).await;
        }
        if keeps_warm {
            keep_warm(slot, context).await;
        }
    }

    /// Returns whether the server refused the client.
    async fn exchange(self, caller: Caller) -> bool {
        let Self { guard, context, request, rejected, quick, .. } = self;
        let slot = guard.slot.clone();
        let limit = context.time_limit();
        let time = limit + renewal::FLIGHT_GRACE;
        let turn = match context.endpoint.turn(&context.clock, time).await {
            Ok(turn) => turn,
            Err(error) => {
                guard.ground(error);
                return false;
            }
        };
        if let Some(token) = rejected {
            let _ = SOURCE_OF.scope(slot.clone(), ask(limit, || context.source.rejected(&request, &token))).await;
        }
        let mut tried = 0;
        let (outcome, started_at, span) = loop {
            let Some(started_at) = guard.begin() else { return false };
            turn.extend(started_at.after(time));
            tried += 1;
            let mut exchange = context.report.exchange(&request, tried, &caller);
            let asking = SOURCE_OF.scope(slot.clone(), ask(limit, || context.source.token(&request)));
            let outcome = exchange.span.around(asking).await.and_then(|outcome| outcome);
            let outcome = outcome.map(|token| token.with_request(request.clone()));
            exchange.ended(&outcome);
            let failure = outcome.as_ref().err().filter(|_| quick && turn.calm);
            let Some(wait) = failure.and_then(|error| renewal::quick_retry(error, tried, fastrand::f64())) else {
                break (outcome, started_at, exchange.span.clone());
            };
            exchange.span.clone().within(|| guard.pause(&outcome, wait));
            turn.extend(context.clock.now().after(wait + time));
            sleep(wait).await;
            // Another key may have been told more in the meantime.
            if context.endpoint.hold(context.clock.now()).is_some() {
                break (outcome, started_at, exchange.span.clone());
            }
        };
        let refused = outcome.as_ref().is_err_and(Error::is_invalid_client);
        span.within(|| guard.finish(outcome, started_at));
        // After what came out is known: it may hold back whoever is next.
        drop(turn);
        refused
    }
}

/// What the source does within its time limit. A panic of it is an error like any other.
async fn ask<F: Future>(limit: Duration, question: impl FnOnce() -> F) -> Result<F::Output, Error> {
    let mut answer = pin!(async { question().await });
    let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Error::new(ErrorKind::Panicked, "the token source panicked"))),
    });
    timeout(limit, caught).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, format!("the token source gave no token within {limit:?}")))
    })
}

/// While the client is held back because the server refused it: whether it has other credentials.
async fn await_credentials(slot: &Weak<Slot>, context: &Context) {
    let Some(due) = slot.upgrade().map(|slot| slot.due()) else { return };
    let wait = context.clock.now().until(due);
    if ask(wait, || context.source.credentials_changed()).await.is_ok()
        && let Some(slot) = slot.upgrade()
    {
        slot.release();
    }
}

/// Starts the next flight when it is due, whether anybody asks or not. That flight then takes this task's place.
async fn keep_warm(slot: Weak<Slot>, context: Arc<Context>) {
    loop {
        let Some(due) = slot.upgrade().map(|slot| slot.due()) else { return };
        // A timer does not count the time that a machine sleeps; the wall clock is looked at now and then.
        let wait = context.clock.now().until(due) + clock::TICK;
        sleep(wait.clamp(renewal::BETWEEN_REQUESTS, renewal::LOOK_AT_THE_CLOCK)).await;
        let Some(slot) = slot.upgrade() else { return };
        if context.clock.now().reached(due) {
            let _ = slot.step(None);
        }
    }
}

/// Speaks for a flight. If its task ends before it is finished (its runtime ended), this says so.
struct Guard {
    slot: Weak<Slot>,
    id: u64,
    outcome: watch::Sender<Option<Outcome>>,
    finished: bool,
}

impl Guard {
    /// An exchange starts. `None`: somebody else has taken over.
    fn begin(&self) -> Option<Moment> {
        self.slot.upgrade()?.begin(self.id)
    }

    /// An exchange failed, and another follows within the flight.
    fn pause(&self, outcome: &Outcome, wait: Duration) {
        if let (Some(slot), Err(error)) = (self.slot.upgrade(), outcome) {
            slot.failed_attempt(self.id, error, wait);
            slot.context().report.tried_again(slot.request(), error, wait);
        }
    }

    fn finish(mut self, outcome: Outcome, started_at: Moment) {
        self.finished = true;
        if let Some(slot) = self.slot.upgrade() {
            slot.finish(self.id, &outcome, started_at);
        }
        self.outcome.send_replace(Some(outcome));
    }

    /// The flight ends without an exchange.
    fn ground(mut self, error: Error) {
        self.finished = true;
        if let Some(slot) = self.slot.upgrade() {
            slot.abandon(self.id);
        }
        self.outcome.send_replace(Some(Err(error)));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Whoever waits sees that the sender is gone, and takes over.
        if let (false, Some(slot)) = (self.finished, self.slot.upgrade()) {
            slot.abandon(self.id);
        }
    }
}
