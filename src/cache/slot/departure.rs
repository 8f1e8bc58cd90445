//! How a flight starts, or why none does.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{sync::watch, task::AbortHandle};

use super::{Slot, State};
use crate::{
    cache::{
        backoff::{BETWEEN_REQUESTS, FORGET_FAILURES, Hold},
        clock::Moment,
        flight::{AbortOnDrop, Flight, TokenResult},
    },
    token::{AccessToken, TokenNumber},
};

/// Between two looks into the store while no token may be requested.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// A flight that is about to start.
pub(in crate::cache) struct Departure {
    pub id: u64,
    pub outcome: watch::Sender<Option<TokenResult>>,
    /// Where to store the handle of its task.
    pub task: Arc<OnceLock<AbortHandle>>,
    /// A token that an API rejected, for sources that keep tokens elsewhere.
    pub rejected: Option<AccessToken>,
    /// `false`: it only looks whether another instance has stored a token.
    pub may_request: bool,
    /// Whether nothing had failed before, so that a quick retry may follow a failure.
    pub is_first: bool,
}

/// How a renewal proceeds.
pub(super) enum Renewal {
    UnderWay(Flight),
    /// The last token request started less than a second ago.
    Soon(Moment),
    HeldBack(Hold),
    NotDue,
    NoRuntime,
}

impl Slot {
    /// `None`: a flight may start.
    pub(super) fn renewal(&self, state: &State, now: Moment, due: Moment, can_start: bool) -> Option<Renewal> {
        if let Some(flight) = &state.flight {
            return Some(Renewal::UnderWay(flight.clone()));
        }
        if !now.reached(due) {
            return Some(Renewal::NotDue);
        }
        if !can_start {
            return Some(Renewal::NoRuntime);
        }
        if let Some(hold) = self.hold(state, now) {
            return Some(Renewal::HeldBack(hold));
        }
        let next = state.last_start?.after(BETWEEN_REQUESTS);
        (!now.reached(next)).then_some(Renewal::Soon(next))
    }

    /// Starts a flight that requests a token.
    pub(super) fn depart(&self, state: &mut State, now: Moment) -> (Renewal, Option<Departure>) {
        if state.hold.as_ref().is_none_or(|hold| now.reached(hold.until.after(FORGET_FAILURES))) {
            state.failures = 0;
        }
        state.task = AbortOnDrop::default();
        let suspect = state.issued.as_ref().filter(|issued| issued.suspicion.is_some());
        let rejected = suspect.map(|issued| issued.token.clone());
        let (flight, departure) = self.fly(state, now, rejected);
        (Renewal::UnderWay(flight), Some(Departure { task: state.task.handle(), ..departure }))
    }

    /// Where no token may be requested and callers have none: looks whether another instance has stored one.
    pub(super) fn or_look(
        &self,
        state: &mut State,
        now: Moment,
        unwanted: Option<TokenNumber>,
        renewal: Renewal,
    ) -> (Renewal, Option<Departure>) {
        let is_soon = state.last_look.is_some_and(|look| !now.reached(look.after(BETWEEN_LOOKS)));
        if matches!(renewal, Renewal::UnderWay(_)) || is_soon || !self.context.has_store() {
            return (renewal, None);
        }
        state.last_look = Some(now);
        let rejected = unwanted.and_then(|unwanted| state.issued_as(unwanted)).map(|issued| issued.token.clone());
        let (flight, departure) = self.fly(state, now, rejected);
        (Renewal::UnderWay(flight), Some(Departure { may_request: false, ..departure }))
    }

    fn fly(&self, state: &mut State, now: Moment, rejected: Option<AccessToken>) -> (Flight, Departure) {
        state.flights += 1;
        let (flight, outcome) = Flight::new(state.flights, self.deadline(now));
        state.flight = Some(flight.clone());
        let (id, is_first) = (flight.id, state.failures == 0);
        (flight, Departure { id, outcome, task: Arc::default(), rejected, may_request: true, is_first })
    }
}
