//! Rejections in a row: how often they may renew a token.

use std::{sync::Arc, time::Duration};

use super::{backoff::BETWEEN_REQUESTS, clock::Moment};
use crate::challenge::Rejection;

/// In the place of an origin: the application reports the rejections.
pub(super) const BY_HAND: u64 = 0;
/// A 401 without a reason may be about a path rather than the token, so it takes longer to conclude that a token was
/// accepted.
const BARE_ACCEPTANCE: Duration = Duration::from_secs(60);
const STREAK_REMEMBERED: Duration = Duration::from_secs(60 * 60);
const LONGEST_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Rejections of tokens whose replacements the origin has not accepted. There is at most one streak of each kind for an
/// origin, which is known by its bit.
#[derive(Default)]
pub(super) struct Streaks(Vec<Streak>);

struct Streak {
    origin: u64,
    kind: Rejection,
    count: u32,
    /// When the next rejection may renew the token.
    not_before: Moment,
    /// When the last rejection came.
    quiet_since: Moment,
    /// Whether the origin has accepted a token since.
    accepted: bool,
    mentioned: bool,
    /// By this, streaks are counted.
    _all: Arc<()>,
}

/// No renewal: the last one was too recent.
pub(super) struct TooSoon {
    pub wait: Duration,
    pub is_first: bool,
}

impl Streaks {
    fn of(&self, origin: u64) -> impl Iterator<Item = &Streak> {
        self.0.iter().filter(move |streak| streak.origin == origin)
    }

    /// Whether the origin has a streak.
    pub(super) fn has(&self, origin: u64) -> bool {
        self.of(origin).next().is_some()
    }

    /// Whether the origin has accepted a token since the last one that it rejected.
    pub(super) fn has_accepted(&self, origin: u64) -> bool {
        self.of(origin).any(|streak| streak.accepted)
    }

    /// `Ok`: the rejection may renew the token. An explicit one is never held back by bare ones.
    pub(super) fn reject(&mut self, origin: u64, kind: Rejection, now: Moment, all: &Arc<()>) -> Result<(), TooSoon> {
        self.forget(origin, now);
        let holds_back = |streak: &&Streak| streak.kind == kind || streak.kind == Rejection::Explicit;
        let wait = self.of(origin).filter(holds_back).map(|streak| now.until(streak.not_before)).max();
        let streak = self.streak(origin, kind, now, all);
        (streak.quiet_since, streak.accepted) = (now, false);
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Err(TooSoon { wait, is_first: !std::mem::replace(&mut streak.mentioned, true) });
        }
        streak.count = streak.count.saturating_add(1);
        streak.not_before = now.after(interval(streak.count));
        streak.mentioned = false;
        Ok(())
    }

    fn streak(&mut self, origin: u64, kind: Rejection, now: Moment, all: &Arc<()>) -> &mut Streak {
        let is_it = |streak: &Streak| (streak.origin, streak.kind) == (origin, kind);
        let at = self.0.iter().position(is_it).unwrap_or(self.0.len());
        if at == self.0.len() {
            let (not_before, quiet_since, _all) = (now, now, Arc::clone(all));
            let (count, accepted, mentioned) = (0, false, false);
            self.0.push(Streak { origin, kind, count, not_before, quiet_since, accepted, mentioned, _all });
        }
        &mut self.0[at]
    }

    /// The origin accepted the newest token. If it keeps accepting it, that ends its streaks.
    pub(super) fn accepted(&mut self, origin: u64, now: Moment) {
        self.0.iter_mut().filter(|streak| streak.origin == origin).for_each(|streak| streak.accepted = true);
        self.forget(origin, now);
    }

    /// The origin accepted a token for the same request for which it had rejected the previous one.
    pub(super) fn end(&mut self, origin: u64) {
        self.0.retain(|streak| streak.origin != origin);
    }

    /// Whether any streak currently holds back renewals.
    pub(super) fn hold_back(&self, now: Moment) -> bool {
        self.0.iter().any(|streak| !now.reached(streak.not_before))
    }

    /// What an origin responded an hour ago says nothing about its current tokens.
    fn forget(&mut self, origin: u64, now: Moment) {
        let is_old = |streak: &Streak| now.reached(streak.not_before.after(STREAK_REMEMBERED));
        self.0.retain(|streak| !is_old(streak) && (streak.origin != origin || !streak.is_over(now)));
    }
}

impl Streak {
    /// Whether the origin has accepted the newest token, and has not rejected it for longer than a new rejection would
    /// have been held back.
    fn is_over(&self, now: Moment) -> bool {
        let least = if self.kind == Rejection::Bare { BARE_ACCEPTANCE } else { Duration::ZERO };
        // A token that is rejected once per interval does not count as accepted.
        self.accepted && now.reached(self.quiet_since.after(interval(self.count).max(least).mul_f64(1.05)))
    }
}

/// How long after the `count`th rejection in a row (from 1), which renewed the token, the next one may renew it.
fn interval(count: u32) -> Duration {
    (10 * BETWEEN_REQUESTS).saturating_mul(1 << count.saturating_sub(1).min(8)).min(LONGEST_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_caused_by_rejection_are_spaced_out() {
        let waits: Vec<_> = (1..=7).map(|count| interval(count).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(interval(u32::MAX).as_secs(), 300);
    }
}
