//! A token that an API rejected before it expired.

use std::time::Duration;

use super::{Slot, State, Suspicion};
use crate::{
    cache::streaks::{BY_HAND, TooSoon},
    challenge::Rejection,
    report::log,
    token::TokenNumber,
};

/// By hand, a token of this age was most likely accepted.
const UNTIL_ACCEPTED: Duration = Duration::from_secs(60);

impl Slot {
    /// Notes that an API rejected `token`. Returns whether it makes sense to request another one.
    ///
    /// `origin` is the origin's bit, `name` is for the log.
    pub(in crate::cache) fn reject(&self, token: TokenNumber, origin: u64, name: &str, rejection: Rejection) -> bool {
        let (now, mut guard) = self.locked();
        let state = &mut *guard;
        let Some(issued) = state.issued.as_mut().filter(|issued| issued.token.number() == token) else {
            // The cache has moved on: callers get another token.
            return true;
        };
        if now.reached(issued.expires_at) || issued.suspicion.is_some() {
            return true;
        }
        let age = issued.issued_at.until(now);
        let was_accepted = match origin {
            BY_HAND => age >= UNTIL_ACCEPTED,
            _ => issued.accepted_by & origin != 0 || state.streaks.has_accepted(origin),
        };
        let verdict = state.streaks.reject(origin, rejection, now, &self.context.streaks);
        let source = self.context.report.source();
        match verdict {
            Err(TooSoon { wait, is_first }) => {
                drop(guard);
                if is_first {
                    log::rejected_again(source, &self.request, name, wait, was_accepted);
                }
                // Another instance may have stored a newer token.
                self.context.has_store()
            }
            Ok(()) => {
                issued.suspicion = Some(match rejection {
                    Rejection::Explicit => Suspicion::Awaited { since: now, requested_at: None },
                    Rejection::Bare => Suspicion::Served,
                });
                issued.renew_at = now;
                issued.accepted_by &= !origin;
                self.end_leases();
                drop(guard);
                log::rejected(source, &self.request, name, age, was_accepted);
                true
            }
        }
    }

    /// `origin` accepted `token`, which may end a streak of rejections. Does not wait for the lock: the next response
    /// will report the same. An origin counts among those that have accepted the token once it has no streak.
    pub(in crate::cache) fn accepted(&self, token: TokenNumber, origin: u64) {
        let Ok(mut state) = self.state.try_lock() else { return };
        let now = self.now();
        let State { issued, streaks, .. } = &mut *state;
        let Some(issued) = issued.as_mut().filter(|issued| issued.token.number() == token) else { return };
        if issued.suspicion.is_none() {
            streaks.accepted(origin, now);
        }
        if !streaks.has(origin) {
            self.note_accepted(issued, origin);
        }
    }

    /// `origin` accepted a token that replaced a rejected one.
    pub(in crate::cache) fn accepted_in_place(&self, token: TokenNumber, origin: u64) {
        let mut state = self.lock();
        state.streaks.end(origin);
        if let Some(issued) = state.issued_as(token) {
            self.note_accepted(issued, origin);
        }
    }
}
