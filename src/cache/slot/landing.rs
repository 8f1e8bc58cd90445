//! How a token request ends.

use std::time::Duration;

use super::{Flight, Issued, Slot, State, Suspicion, TokenResult};
use crate::{
    cache::{
        backoff::{Failed, Hold, Reason},
        clock::Moment,
        status::ObtainedFrom,
    },
    error::{Error, ErrorKind},
};

/// How often in a row a server may repeat a token that has expired, as servers do that count down in whole seconds.
const MOST_REPEATS: u32 = 2;

impl Slot {
    /// Ends a flight after its last exchange. Returns what its callers get; `None`: they try again.
    pub(in crate::cache) fn finish(&self, flight: &Flight, outcome: TokenResult) -> Option<TokenResult> {
        let (now, mut guard) = self.locked();
        let state = &mut *guard;
        if !state.land(flight) {
            return Some(outcome);
        }
        let started_at = flight.last_start().unwrap_or(now);
        let (report, cause, was_failing) = (&self.context.report, state.cause(now), state.failures > 0);
        let is_issued = outcome.is_ok();
        let new = outcome.map(|token| self.issued(token, started_at, ObtainedFrom::Source));
        match new.and_then(|new| self.accept(state, new, now)) {
            Ok(None) => None,
            Ok(Some(issued)) => {
                let token = issued.token.clone();
                let usable = (issued.expires_at.wall(), started_at.until(issued.expires_at));
                self.replace(state, issued);
                // Without the lock, since a subscriber may send requests of its own.
                drop(guard);
                report.obtained(&self.request, cause, &token, was_failing, usable);
                Some(Ok(token))
            }
            Err(error) => {
                let (remaining, wait) = self.failed(state, &error, is_issued, started_at, now);
                drop(guard);
                report.failed(&self.request, cause, &error, Reason::of(&error).name(), remaining, wait);
                // The log has the server's own `Retry-After`.
                Some(Err(error.with_retry_after(wait)))
            }
        }
    }

    /// The new token; an error if it is worse than the cached one. `None`: the server may issue another in a moment.
    fn accept(&self, state: &mut State, new: Issued, now: Moment) -> Result<Option<Issued>, Error> {
        let Some(issued) = &mut state.issued else { return Ok(Some(new)) };
        let is_usable = !now.reached(issued.expires_at);
        if !issued.token.is_same_as(&new.token) {
            let is_dead = now.reached(new.expires_at) && is_usable && issued.suspicion.is_none();
            return if is_dead { Err(dead_on_arrival()) } else { Ok(Some(new)) };
        }
        // A server that counts its token down to zero states no lifetime at the end.
        let counted_down = issued.token.expires_in().is_some() && new.token.expires_in().is_none();
        // A server that returns a stored token is fine as long as that gains time.
        let least = issued.expires_at.after(self.life(&new.token).lifetime / 10);
        let gains = issued.suspicion.is_none() && new.expires_at.reached(least);
        if !counted_down && (gains || !is_usable) {
            return Ok(Some(new));
        }
        if !is_usable {
            state.repeats += 1;
            return if state.repeats > MOST_REPEATS { Err(same_token("after it had expired")) } else { Ok(None) };
        }
        let old = self.life(&issued.token);
        if issued.suspicion.take().is_some() {
            // Only another rejection starts a request again, and rejections are bounded.
            issued.renew_at = issued.issued_at.after(old.renew_after);
            return Err(same_token("after an API rejected it"));
        }
        // The server issues no other token before this one ends.
        issued.expires_at = issued.issued_at.after(old.lifetime);
        Err(same_token("without extending its lifetime"))
    }

    /// Callers get this token from now on.
    pub(super) fn replace(&self, state: &mut State, issued: Issued) {
        self.lend_new(&issued);
        state.issued = Some(issued);
        (state.failures, state.repeats, state.hold) = (0, 0, None);
        state.task.let_go();
    }

    /// `is_issued`: the server issued a token that is of no use, and may issue another once the cached one has expired.
    /// Returns how long that can still be used, and how long token requests are held back.
    fn failed(
        &self,
        state: &mut State,
        error: &Error,
        is_issued: bool,
        started_at: Moment,
        now: Moment,
    ) -> (Duration, Duration) {
        state.failures = state.failures.saturating_add(1);
        let remaining = state.issued.as_ref().map(|issued| now.until(issued.expires_at)).unwrap_or_default();
        let (in_a_row, took) = (state.failures, started_at.until(now));
        let mut wait = Failed { error, in_a_row, took, remaining }.hold_back(fastrand::f64());
        if is_issued && !remaining.is_zero() {
            wait = wait.min(remaining);
        }
        self.hold_back_until(state, error, now.after(wait));
        (remaining, wait)
    }

    /// No token request starts before, and callers that wait for the replacement of a rejected token get that one.
    pub(super) fn hold_back_until(&self, state: &mut State, error: &Error, until: Moment) {
        state.hold = Some(Hold { until, reason: Reason::of(error), error: error.clone() });
        // Leases last until the flight's deadline; the next attempt may be due before.
        self.end_leases();
        if let Some(issued) = &mut state.issued {
            issued.suspicion = issued.suspicion.map(|_| Suspicion::Served);
        }
    }

    /// The client's credentials have changed, which ends a hold that the old ones caused.
    pub(in crate::cache) fn credentials_changed(&self) {
        let now = self.now();
        let changed_at = self.context.endpoint.credentials_changed(now);
        let mut state = self.lock();
        let before = state.last_start.is_none_or(|start| !start.reached(changed_at));
        if before && let Some(hold) = state.hold.as_mut().filter(|hold| hold.error.may_be_credentials()) {
            hold.until = now;
            self.end_leases();
        }
    }
}

fn same_token(which: &str) -> Error {
    Error::new(ErrorKind::InvalidResponse, format!("the server issued the same token again, {which}"))
}

fn dead_on_arrival() -> Error {
    Error::new(ErrorKind::InvalidResponse, "the server issued a token that had already expired")
}
