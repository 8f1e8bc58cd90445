//! When failures are about all tokens of a source, rather than about the one that was requested.

use std::time::Duration;

use crate::{
    cache::{
        backoff::{FORGET_FAILURES, Failed, Hold, Reason},
        clock::Moment,
    },
    error::Error,
    token_request::TokenRequest,
};

/// How many tokens must fail in a row to prove that all of them fail. Each refuted proof doubles the number.
const PROOF: usize = 3;
const LONGEST_PROOF: usize = 12;

/// What the failures of single tokens show about the endpoint.
#[derive(Default)]
pub(super) struct Diagnosis {
    pub trouble: Option<Trouble>,
    /// The tokens that have failed in a row, each with the reason.
    failed: Vec<(Reason, TokenRequest)>,
    /// When the last of them failed, or any token while there is trouble.
    last_failure: Option<Moment>,
    /// How often, and when last, a proof was soon refuted.
    refuted: (u32, Option<Moment>),
}

/// Why token requests fail for all tokens, until one succeeds: the endpoint is down, or asks for later requests, or
/// refuses the client.
pub(super) struct Trouble {
    /// No exchange starts before its end. Afterwards, one starts each second. Its error's words belong to no single
    /// token.
    pub hold: Hold,
    pub since: Moment,
    /// How many attempts have failed since.
    failures: u32,
    /// When the last of these attempts failed.
    confirmed_at: Moment,
}

/// An exchange that failed.
pub(super) struct FailedExchange<'a> {
    pub token: &'a TokenRequest,
    pub error: &'a Error,
    pub began_at: Moment,
    /// Whether nothing had failed for this token before.
    pub is_first: bool,
    /// The name of the token source.
    pub source: &'a str,
}

impl Diagnosis {
    /// Returns whether the failure proves that token requests fail for all tokens.
    pub(super) fn failed(&mut self, failure: &FailedExchange<'_>, now: Moment) -> bool {
        let reason = Reason::of(failure.error);
        if reason == Reason::Verdict && !failure.error.is_invalid_client() {
            if failure.error.response().is_some() {
                // A verdict about one token: the endpoint itself works, and knows the client.
                self.succeeded(now);
            }
            return false;
        };
        self.forget(now);
        // A token that goes on failing is no sign that others fail.
        if failure.is_first || self.trouble.is_some() {
            self.last_failure = Some(now);
        }
        if let Some(trouble) = &mut self.trouble {
            trouble.met_again(reason, failure, now);
            return false;
        }
        let is_proven = failure.is_first && self.in_a_row(reason, failure.token) >= self.proof();
        if is_proven {
            self.trouble = Some(Trouble::new(reason, failure, now));
        }
        is_proven
    }

    pub(super) fn succeeded(&mut self, now: Moment) {
        self.failed.clear();
        if self.trouble.take().is_some_and(|trouble| !trouble.is_confirmed()) {
            self.refuted = (self.refuted.0.saturating_add(1), Some(now));
        }
    }

    /// How many tokens have failed in a row for this reason, this one included.
    fn in_a_row(&mut self, reason: Reason, token: &TokenRequest) -> usize {
        let failure = (reason, token.clone());
        if !self.failed.contains(&failure) {
            self.failed.push(failure);
        }
        self.failed.iter().filter(|(other, _)| *other == reason).count()
    }

    /// How many tokens a proof needs: where many tokens fail on their own, three in a row are not rare.
    fn proof(&self) -> usize {
        (PROOF << self.refuted.0.min(4)).min(LONGEST_PROOF)
    }

    /// What has not recurred for some time no longer counts.
    pub(super) fn forget(&mut self, now: Moment) {
        let is_over = |at: Moment| now.reached(at.after(FORGET_FAILURES));
        if self.last_failure.is_some_and(is_over) {
            self.failed.clear();
            self.trouble.take_if(|trouble| is_over(trouble.hold.until));
        }
        if self.refuted.1.is_some_and(is_over) {
            self.refuted = (0, None);
        }
    }
}

impl Trouble {
    fn new(reason: Reason, failure: &FailedExchange<'_>, now: Moment) -> Self {
        let hold = Hold { until: now, reason, error: failure.error.for_all_tokens(failure.source) };
        let mut trouble = Self { hold, since: now, failures: 0, confirmed_at: now };
        trouble.hold.until = trouble.next(failure.error, now);
        trouble
    }

    fn met_again(&mut self, reason: Reason, failure: &FailedExchange<'_>, now: Moment) {
        if failure.began_at.reached(self.since) {
            self.failures = self.failures.saturating_add(1);
            self.confirmed_at = now;
            (self.hold.reason, self.hold.error) = (reason, failure.error.for_all_tokens(failure.source));
        }
        if self.hold.reason == reason {
            self.hold.until = self.hold.until.max(self.next(failure.error, now));
        }
    }

    /// When the next request may start. In an outage, the pace decides.
    fn next(&self, error: &Error, now: Moment) -> Moment {
        if self.hold.reason == Reason::Failure {
            return now;
        }
        let failed = Failed { error, in_a_row: self.failures + 1, took: Duration::ZERO, remaining: Duration::ZERO };
        now.after(failed.hold_back(fastrand::f64()))
    }

    /// Whether enough attempts have failed since it showed.
    fn is_confirmed(&self) -> bool {
        self.failures >= 2
    }

    /// Whether an attempt has failed since a caller came.
    pub(super) fn was_met_since(&self, came: Moment) -> bool {
        self.is_confirmed() && !came.reached(self.confirmed_at)
    }
}
