//! Rejections in a row: how often they may renew a token.

use std::{collections::HashMap, time::Duration};

use super::{backoff::BETWEEN_REQUESTS, clock::Moment};
use crate::challenge::Rejection;

/// Beyond this number, origins share one streak.
const MOST_ORIGINS: usize = 64;
const OTHERS: &str = "others";
/// A 401 without a reason may be about a path rather than the token, so it takes longer to conclude that a token was
/// accepted.
const BARE_ACCEPTANCE: Duration = Duration::from_secs(60);
const STREAK_REMEMBERED: Duration = Duration::from_secs(60 * 60);
const LONGEST_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// By origin, rejections of tokens whose replacements the origin has not accepted.
#[derive(Default)]
pub(super) struct Streaks {
    explicit: HashMap<String, Streak>,
    bare: HashMap<String, Streak>,
}

#[derive(Clone, Copy)]
struct Streak {
    count: u32,
    /// When the next rejection may renew the token.
    not_before: Moment,
    /// When the last rejection came.
    quiet_since: Moment,
    /// Whether the origin has accepted a token since.
    accepted: bool,
    mentioned: bool,
}

/// What a rejection leads to.
pub(super) enum Verdict {
    Renew,
    /// No renewal: the last one was too recent.
    Wait {
        wait: Duration,
        first: bool,
    },
}

impl Streaks {
    pub(super) fn len(&self) -> usize {
        self.explicit.len() + self.bare.len()
    }

    /// Whether the origin has accepted a token since the last one that it rejected.
    pub(super) fn has_accepted(&self, origin: &str) -> bool {
        self.of(origin).any(|streak| streak.accepted)
    }

    pub(super) fn is_over(&self, origin: &str) -> bool {
        self.of(origin).next().is_none()
    }

    fn of(&self, origin: &str) -> impl Iterator<Item = &Streak> {
        [&self.explicit, &self.bare].into_iter().filter_map(move |streaks| streaks.get(shared(streaks, origin)))
    }

    /// An explicit rejection is never held back by bare ones.
    pub(super) fn reject(&mut self, origin: &str, rejection: Rejection, now: Moment) -> Verdict {
        self.forget(now);
        let explicit = self.explicit.get(origin).filter(|streak| !now.reached(streak.not_before));
        let held_back = explicit.filter(|_| rejection == Rejection::Bare).map(|streak| now.until(streak.not_before));
        let streaks = match rejection {
            Rejection::Explicit => &mut self.explicit,
            Rejection::Bare => &mut self.bare,
        };
        let begins = Streak { count: 0, not_before: now, quiet_since: now, accepted: false, mentioned: false };
        let streak = streaks.entry(shared(streaks, origin).to_owned()).or_insert(begins);
        if streak.is_over(rejection, now) {
            *streak = begins;
        }
        (streak.quiet_since, streak.accepted) = (now, false);
        if !now.reached(streak.not_before) || held_back.is_some() {
            let wait = now.until(streak.not_before).max(held_back.unwrap_or_default());
            return Verdict::Wait { wait, first: !std::mem::replace(&mut streak.mentioned, true) };
        }
        streak.count = streak.count.saturating_add(1);
        streak.not_before = now.after(streak.interval());
        streak.mentioned = false;
        Verdict::Renew
    }

    /// The origin accepted the newest token. If it keeps accepting it, that ends its streaks.
    pub(super) fn accepted(&mut self, origin: &str, now: Moment) {
        self.forget(now);
        for (streaks, rejection) in [(&mut self.explicit, Rejection::Explicit), (&mut self.bare, Rejection::Bare)] {
            let origin = shared(streaks, origin);
            let Some(streak) = streaks.get_mut(origin) else { continue };
            streak.accepted = true;
            if streak.is_over(rejection, now) {
                streaks.remove(origin);
            }
        }
    }

    /// The origin accepted a token for the same request for which it had rejected the previous one.
    pub(super) fn end(&mut self, origin: &str) {
        for streaks in [&mut self.explicit, &mut self.bare] {
            streaks.remove(shared(streaks, origin));
        }
    }

    /// Whether any streak currently holds back renewals.
    pub(super) fn hold_back(&self, now: Moment) -> bool {
        self.explicit.values().chain(self.bare.values()).any(|streak| !now.reached(streak.not_before))
    }

    /// What an origin responded an hour ago says nothing about its current tokens.
    fn forget(&mut self, now: Moment) {
        let remembered = |streak: &Streak| !now.reached(streak.not_before.after(STREAK_REMEMBERED));
        self.explicit.retain(|_, streak| remembered(streak));
        self.bare.retain(|_, streak| remembered(streak));
    }
}

impl Streak {
    /// Whether the origin has accepted the newest token, and has not rejected it for longer than a new rejection would
    /// have been held back.
    fn is_over(&self, rejection: Rejection, now: Moment) -> bool {
        let least = if rejection == Rejection::Bare { BARE_ACCEPTANCE } else { Duration::ZERO };
        // A token that is rejected once per interval does not count as accepted.
        self.accepted && now.reached(self.quiet_since.after(self.interval().max(least).mul_f64(1.05)))
    }

    /// How long after a rejection that renewed the token the next one may renew it.
    fn interval(&self) -> Duration {
        rejection_interval(self.count)
    }
}

fn shared<'a>(streaks: &HashMap<String, Streak>, origin: &'a str) -> &'a str {
    if streaks.len() >= MOST_ORIGINS && !streaks.contains_key(origin) { OTHERS } else { origin }
}

/// The interval after the `count`th rejection in a row (from 1).
fn rejection_interval(count: u32) -> Duration {
    (10 * BETWEEN_REQUESTS).saturating_mul(1 << count.saturating_sub(1).min(8)).min(LONGEST_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_caused_by_rejection_are_spaced_out() {
        let waits: Vec<_> = (1..=7).map(|count| rejection_interval(count).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(rejection_interval(u32::MAX).as_secs(), 300);
    }
}
