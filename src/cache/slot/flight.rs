//! A token request in flight: as its callers see it, as its task sees it, and how it starts.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{Slot, State};
use crate::{
    cache::{backoff::FORGET_FAILURES, clock::Moment, context::Context},
    error::Error,
    report::span::Span,
    runtime::{AbortOnDrop, TaskHandle},
    token::{AccessToken, TokenNumber},
    token_request::TokenRequest,
};

/// Between two looks into the store while no token may be requested.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

pub(in crate::cache) type TokenResult = Result<AccessToken, Error>;

/// For the slot, the task and the callers that wait.
#[derive(Clone)]
pub(in crate::cache) struct Flight(Arc<watch::Sender<Progress>>);

struct Progress {
    /// After it, nobody drives the flight's runtime any more, and the next caller takes over.
    deadline: Moment,
    /// When its first exchange began.
    first_start: Option<Moment>,
    /// When its last exchange began.
    last_start: Option<Moment>,
    has_ended: bool,
    /// Of a flight that has ended; `None` if another has taken over, or its task has ended (its runtime ended). Then
    /// one of the callers that wait takes over.
    outcome: Option<TokenResult>,
}

/// For the task. When it is dropped, the flight has ended.
pub(in crate::cache) struct FlightTask {
    pub slot: Weak<Slot>,
    pub flight: Flight,
    pub handle: TaskHandle,
    pub context: Arc<Context>,
    pub request: TokenRequest,
    /// A token that an API rejected, for sources that keep tokens elsewhere.
    pub rejected: Option<AccessToken>,
    /// `false`: it only looks whether another instance has stored a token.
    pub may_request: bool,
    /// Whether nothing had failed before, so that a quick retry may follow a failure.
    pub is_first: bool,
    /// Of the caller that started it.
    pub caller: Option<Span>,
}

impl Flight {
    fn new(deadline: Moment) -> Self {
        let progress = Progress { deadline, first_start: None, last_start: None, has_ended: false, outcome: None };
        Self(Arc::new(watch::Sender::new(progress)))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn deadline(&self) -> Moment {
        self.0.borrow().deadline
    }

    pub(super) fn first_start(&self) -> Option<Moment> {
        self.0.borrow().first_start
    }

    pub(in crate::cache) fn last_start(&self) -> Option<Moment> {
        self.0.borrow().last_start
    }

    /// The outcome; `None`: it is too late, or there will be none.
    pub(in crate::cache) async fn outcome(&self, until: Instant) -> Option<TokenResult> {
        let mut progress = self.0.subscribe();
        timeout_at(until, progress.wait_for(|progress| progress.has_ended)).await.ok()?.ok()?.outcome.clone()
    }

    /// Whether a caller waits for it.
    #[cfg(feature = "store")]
    pub(in crate::cache) fn is_awaited(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Ends it if it is overdue, and returns whether it has ended. Its callers wait until its deadline at most.
    pub(super) fn has_ended_by(&self, now: Moment) -> bool {
        self.change(|progress| progress.has_ended = now.reached(progress.deadline));
        self.0.borrow().has_ended
    }

    /// Ends it, unless it has ended before. Wakes the callers that wait, also those of one that was overdue.
    pub(in crate::cache) fn end(&self, outcome: Option<TokenResult>) {
        self.change(|progress| (progress.has_ended, progress.outcome) = (true, outcome));
        self.0.send_modify(|_| {});
    }

    /// `false`: it has ended.
    fn change(&self, change: impl FnOnce(&mut Progress)) -> bool {
        let mut goes_on = false;
        self.0.send_if_modified(|progress| {
            goes_on = !progress.has_ended;
            if goes_on {
                change(progress);
            }
            false
        });
        goes_on
    }
}

impl FlightTask {
    /// An exchange starts. `None`: another flight has taken over, or the slot was dropped.
    pub(in crate::cache) fn begin(&self) -> Option<()> {
        self.slot.upgrade()?;
        let now = self.context.clock.now();
        let deadline = now.after(self.context.flight_limit());
        let begins = self.flight.change(|progress| {
            progress.deadline = deadline;
            progress.first_start.get_or_insert(now);
            progress.last_start = Some(now);
        });
        begins.then_some(())
    }

    /// It goes on after `wait`. Returns by when it ends then.
    pub(in crate::cache) fn pause(&self, wait: Duration) -> Moment {
        let deadline = self.context.clock.now().after(wait + self.context.flight_limit());
        self.flight.change(|progress| progress.deadline = deadline);
        deadline
    }

    /// Ends the flight, unless it has ended before: for its slot, and then for the callers that wait.
    pub(in crate::cache) fn end(&self, outcome: Option<TokenResult>) {
        if let Some(slot) = self.slot.upgrade().filter(|_| !self.flight.0.borrow().has_ended) {
            let mut state = slot.lock();
            if state.land(&self.flight) {
                slot.end_leases();
            }
        }
        self.flight.end(outcome);
    }
}

impl Drop for FlightTask {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl Slot {
    /// Starts a flight that requests a token.
    pub(super) fn depart(self: &Arc<Self>, state: &mut State, now: Moment) -> FlightTask {
        if state.hold.as_ref().is_none_or(|hold| now.reached(hold.until.after(FORGET_FAILURES))) {
            state.failures = 0;
        }
        let suspect = state.issued.as_ref().filter(|issued| issued.suspicion.is_some());
        let rejected = suspect.map(|issued| issued.token.clone());
        let mut task = self.take_off(state, now, rejected);
        state.task = AbortOnDrop::default();
        (task.handle, task.may_request) = (state.task.handle(), true);
        task
    }

    /// Starts a flight that only looks whether another instance has stored a token, unless one has just looked.
    pub(super) fn look(
        self: &Arc<Self>,
        state: &mut State,
        now: Moment,
        unwanted: Option<TokenNumber>,
    ) -> Option<FlightTask> {
        let is_soon = state.last_look.is_some_and(|look| !now.reached(look.after(BETWEEN_LOOKS)));
        if is_soon || !self.context.has_store() {
            return None;
        }
        state.last_look = Some(now);
        let rejected = unwanted.and_then(|unwanted| state.issued_as(unwanted)).map(|issued| issued.token.clone());
        Some(self.take_off(state, now, rejected))
    }

    fn take_off(self: &Arc<Self>, state: &mut State, now: Moment, rejected: Option<AccessToken>) -> FlightTask {
        let flight = Flight::new(now.after(self.context.flight_limit()));
        state.flight = Some(flight.clone());
        FlightTask {
            slot: Arc::downgrade(self),
            flight,
            handle: Arc::default(),
            context: Arc::clone(&self.context),
            request: self.request.clone(),
            rejected,
            may_request: false,
            is_first: state.failures == 0,
            caller: None,
        }
    }
}
