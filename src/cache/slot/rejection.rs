//! A token that an API rejected before it expired.

use super::{SUSPECT_WAIT, Slot, State, Suspicion};
use crate::{cache::streaks::Verdict, challenge::Rejection, report::log, token::TokenNumber};

impl Slot {
    /// Notes that an API rejected `token`. Returns whether it makes sense to request another one.
    pub(in crate::cache) fn reject(&self, token: TokenNumber, origin: &str, rejection: Rejection) -> bool {
        let now = self.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(issued) = state.issued.as_mut().filter(|issued| issued.token.number() == token) else {
            // The cache has moved on: callers get another token.
            return true;
        };
        if now.reached(issued.expires_at) || issued.suspicion.is_some() {
            return true;
        }
        let age = issued.issued_at.until(now);
        let verdict = self.context.counted(&mut state.streaks, |streaks| streaks.reject(origin, rejection, now));
        let source = self.context.report.source();
        match verdict {
            Verdict::Wait { wait, first } => {
                drop(guard);
                if first {
                    log::rejected_again(source, &self.request, origin, wait);
                }
                // Another instance may have stored a newer token.
                self.context.has_store()
            }
            Verdict::Renew { again } => {
                let is_requested = state.flight.is_some();
                issued.suspicion = Some(match rejection {
                    Rejection::Explicit => Suspicion::Awaited(is_requested.then(|| now.after(SUSPECT_WAIT))),
                    Rejection::Bare => Suspicion::Served,
                });
                issued.renew_at = now;
                self.end_leases();
                drop(guard);
                log::rejected(source, &self.request, origin, age, again);
                true
            }
        }
    }

    /// `origin` accepted `token`, which may end a streak of rejections. Never waits: the next response will report the
    /// same.
    pub(in crate::cache) fn accepted(&self, token: TokenNumber, origin: &str) {
        let Ok(mut state) = self.state.try_lock() else { return };
        let now = self.now();
        let State { issued, streaks, .. } = &mut *state;
        if issued.as_ref().is_some_and(|issued| issued.suspicion.is_none() && issued.token.number() == token) {
            self.context.counted(streaks, |streaks| streaks.accepted(origin, now));
        }
    }

    /// `origin` accepted a token that replaced a rejected one.
    pub(in crate::cache) fn accepted_in_place(&self, origin: &str) {
        self.context.counted(&mut self.lock().streaks, |streaks| streaks.end(origin));
    }
}
