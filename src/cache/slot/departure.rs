//! How a flight starts, or why none does.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{sync::watch, task::AbortHandle};

use super::{Slot, State, is_same};
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

/// How a renewal that is due proceeds.
pub(super) enum Renewal {
    UnderWay(Flight),
    /// The last token request started less than a second ago.
    Soon(Moment),
    HeldBack(Hold),
    NotDue,
    NoRuntime,
}

impl Slot {
    /// Joins the flight, prepares one, or returns why not.
    pub(super) fn renew(
        &self,
        state: &mut State,
        now: Moment,
        due: Moment,
        can_start: bool,
    ) -> (Renewal, Option<Departure>) {
        if let Some(flight) = &state.flight {
            return (Renewal::UnderWay(flight.clone()), None);
        }
        if !now.reached(due) {
            return (Renewal::NotDue, None);
        }
        if !can_start {
            return (Renewal::NoRuntime, None);
        }
        if let Some(hold) = self.hold(state, now) {
            return (Renewal::HeldBack(hold), None);
        }
        if let Some(next) = state.last_start.map(|start| start.after(BETWEEN_REQUESTS))
            && !now.reached(next)
        {
            return (Renewal::Soon(next), None);
        }
        if state.hold.as_ref().is_none_or(|hold| now.reached(hold.until.after(FORGET_FAILURES))) {
            state.failures = 0;
        }
        state.task = AbortOnDrop::default();
        let suspect = state.issued.as_ref().filter(|issued| issued.suspicion.is_some());
        let rejected = suspect.map(|issued| issued.token.clone());
        let (flight, mut departure) = self.depart(state, now, rejected);
        departure.task = state.task.handle();
        (Renewal::UnderWay(flight), Some(departure))
    }

    fn depart(&self, state: &mut State, now: Moment, rejected: Option<AccessToken>) -> (Flight, Departure) {
        state.flights += 1;
        let (flight, outcome) = Flight::new(state.flights, self.deadline(now));
        state.flight = Some(flight.clone());
        let (id, is_first) = (flight.id, state.failures == 0);
        (flight, Departure { id, outcome, task: Arc::default(), rejected, may_request: true, is_first })
    }

    /// Where no token may be requested and callers have none: looks whether another instance has stored one.
    pub(super) fn or_look(
        &self,
        state: &mut State,
        now: Moment,
        unwanted: Option<TokenNumber>,
        (renewal, departure): (Renewal, Option<Departure>),
    ) -> (Renewal, Option<Departure>) {
        let may_help = matches!(renewal, Renewal::Soon(_) | Renewal::HeldBack(_) | Renewal::NotDue);
        let is_soon = state.last_look.is_some_and(|look| !now.reached(look.after(BETWEEN_LOOKS)));
        if !may_help || is_soon || !self.context.has_store() {
            return (renewal, departure);
        }
        state.last_look = Some(now);
        let issued = state.issued.as_ref().filter(|issued| is_same(unwanted, &issued.token));
        let rejected = issued.map(|issued| issued.token.clone());
        let (flight, departure) = self.depart(state, now, rejected);
        (Renewal::UnderWay(flight), Some(Departure { may_request: false, ..departure }))
    }
}
