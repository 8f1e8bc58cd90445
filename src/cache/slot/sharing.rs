//! What a store of shared tokens changes in a token's life.

use std::time::{Duration, SystemTime};

use super::{Issued, Slot, Suspicion};
use crate::{
    cache::{
        backoff::{Hold, Reason},
        renewal::Life,
        status::ObtainedFrom,
    },
    error::Error,
    store::{LONGEST_OPERATION, StoredFailure, Urgency},
    token::AccessToken,
};

/// How long a failure that another instance met holds back one without a usable token, unless the server asked for it.
const MOST_WITHOUT_TOKEN: Duration = Duration::from_secs(30);

impl Slot {
    /// Whether callers wait for an operation of the store that begins now, or may before it ends.
    pub(in crate::cache) fn urgency(&self) -> Urgency {
        let now = self.now();
        let ends = now.after(LONGEST_OPERATION);
        let state = self.lock();
        let is_served = |issued: &Issued| !ends.reached(issued.expires_at) && issued.awaited_until(now).is_none();
        if state.issued.as_ref().is_some_and(is_served) { Urgency::BesideTraffic } else { Urgency::WaitedFor }
    }

    /// Whether it takes a stored token of this age: a usable one, unless the held token is as good.
    pub(in crate::cache) fn takes(&self, stored: &AccessToken, age: Duration, rejected: Option<&AccessToken>) -> bool {
        let life = Life::new(stored, &self.context.settings, self.jitter);
        let is_rejected = |token: &AccessToken| rejected.is_some_and(|rejected| rejected.is_same_as(token));
        if age >= life.expires_after || is_rejected(stored) {
            return false;
        }
        let now = self.now();
        let state = self.lock();
        let Some(issued) = &state.issued else { return true };
        let (is_usable, held) = (!now.reached(issued.expires_at), now.since(issued.issued_at));
        let is_rejected = issued.suspicion.is_some() || is_rejected(&issued.token);
        match issued.token.is_same_as(stored) {
            true if is_rejected => false,
            // A server that returns the same token again may have extended its lifetime.
            true => !is_usable || age + life.lifetime / 10 <= held,
            false => is_rejected || !is_usable || age < held,
        }
    }

    /// Ends a flight with a token that another instance requested so long ago. Returns until when it can be used, and
    /// for how long after that request.
    pub(in crate::cache) fn take(&self, id: u64, token: &AccessToken, age: Duration) -> (SystemTime, Duration) {
        let life = Life::new(token, &self.context.settings, self.jitter);
        let now = self.now();
        let after = |time: Duration| now.after(time.saturating_sub(age));
        let issued = Issued::new(token, &life, now.before(age), after, ObtainedFrom::Store);
        let usable = (issued.expires_at.wall(), life.expires_after);
        let mut state = self.lock();
        if state.flight.take_if(|flight| flight.id == id).is_some() {
            self.replace(&mut state, issued);
        }
        usable
    }

    /// Ends a flight because of a failure that another instance met. Returns what callers get, and for how long.
    pub(in crate::cache) fn hold_back(&self, id: u64, failure: &StoredFailure) -> (Error, Duration) {
        let now = self.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let (error, reason) = (failure.error.clone(), Reason::of(&failure.error));
        let is_usable = state.issued.as_ref().is_some_and(|issued| !now.reached(issued.expires_at));
        let wait = match reason {
            Reason::Failure if !is_usable => failure.hold.min(MOST_WITHOUT_TOKEN),
            _ => failure.hold,
        };
        if state.flight.take_if(|flight| flight.id == id).is_some() {
            state.failures = state.failures.max(failure.in_a_row);
            state.hold = Some(Hold { until: now.after(wait), reason, error: error.clone() });
            self.end_leases();
            if let Some(issued) = &mut state.issued {
                issued.suspicion = issued.suspicion.map(|_| Suspicion::Served);
            }
        }
        (error, wait)
    }

    /// Ends the flight of a renewal, which nobody else makes, for a random moment in the first half of what is left of
    /// the token: a fleet whose store is down must not renew at once. `false`: it was postponed before, or cannot be.
    pub(in crate::cache) fn postpone(&self, id: u64) -> bool {
        let now = self.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let usable = state.issued.as_mut().filter(|issued| !now.reached(issued.expires_at));
        // By its age alone: after a rejection, callers need another token.
        let Some(issued) =
            usable.filter(|issued| issued.suspicion.is_none() && issued.ages_at.reached(issued.renew_at))
        else {
            return false;
        };
        issued.renew_at = now.after((now.until(issued.expires_at) / 2).mul_f64(fastrand::f64()));
        state.flight.take_if(|flight| flight.id == id);
        self.end_leases();
        true
    }

    /// How many token requests have failed in a row.
    pub(in crate::cache) fn failures(&self) -> u32 {
        self.lock().failures
    }

    /// Other instances' token requests have failed so often in a row.
    pub(in crate::cache) fn failed_before(&self, failures: u32) {
        let mut state = self.lock();
        state.failures = state.failures.max(failures);
    }
}
