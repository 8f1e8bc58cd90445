//! What a store of shared tokens changes in a token's life.

use std::time::Duration;

use super::{Flight, Issued, Slot};
use crate::{
    cache::{backoff::Reason, clock::Moment, status::ObtainedFrom},
    error::Error,
    report::store as report,
    store::{LONGEST_OPERATION, StoredToken, Urgency, Visit},
    token::AccessToken,
};

/// How long a failure that another instance met holds back one without a usable token, unless the server asked for it.
const MOST_WITHOUT_TOKEN: Duration = Duration::from_secs(30);

impl Slot {
    /// Whether callers wait for an operation of the store that begins now, or may before it ends.
    pub(in crate::cache) fn urgency(&self) -> Urgency {
        let (now, state) = self.locked();
        let ends = now.after(LONGEST_OPERATION);
        let is_served = state.usable(ends).is_some_and(|issued| state.awaited_until(issued, now).is_none());
        if is_served { Urgency::BesideTraffic } else { Urgency::WaitedFor }
    }

    /// Ends a flight with a usable token that another instance obtained, unless the cached token is as good. Returns
    /// what callers get.
    pub(in crate::cache) fn take(
        &self,
        flight: &Flight,
        visit: &Visit,
        rejected: Option<&AccessToken>,
    ) -> Option<AccessToken> {
        let stored = visit.token()?;
        let (token, age) = (stored.token.clone().with_request(self.request.clone()), stored.age);
        let life = self.life(&token);
        let is_rejected = |token: &AccessToken| rejected.is_some_and(|rejected| rejected.is_same_as(token));
        let (now, mut state) = self.locked();
        let is_as_good = |cached: &Issued| cached.is_as_good_as(stored, life.lifetime, is_rejected(&cached.token), now);
        if age >= life.expires_after || is_rejected(&token) || state.issued.as_ref().is_some_and(is_as_good) {
            return None;
        }
        let issued = self.issued(token.clone(), now.before(age), ObtainedFrom::Store);
        let usable = (issued.expires_at.wall(), life.expires_after);
        let was_failing = state.failures > 0;
        if state.land(flight) {
            self.replace(&mut state, issued);
        }
        drop(state);
        let (report, waited) = (&self.context.report, visit.waited());
        report::taken(report, &self.request, visit.store(), &token, (age, waited), was_failing, usable);
        Some(token)
    }

    /// Ends a flight because of a failure that another instance met. Returns what callers get.
    pub(in crate::cache) fn hold_back(&self, flight: &Flight, visit: &Visit) -> Option<Error> {
        let failure = visit.failure().filter(|failure| !failure.hold.is_zero())?;
        let error = &failure.error;
        let (now, mut state) = self.locked();
        let wait = match Reason::of(error) {
            Reason::Failure if state.usable(now).is_none() => failure.hold.min(MOST_WITHOUT_TOKEN),
            _ => failure.hold,
        };
        if state.land(flight) {
            state.failures = state.failures.max(failure.in_a_row);
            self.hold_back_until(&mut state, error, now.after(wait));
        }
        drop(state);
        report::held_back(&self.context.report, &self.request, visit.store(), error, wait);
        Some(error.clone().with_retry_after(wait))
    }

    /// Ends the flight of a renewal, which nobody else makes, for a random moment in the first half of what is left of
    /// the token: a fleet whose store is down must not renew at once. `false`: it was postponed before, or cannot be.
    pub(in crate::cache) fn postpone(&self, flight: &Flight) -> bool {
        let (now, mut state) = self.locked();
        let Some(issued) = state.issued.as_mut().filter(|issued| !now.reached(issued.expires_at)) else { return false };
        // By its age alone: after a rejection, callers need another token.
        if issued.renew_at != issued.issued_at.after(self.life(&issued.token).renew_after) {
            return false;
        }
        issued.renew_at = now.after((now.until(issued.expires_at) / 2).mul_f64(fastrand::f64()));
        state.land(flight);
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

impl Issued {
    fn is_as_good_as(&self, stored: &StoredToken, lifetime: Duration, is_rejected: bool, now: Moment) -> bool {
        let (is_usable, age) = (!now.reached(self.expires_at), now.since(self.issued_at));
        let is_rejected = is_rejected || self.suspicion.is_some();
        match self.token.is_same_as(&stored.token) {
            // A server that returns the same token again may have extended its lifetime.
            true => is_rejected || is_usable && stored.age + lifetime / 10 > age,
            false => !is_rejected && is_usable && stored.age >= age,
        }
    }
}
