//! How a token request ends.

use std::time::{Duration, SystemTime};

use super::{Issued, Slot, State, Suspicion};
use crate::{
    cache::{
        backoff::{Failed, Hold, Reason},
        clock::Moment,
        flight::TokenResult,
        renewal::Life,
        status::ObtainedFrom,
    },
    error::{Error, ErrorKind},
    report::RequestCause,
    token::AccessToken,
};

/// How often in a row a server may repeat a token that has expired, as servers do that count down in whole seconds.
const MOST_REPEATS: u32 = 2;

/// How a flight ended.
enum Ended {
    Obtained { token: AccessToken, until: SystemTime, lifetime: Duration },
    Failed { error: Error, remaining: Duration, wait: Duration },
    Repeated,
}

impl Slot {
    /// Ends a flight whose token request started at `started_at`. Returns what its callers get; `None`: they try again.
    pub(in crate::cache) fn finish(&self, id: u64, outcome: TokenResult, started_at: Moment) -> Option<TokenResult> {
        let (now, mut guard) = self.locked();
        let state = &mut *guard;
        if !state.land(id) {
            return Some(outcome);
        }
        let cause = match &state.issued {
            None => RequestCause::Cold,
            Some(issued) if now.reached(issued.expires_at) => RequestCause::Expired,
            Some(issued) if issued.suspicion.is_some() => RequestCause::Rejected,
            Some(_) => RequestCause::Aging,
        };
        let was_failing = state.failures > 0;
        let ended = match outcome {
            Ok(token) => self.succeeded(state, token, started_at, now),
            Err(error) => self.failed(state, error, started_at, now),
        };
        drop(guard);
        // Without the lock, since a subscriber may send requests of its own.
        let report = &self.context.report;
        match ended {
            Ended::Obtained { token, until, lifetime } => {
                report.obtained(&self.request, cause, &token, was_failing, (until, lifetime));
                Some(Ok(token))
            }
            Ended::Failed { error, remaining, wait } => {
                report.failed(&self.request, cause, &error, Reason::of(&error).name(), remaining, wait);
                // The log has the server's own `Retry-After`.
                Some(Err(error.with_retry_after(wait)))
            }
            Ended::Repeated => None,
        }
    }

    fn succeeded(&self, state: &mut State, token: AccessToken, started_at: Moment, now: Moment) -> Ended {
        let life = Life::new(&token, &self.context.settings, self.jitter);
        let new = Issued::new(&token, &life, started_at, |time| started_at.after(time), ObtainedFrom::Source);
        if let Some(issued) = &state.issued {
            let is_usable = !now.reached(issued.expires_at);
            if issued.token.is_same_as(&token) {
                // A server that counts its token down to zero states no lifetime at the end.
                let counted_down = issued.token.expires_in().is_some() && token.expires_in().is_none();
                // A server that returns a stored token is fine as long as that gains time.
                let gains = !counted_down && new.expires_at.reached(issued.expires_at.after(life.lifetime / 10));
                if is_usable && (issued.suspicion.is_some() || !gains) || counted_down {
                    return self.repeated(state, is_usable, started_at, now);
                }
            } else if is_usable && issued.suspicion.is_none() && now.reached(new.expires_at) {
                return self.failed(state, dead_on_arrival(), started_at, now);
            }
        }
        let until = new.expires_at.wall();
        self.replace(state, new);
        Ended::Obtained { token, until, lifetime: life.expires_after }
    }

    /// Callers get this token from now on.
    pub(super) fn replace(&self, state: &mut State, issued: Issued) {
        self.lend_new(&issued);
        state.issued = Some(issued);
        (state.failures, state.repeats, state.hold) = (0, 0, None);
        state.task.let_go();
    }

    /// The server issued the same token again, without extending its lifetime.
    fn repeated(&self, state: &mut State, is_usable: bool, started_at: Moment, now: Moment) -> Ended {
        let Some(issued) = state.issued.as_mut() else { return Ended::Repeated };
        if !is_usable {
            if state.repeats < MOST_REPEATS {
                state.repeats += 1;
                return Ended::Repeated;
            }
            return self.failed(state, same_token("after it had expired"), started_at, now);
        }
        if issued.suspicion.take().is_some() {
            // Only another rejection starts a request again, and rejections are bounded.
            issued.renew_at = issued.ages_at;
            return self.failed(state, same_token("after an API rejected it"), started_at, now);
        }
        // The server issues no other token before this one ends.
        let ends_at = issued.ends_at;
        issued.expires_at = ends_at;
        let ended = self.failed(state, same_token("without extending its lifetime"), started_at, now);
        if let Some(hold) = &mut state.hold {
            hold.until = hold.until.min(ends_at);
        }
        ended
    }

    fn failed(&self, state: &mut State, error: Error, started_at: Moment, now: Moment) -> Ended {
        state.failures = state.failures.saturating_add(1);
        let remaining = state.issued.as_ref().map(|issued| now.until(issued.expires_at)).unwrap_or_default();
        let (in_a_row, took) = (state.failures, started_at.until(now));
        let wait = Failed { error: &error, in_a_row, took, remaining }.hold_back(fastrand::f64());
        self.hold_back_until(state, &error, now.after(wait));
        Ended::Failed { error, remaining, wait }
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
