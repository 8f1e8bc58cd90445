//! A token request in flight: as its callers see it, as its task sees it, and how it starts.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{SUSPECT_WAIT, Slot, State, Suspicion};
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

/// For the slot and the callers that wait.
#[derive(Clone)]
pub(in crate::cache) struct Flight {
    pub(super) id: u64,
    /// After it, nobody drives the flight's runtime any more, and the next caller takes over.
    pub deadline: Moment,
    pub(super) outcome: watch::Receiver<Option<TokenResult>>,
}

/// For the task. When it is dropped, the flight has ended: with an outcome, or because its task has (its runtime
/// ended), and then one of the callers that wait takes over.
pub(in crate::cache) struct FlightTask {
    pub slot: Weak<Slot>,
    pub id: u64,
    pub outcome: watch::Sender<Option<TokenResult>>,
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
    /// For a caller that waits until then at most.
    pub(super) fn awaited_until(self, until: Moment) -> Self {
        Self { deadline: self.deadline.min(until), ..self }
    }

    /// `None`: it is too late, or the flight's runtime has ended.
    pub(in crate::cache) async fn outcome(mut self, until: Instant) -> Option<TokenResult> {
        timeout_at(until, self.outcome.wait_for(Option::is_some)).await.ok()?.ok()?.clone()
    }
}

impl FlightTask {
    /// An exchange starts. `None`: another flight has taken over.
    pub(in crate::cache) fn begin(&self) -> Option<Moment> {
        let slot = self.slot.upgrade()?;
        let (now, mut state) = slot.locked();
        state.flight_of(self.id)?.deadline = slot.deadline(now);
        state.last_start = Some(now);
        if let Some(Suspicion::Awaited(until)) = state.issued.as_mut().and_then(|issued| issued.suspicion.as_mut()) {
            until.get_or_insert(now.after(SUSPECT_WAIT));
        }
        Some(now)
    }

    /// It goes on after `wait`.
    pub(in crate::cache) fn pause(&self, wait: Duration) {
        let Some(slot) = self.slot.upgrade() else { return };
        let (now, mut state) = slot.locked();
        if let Some(flight) = state.flight_of(self.id) {
            flight.deadline = slot.deadline(now.after(wait));
        }
    }

    /// It ends without an outcome of its own, unless it has ended before.
    pub(in crate::cache) fn abandon(&self) {
        let Some(slot) = self.slot.upgrade() else { return };
        let mut state = slot.lock();
        if state.land(self.id) {
            slot.end_leases();
        }
    }

    /// The callers learn of the outcome, after the slot.
    pub(in crate::cache) fn publish(mut self, outcome: TokenResult) {
        self.slot = Weak::new();
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for FlightTask {
    fn drop(&mut self) {
        self.abandon();
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
        let (sender, outcome) = watch::channel(None);
        state.flights += 1;
        state.flight = Some(Flight { id: state.flights, deadline: self.deadline(now), outcome });
        FlightTask {
            slot: Arc::downgrade(self),
            id: state.flights,
            outcome: sender,
            handle: Arc::default(),
            context: Arc::clone(&self.context),
            request: self.request.clone(),
            rejected,
            may_request: false,
            is_first: state.failures == 0,
            caller: None,
        }
    }

    fn deadline(&self, now: Moment) -> Moment {
        now.after(self.context.flight_limit())
    }
}
