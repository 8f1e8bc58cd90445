//! Reports to the log and the metrics. None of it runs for a request whose token is cached.

pub(crate) mod log;
mod metrics;
pub(crate) mod span;
#[cfg(feature = "store")]
pub(crate) mod store;

use std::{
    collections::HashSet,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use http::StatusCode;

use self::span::Span;
use crate::{challenge::Rejection, error::Error, lock::lock, token::AccessToken, token_request::TokenRequest};

/// Reports about the tokens of one source.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    source: Arc<str>,
    pub mentions: Arc<Mentions>,
}

/// What the log mentions only once, such as origins. Bounded, since a crawler may send requests to any number of them.
#[derive(Debug, Default)]
pub(crate) struct Mentions(Mutex<HashSet<String>>);

const MOST_MENTIONED: usize = 256;
/// A token request that takes longer is mentioned while it runs.
const SLOW: Duration = Duration::from_secs(5);

/// An exchange with the token endpoint, from start to end.
pub(crate) struct Exchange {
    source: Arc<str>,
    pub span: Span,
    started_at: tokio::time::Instant,
    /// The failure and the status of the response, once it has ended.
    ended: Option<(Option<&'static str>, Option<StatusCode>)>,
}

/// A caller's wait for a token, until it gets one, fails or goes away.
pub(crate) struct TimedWait<'a> {
    source: &'a Arc<str>,
    began: tokio::time::Instant,
    outcome: &'static str,
}

impl Reporter {
    pub(crate) fn new(source: &str) -> Self {
        Self { source: source.into(), mentions: Arc::default() }
    }

    pub(crate) fn exchange(&self, request: &TokenRequest, attempt: usize, caller: Option<&Span>) -> Exchange {
        metrics::describe();
        Exchange {
            source: Arc::clone(&self.source),
            span: Span::token_request(&self.source, request, attempt, caller),
            started_at: tokio::time::Instant::now(),
            ended: None,
        }
    }

    /// The name of the source.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Mentions a token request that is slow, so that callers that wait are not a mystery.
    pub(crate) async fn unless_slow<F: Future>(&self, request: &TokenRequest, call: F) -> F::Output {
        let mut call = pin!(call);
        if let Ok(outcome) = tokio::time::timeout(SLOW, call.as_mut()).await {
            return outcome;
        }
        log::slow(&self.source, request, SLOW);
        call.await
    }

    /// A token, which can be used until a time, for so long after it was requested. `cause` is why it was requested.
    pub(crate) fn obtained(
        &self,
        request: &TokenRequest,
        cause: &'static str,
        token: &AccessToken,
        was_failing: bool,
        (until, lifetime): (SystemTime, Duration),
    ) {
        log::obtained(&self.source, request, cause != "cold", was_failing, token);
        metrics::count_renewal(&self.source, cause, "ok");
        if request.is_default() {
            self.own_token(until, lifetime);
        }
    }

    /// A failure. The old token can still be used for `remaining`, and token requests are held back for `wait`.
    pub(crate) fn failed(
        &self,
        request: &TokenRequest,
        cause: &'static str,
        error: &Error,
        reason: &'static str,
        remaining: Duration,
        wait: Duration,
    ) {
        log::failed(&self.source, request, error, remaining, wait);
        metrics::count_renewal(&self.source, cause, "error");
        metrics::count("client_credentials_hold_backs_total", &self.source, "reason", reason);
    }

    /// The source's own token can be used until a time, for so long after it was requested.
    fn own_token(&self, until: SystemTime, lifetime: Duration) {
        let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        metrics::set("client_credentials_token_expiry_timestamp_seconds", &self.source, until.as_secs_f64());
        metrics::set("client_credentials_token_lifetime_seconds", &self.source, lifetime.as_secs_f64());
    }

    /// A caller finds no usable token and starts to wait.
    pub(crate) fn wait(&self) -> TimedWait<'_> {
        TimedWait { source: &self.source, began: tokio::time::Instant::now(), outcome: "gone" }
    }

    /// A response rejected a token; `None`: the application reported it.
    pub(crate) fn rejection(&self, rejection: Option<Rejection>) {
        let kind = match rejection {
            Some(Rejection::Explicit) => "invalid_token",
            Some(Rejection::Bare) => "bare",
            None => "reported",
        };
        metrics::count("client_credentials_rejections_total", &self.source, "kind", kind);
    }

    /// A request was sent again with another token, which was `rejected` too or not.
    pub(crate) fn replayed(&self, rejected: bool) {
        let outcome = if rejected { "rejected" } else { "answered" };
        metrics::count("client_credentials_replays_total", &self.source, "outcome", outcome);
    }
}

impl Mentions {
    /// Whether the log has not mentioned this yet and may do so.
    pub(crate) fn is_first(&self, what: &str) -> bool {
        let mut mentioned = lock(&self.0);
        mentioned.len() < MOST_MENTIONED && !mentioned.contains(what) && mentioned.insert(what.to_owned())
    }
}

impl TimedWait<'_> {
    /// A caller whose token was `rejected` has its first response, whatever the outcome.
    pub(crate) fn ended(mut self, ok: bool, rejected: bool) {
        self.outcome = match (ok, rejected) {
            (true, _) => "ok",
            (false, true) => "rejected",
            (false, false) => "error",
        };
    }
}

impl Drop for TimedWait<'_> {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        metrics::record("client_credentials_wait_duration_seconds", self.source, self.outcome, duration);
    }
}

impl Exchange {
    pub(crate) fn ended(&mut self, outcome: &Result<AccessToken, Error>) {
        let failure = outcome.as_ref().err();
        self.end(failure.map(Error::type_name), failure.and_then(Error::status));
    }

    fn end(&mut self, failure: Option<&'static str>, status: Option<StatusCode>) {
        let duration = self.started_at.elapsed();
        self.span.took(duration);
        let outcome = failure.unwrap_or("ok");
        metrics::count("client_credentials_token_requests_total", &self.source, "outcome", outcome);
        metrics::record("client_credentials_token_request_duration_seconds", &self.source, outcome, duration);
        self.ended = Some((failure, status));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Its runtime ended, or no caller needs the token any more.
            self.end(Some("abandoned"), None);
        }
        if let Some((failure, status)) = self.ended {
            self.span.ended(failure, status);
        }
    }
}
