//! The line of callers that wait for their turn: how many exchanges may run beside the usual number.

use std::time::Duration;

use crate::cache::{backoff::FORGET_FAILURES, clock::Moment};

/// The most that a long line adds to the usual number of exchanges in flight, while the endpoint keeps up.
const MOST_MORE: usize = 48;
/// A line in which a caller waits longer than this is long.
const LONG_LINE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Line {
    is_long: bool,
    /// How many exchanges may run beside the usual number.
    pub more: usize,
    /// How long an exchange took when only the usual number ran.
    usual: Duration,
    /// When the endpoint last said that it gets too many requests.
    busy_at: Option<Moment>,
}

impl Line {
    /// A caller that came at `came` gets its turn.
    pub(super) fn advances(&mut self, came: Moment, now: Moment) {
        self.is_long = now.reached(came.after(LONG_LINE));
    }

    /// The limit rises by one for each success, as long as exchanges take no longer than at first.
    pub(super) fn succeeded(&mut self, took: Duration, now: Moment) {
        if self.more == 0 {
            self.usual = took;
        }
        let was_busy = self.busy_at.is_some_and(|at| !now.reached(at.after(FORGET_FAILURES)));
        self.more = match took <= self.usual * 2 {
            _ if was_busy || !self.is_long => 0,
            true => MOST_MORE.min(self.more + 1),
            false => self.more.saturating_sub(1),
        };
    }

    pub(super) fn failed(&mut self, is_busy: bool, now: Moment) {
        self.more = 0;
        if is_busy {
            self.busy_at = Some(now);
        }
    }
}
