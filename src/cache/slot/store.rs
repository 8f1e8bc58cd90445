//! What a store of shared tokens changes in a token's life.

use std::time::Duration;

use super::{Issued, Slot};
use crate::{
    cache::{backoff::Reason, status::ObtainedFrom},
    error::Error,
    report::store as report,
    store::{LONGEST_OPERATION, StoredFailure, Taken, Urgency},
    token::AccessToken,
};

/// How long a failure that another instance met holds back one without a usable token, unless the server asked for it.
const MOST_WITHOUT_TOKEN: Duration = Duration::from_secs(30);

impl Slot {
    /// Whether callers wait for an operation of the store that begins now, or may before it ends.
    pub(in crate::cache) fn urgency(&self) -> Urgency {
        let (now, state) = self.locked();
        let ends = now.after(LONGEST_OPERATION);
        let is_served = state.usable(ends).is_some_and(|issued| issued.awaited_until(now).is_none());
        if is_served { Urgency::BesideTraffic } else { Urgency::WaitedFor }
    }

    /// Whether it takes a stored token of this age: a usable one, unless the cached token is as good.
    pub(in crate::cache) fn takes(&self, stored: &AccessToken, age: Duration, rejected: Option<&AccessToken>) -> bool {
        let life = self.life(stored);
        let is_rejected = |token: &AccessToken| rejected.is_some_and(|rejected| rejected.is_same_as(token));
        if age >= life.expires_after || is_rejected(stored) {
            return false;
        }
        let (now, state) = self.locked();
        let Some(issued) = &state.issued else { return true };
        let (is_usable, own_age) = (!now.reached(issued.expires_at), now.since(issued.issued_at));
        let is_rejected = issued.suspicion.is_some() || is_rejected(&issued.token);
        match issued.token.is_same_as(stored) {
            true if is_rejected => false,
            // A server that returns the same token again may have extended its lifetime.
            true => !is_usable || age + life.lifetime / 10 <= own_age,
            false => is_rejected || !is_usable || age < own_age,
        }
    }

    /// Ends a flight with a token that another instance obtained. Returns what callers get.
    pub(in crate::cache) fn take(&self, id: u64, taken: &Taken, store: &str) -> AccessToken {
        let (token, age) = (taken.token.clone().with_request(self.request.clone()), taken.age);
        let life = self.life(&token);
        let (now, mut state) = self.locked();
        let issued = Issued::new(&token, &life, now.before(age), ObtainedFrom::Store);
        let usable = (issued.expires_at.wall(), life.expires_after);
        let was_failing = state.failures > 0;
        if state.land(id) {
            self.replace(&mut state, issued);
        }
        drop(state);
        let report = &self.context.report;
        report::taken(report, &self.request, store, &token, (age, taken.waited), was_failing, usable);
        token
    }

    /// Ends a flight because of a failure that another instance met. Returns what callers get.
    pub(in crate::cache) fn hold_back(&self, id: u64, failure: &StoredFailure, store: &str) -> Error {
        let (now, mut state) = self.locked();
        let error = &failure.error;
        let wait = match Reason::of(error) {
            Reason::Failure if state.usable(now).is_none() => failure.hold.min(MOST_WITHOUT_TOKEN),
            _ => failure.hold,
        };
        if state.land(id) {
            state.failures = state.failures.max(failure.in_a_row);
            self.hold_back_until(&mut state, error, now.after(wait));
        }
        drop(state);
        report::held_back(&self.context.report, &self.request, store, error, wait);
        error.clone().with_retry_after(wait)
    }

    /// Ends the flight of a renewal, which nobody else makes, for a random moment in the first half of what is left of
    /// the token: a fleet whose store is down must not renew at once. `false`: it was postponed before, or cannot be.
    pub(in crate::cache) fn postpone(&self, id: u64) -> bool {
        let (now, mut state) = self.locked();
        let Some(issued) = state.issued.as_mut().filter(|issued| !now.reached(issued.expires_at)) else { return false };
        // By its age alone: after a rejection, callers need another token.
        if issued.renew_at != issued.issued_at.after(self.life(&issued.token).renew_after) {
            return false;
        }
        issued.renew_at = now.after((now.until(issued.expires_at) / 2).mul_f64(fastrand::f64()));
        state.land(id);
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
