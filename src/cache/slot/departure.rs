//! How a flight starts, or why none does.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    Slot, State, Step,
    flight::{Flight, Flying},
};
use crate::{
    cache::{
        backoff::{BETWEEN_REQUESTS, FORGET_FAILURES},
        clock::Moment,
    },
    error::{Error, ErrorKind},
    report::span::Span,
    runtime::{self, AbortOnDrop},
    token::{AccessToken, TokenNumber},
};

/// Between two looks into the store while no token may be requested.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// How a renewal proceeds.
pub(super) struct Renewal {
    /// What a caller does that has no token.
    pub step: Step,
    /// Until when one that has a token needs no other decision.
    pub until: Moment,
}

impl Slot {
    /// Why no flight starts.
    pub(super) fn obstacle(&self, state: &State, now: Moment, can_start: bool) -> Option<Renewal> {
        if let Some(flight) = &state.flight {
            return Some(flight.clone().into());
        }
        let issued = state.usable(now);
        if let Some(issued) = issued.filter(|issued| !now.reached(issued.renew_at)) {
            return Some(Renewal { step: Step::Fail(not_renewed()), until: issued.renew_at });
        }
        if !can_start {
            // No longer than now: the next caller may be in a runtime.
            return Some(Renewal { step: Step::Fail(runtime::missing()), until: now });
        }
        if let Some(hold) = self.hold(state, now) {
            let step = match issued {
                None if hold.is_short(now) => Step::WaitUntil(hold.until),
                _ => Step::Fail(hold.error(now)),
            };
            return Some(Renewal { step, until: hold.until });
        }
        let until = state.last_start?.after(BETWEEN_REQUESTS);
        (!now.reached(until)).then_some(Renewal { step: Step::WaitUntil(until), until })
    }

    /// Starts a flight that requests a token.
    pub(super) fn depart(self: &Arc<Self>, state: &mut State, now: Moment) -> (Renewal, Option<Flying>) {
        if state.hold.as_ref().is_none_or(|hold| now.reached(hold.until.after(FORGET_FAILURES))) {
            state.failures = 0;
        }
        state.task = AbortOnDrop::default();
        let suspect = state.issued.as_ref().filter(|issued| issued.suspicion.is_some());
        let rejected = suspect.map(|issued| issued.token.clone());
        let (renewal, mut flying) = self.fly(state, now, rejected);
        flying.task = state.task.handle();
        (renewal, Some(flying))
    }

    /// Where no token may be requested and callers have none: looks whether another instance has stored one.
    pub(super) fn or_look(
        self: &Arc<Self>,
        state: &mut State,
        now: Moment,
        unwanted: Option<TokenNumber>,
        obstacle: Renewal,
    ) -> (Renewal, Option<Flying>) {
        let is_soon = state.last_look.is_some_and(|look| !now.reached(look.after(BETWEEN_LOOKS)));
        if state.flight.is_some() || is_soon || !self.context.has_store() {
            return (obstacle, None);
        }
        state.last_look = Some(now);
        let rejected = unwanted.and_then(|unwanted| state.issued_as(unwanted)).map(|issued| issued.token.clone());
        let (renewal, mut flying) = self.fly(state, now, rejected);
        flying.may_request = false;
        (renewal, Some(flying))
    }

    fn fly(self: &Arc<Self>, state: &mut State, now: Moment, rejected: Option<AccessToken>) -> (Renewal, Flying) {
        state.flights += 1;
        let (sender, outcome) = watch::channel(None);
        let flight = Flight { id: state.flights, deadline: self.deadline(now), outcome };
        state.flight = Some(flight.clone());
        let flying = Flying {
            slot: Arc::downgrade(self),
            id: flight.id,
            outcome: sender,
            task: Arc::default(),
            context: Arc::clone(&self.context),
            request: self.request.clone(),
            rejected,
            may_request: true,
            is_first: state.failures == 0,
            caller: Span::none(),
        };
        (flight.into(), flying)
    }
}

impl From<Flight> for Renewal {
    fn from(flight: Flight) -> Self {
        Self { until: flight.deadline, step: Step::Join(flight) }
    }
}

fn not_renewed() -> Error {
    Error::new(ErrorKind::InvalidResponse, "the rejected token was not replaced")
}
