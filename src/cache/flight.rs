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
    clock::Moment,
    renewal,
    slot::{Context, Slot},
};
use crate::{
    error::{Error, ErrorKind},
    log::Caller,
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
        let Self { guard, context, request, rejected, quick, .. } = self;
        let slot = guard.slot.clone();
        let turn = match context.endpoint.turn(&context.clock).await {
            Ok(turn) => turn,
            Err(error) => {
                guard.ground(error);
                return keep_warm(slot, &context, &request).await;
            }
        };
        let limit = context.time_limit();
        if let Some(token) = rejected {
            let _ = within(limit, async { context.source.rejected(&request, &token).await }).await;
        }
        let mut tried = 0;
        let (outcome, started_at, span) = loop {
            let Some(started_at) = guard.begin() else { return };
            tried += 1;
            let mut exchange = context.report.exchange(&request, tried, &caller);
            let asking = SOURCE_OF.scope(slot.clone(), async { context.source.token(&request).await });
            let outcome = exchange.span.around(within(limit, asking)).await;
            let outcome = outcome.and_then(|outcome| Ok(outcome?.with_request(request.clone())));
            exchange.ended(&outcome);
            let failure = outcome.as_ref().err().filter(|_| quick && turn.calm);
            let Some(wait) = failure.and_then(|error| renewal::quick_retry(error, tried, fastrand::f64())) else {
                break (outcome, started_at, exchange.span.clone());
            };
            exchange.span.clone().within(|| guard.pause(&outcome, wait));
            sleep(wait).await;
        };
        drop(turn);
        let refused = outcome.as_ref().is_err_and(Error::is_invalid_client);
        span.within(|| guard.finish(outcome, started_at));
        if refused {
            await_credentials(&slot, &context).await;
        }
        keep_warm(slot, &context, &request).await;
    }
}

/// While the client is held back because the server refused it: whether it has other credentials.
async fn await_credentials(slot: &Weak<Slot>, context: &Context) {
    let Some(due) = slot.upgrade().map(|slot| slot.due()) else { return };
    let wait = context.clock.now().until(due);
    if within(wait, async { context.source.credentials_changed().await }).await.is_ok()
        && let Some(slot) = slot.upgrade()
    {
        slot.release();
    }
}

/// Where it is wanted: starts the next flight when it is due, whether anybody asks or not. That flight then takes this task's place.
async fn keep_warm(slot: Weak<Slot>, context: &Context, request: &TokenRequest) {
    while context.settings.keep_warm && request.is_default() {
        let Some(due) = slot.upgrade().map(|slot| slot.due()) else { return };
        // A timer does not count the time that a machine sleeps; the wall clock is looked at now and then.
        let wait = context.clock.now().until(due);
        sleep(wait.clamp(renewal::BETWEEN_REQUESTS, renewal::LOOK_AT_THE_CLOCK)).await;
        let Some(slot) = slot.upgrade() else { return };
        if context.clock.now().reached(due) {
            let _ = slot.step(None);
        }
    }
}

/// Speaks for a flight. If its task ends before it is finished (its runtime ended, a subscriber panicked), this says so.
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
            slot.failed_attempt(error, wait);
            slot.context().report.tried_again(slot.request(), error, wait);
        }
    }

    fn finish(mut self, outcome: Outcome, started_at: Moment) {
        self.finished = true;
        self.publish(outcome, started_at);
    }

    /// The flight ends without an exchange.
    fn ground(mut self, error: Error) {
        self.finished = true;
        if let Some(slot) = self.slot.upgrade() {
            slot.abandon(self.id);
        }
        self.outcome.send_replace(Some(Err(error)));
    }

    fn publish(&self, outcome: Outcome, started_at: Moment) {
        if let Some(slot) = self.slot.upgrade() {
            slot.finish(self.id, &outcome, started_at);
        }
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let Some(slot) = self.slot.upgrade() else { return };
        if std::thread::panicking() {
            let now = slot.context().clock.now();
            self.publish(Err(panicked()), now);
        } else {
            // Whoever waits sees that the sender is gone, and takes over.
            slot.abandon(self.id);
        }
    }
}

/// What a source does, for so long. A panic is a failure like any other, and what follows a failure follows it too.
async fn within<T>(limit: Duration, source: impl Future<Output = T>) -> Result<T, Error> {
    let mut source = pin!(timeout(limit, source));
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| source.as_mut().poll(cx))) {
        Ok(polled) => polled.map_err(|_| timed_out(limit)),
        Err(_) => Poll::Ready(Err(panicked())),
    })
    .await
}

fn panicked() -> Error {
    Error::new(ErrorKind::Panicked, "the token source panicked")
}

fn timed_out(limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("the token source gave no token within {limit:?}"))
}
