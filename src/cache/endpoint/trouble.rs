//! When failures are about all tokens of a source, rather than about the one that was requested.

use std::time::Duration;

use crate::{
    cache::{
        backoff::{FORGET_FAILURES, Failed, Reason},
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
    /// For each reason, the tokens that failed for it in a row.
    runs: [Run; 3],
    /// How often, and when last, a proof was soon refuted.
    refuted: (u32, Option<Moment>),
}

#[derive(Default)]
struct Run {
    tokens: Vec<TokenRequest>,
    last: Option<Moment>,
}

/// Why token requests fail for all tokens, until one succeeds: the endpoint is down, or asks for later requests, or
/// refuses the client.
pub(super) struct Trouble {
    pub reason: Reason,
    pub since: Moment,
    /// No exchange starts earlier. Afterwards, one starts each second.
    pub until: Moment,
    /// How many attempts have failed since.
    failures: u32,
    last_failure: Moment,
    /// When the last of these attempts failed.
    confirmed_at: Option<Moment>,
    /// In words that belong to no single token.
    pub error: Error,
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
        if let Some(trouble) = &mut self.trouble {
            trouble.met_again(reason, failure, now);
            return false;
        }
        let proof = self.proof(now);
        let is_proven = failure.is_first && self.runs[reason as usize].grows_to(failure.token, now) >= proof;
        if is_proven {
            self.trouble = Some(Trouble::new(reason, failure, now));
        }
        is_proven
    }

    /// Returns whether the success ends an outage.
    pub(super) fn succeeded(&mut self, now: Moment) -> bool {
        self.runs = Default::default();
        let trouble = self.trouble.take();
        if trouble.as_ref().is_some_and(|trouble| !trouble.is_confirmed()) {
            self.refuted = (self.refuted.0.saturating_add(1), Some(now));
        }
        trouble.is_some()
    }

    /// How many tokens a proof needs: where many tokens fail on their own, three in a row are not rare.
    fn proof(&mut self, now: Moment) -> usize {
        if self.refuted.1.is_some_and(|at| now.reached(at.after(FORGET_FAILURES))) {
            self.refuted = (0, None);
        }
        (PROOF << self.refuted.0.min(4)).min(LONGEST_PROOF)
    }
}

impl Run {
    fn grows_to(&mut self, token: &TokenRequest, now: Moment) -> usize {
        if self.last.replace(now).is_some_and(|last| now.reached(last.after(FORGET_FAILURES))) {
            self.tokens.clear();
        }
        if !self.tokens.contains(token) {
            self.tokens.push(token.clone());
        }
        self.tokens.len()
    }
}

impl Trouble {
    fn new(reason: Reason, failure: &FailedExchange<'_>, now: Moment) -> Self {
        let error = failure.error.for_all_tokens(failure.source);
        let mut trouble =
            Self { reason, since: now, until: now, failures: 0, last_failure: now, confirmed_at: None, error };
        trouble.until = trouble.next(failure.error, now);
        trouble
    }

    fn met_again(&mut self, reason: Reason, failure: &FailedExchange<'_>, now: Moment) {
        self.last_failure = now;
        if failure.began_at.reached(self.since) {
            self.failures = self.failures.saturating_add(1);
            self.confirmed_at = Some(now);
            (self.reason, self.error) = (reason, failure.error.for_all_tokens(failure.source));
        }
        if self.reason == reason {
            self.until = self.until.max(self.next(failure.error, now));
        }
    }

    /// When the next request may start. In an outage, the pace decides.
    fn next(&self, error: &Error, now: Moment) -> Moment {
        if self.reason == Reason::Failure {
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
        self.is_confirmed() && self.confirmed_at.is_some_and(|at| !came.reached(at))
    }

    pub(super) fn is_forgotten(&self, now: Moment) -> bool {
        now.reached(self.last_failure.max(self.until).after(FORGET_FAILURES))
    }
}
