//! What a caller does next: it gets the token, waits, or fails. The flight that is due starts here.

use std::sync::Arc;

use super::{
    Slot, State,
    flight::{Flight, FlightTask},
};
use crate::{
    cache::{backoff::BETWEEN_REQUESTS, clock::Moment},
    error::{Error, ErrorKind},
    runtime,
    token::{AccessToken, TokenNumber},
};

/// What a caller does now.
pub(in crate::cache) enum Step {
    Serve(AccessToken),
    /// Until then.
    Join(Flight, Moment),
    WaitUntil(Moment),
    Fail(Error),
}

impl Slot {
    /// What a caller does now, and the flight that starts if it `can_start` one. A caller whose token was rejected does
    /// not want the same token again.
    pub(in crate::cache) fn next(
        self: &Arc<Self>,
        unwanted: Option<TokenNumber>,
        can_start: bool,
    ) -> (Step, Option<FlightTask>) {
        let (now, mut state) = self.locked();
        let task = if can_start { self.start(&mut state, now, unwanted) } else { None };
        (self.step(&state, now, unwanted, can_start), task)
    }

    /// Starts the flight that is due, unless one is under way.
    fn start(self: &Arc<Self>, state: &mut State, now: Moment, unwanted: Option<TokenNumber>) -> Option<FlightTask> {
        state.take_flight(|flight| flight.has_ended_by(now));
        if state.flight.is_some() {
            return None;
        }
        if state.is_due(now) && now.reached(state.next_start(now)) && self.hold(state, now).is_none() {
            return Some(self.depart(state, now));
        }
        // Another instance may have stored a token.
        if state.usable_but(unwanted, now).is_none() { self.look(state, now, unwanted) } else { None }
    }

    fn step(&self, state: &State, now: Moment, unwanted: Option<TokenNumber>, can_start: bool) -> Step {
        let usable = state.usable_but(unwanted, now);
        if let Some(issued) = usable.filter(|_| !state.is_due(now)) {
            return Step::Serve(self.lend_until(issued, issued.renew_at));
        }
        // What a caller does that has no token, and until when one that has a token needs no other decision.
        let (step, until) = if let Some(flight) = state.flight.as_ref().filter(|_| state.is_flying(now)) {
            (Step::Join(flight.clone(), flight.deadline()), flight.deadline())
        } else if !state.is_due(now) {
            (Step::Fail(not_renewed()), now)
        } else if !can_start {
            // The next caller may be in a runtime.
            (Step::Fail(runtime::missing()), now)
        } else if let Some(hold) = self.hold(state, now) {
            let waits = hold.is_short(now) && state.usable(now).is_none();
            (if waits { Step::WaitUntil(hold.until) } else { Step::Fail(hold.error(now)) }, hold.until)
        } else {
            (Step::WaitUntil(state.next_start(now)), state.next_start(now))
        };
        let Some(issued) = usable else { return step };
        match (state.awaited_until(issued, now), step) {
            (Some(until), Step::Join(flight, deadline)) => Step::Join(flight, deadline.min(until)),
            (Some(_), Step::WaitUntil(until)) => Step::WaitUntil(until),
            _ => Step::Serve(self.lend_until(issued, until)),
        }
    }

    /// When the next token request is due; `None`: it is under way.
    pub(in crate::cache) fn due(&self) -> Option<Moment> {
        let (now, state) = self.locked();
        if state.is_flying(now) {
            return None;
        }
        let hold = self.hold(&state, now).map(|hold| hold.until);
        Some(hold.or(state.issued.as_ref().map(|issued| issued.renew_at)).unwrap_or(now))
    }
}

impl State {
    /// Whether a token is needed.
    fn is_due(&self, now: Moment) -> bool {
        self.usable(now).is_none_or(|issued| now.reached(issued.renew_at))
    }

    /// When the last token request is long enough ago.
    fn next_start(&self, now: Moment) -> Moment {
        self.last_start.map_or(now, |start| start.after(BETWEEN_REQUESTS))
    }
}

fn not_renewed() -> Error {
    Error::new(ErrorKind::InvalidResponse, "the rejected token was not replaced")
}
