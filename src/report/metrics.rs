//! The metrics, through the `metrics` facade. Without the feature `metrics`, all functions are empty.
//!
//! Labels have few values, whatever servers and users do: `source` has one per cache, and no key, origin or server text
//! becomes a label. `docs/in-production.md` lists names and labels.
#![cfg_attr(not(feature = "metrics"), allow(unused_variables, dead_code))]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

const COUNTERS: [(&str, &str); 6] = [
    ("client_credentials_token_requests_total", "Exchanges with the token endpoint"),
    ("client_credentials_renewals_total", "Attempts to obtain a token, each with its quick retries"),
    ("client_credentials_hold_backs_total", "Failures that held back further token requests"),
    ("client_credentials_rejections_total", "Responses of APIs that rejected a token"),
    ("client_credentials_replays_total", "Requests that were sent again with another token"),
    ("client_credentials_shared_tokens_total", "Tokens that were stored for other instances, or taken from the store"),
];
const GAUGES: [(&str, &str); 3] = [
    (
        "client_credentials_token_expiry_timestamp_seconds",
        "Until when the source's own token can be used, as a Unix time",
    ),
    (
        "client_credentials_token_lifetime_seconds",
        "For how long the source's own token could be used when it was obtained",
    ),
    ("client_credentials_token_store_up", "Whether the token store works: 1, or 0"),
];
const HISTOGRAMS: [(&str, &str); 2] = [
    ("client_credentials_token_request_duration_seconds", "How long exchanges with the token endpoint took"),
    ("client_credentials_wait_duration_seconds", "How long callers waited that found no usable token"),
];

/// What each metric is, for the recorder that is installed now. Called for each exchange, since a recorder may be
/// installed later than a cache is built.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    {
        for (name, text) in COUNTERS {
            metrics::describe_counter!(name, text);
        }
        for (name, text) in GAUGES {
            metrics::describe_gauge!(name, text);
        }
        for (name, text) in HISTOGRAMS {
            metrics::describe_histogram!(name, text);
        }
    }
}

/// Counts an exchange with the token endpoint. `outcome` is `ok`, or the type of the failure.
pub(crate) fn token_request(source: &Arc<str>, outcome: &'static str, duration: Duration) {
    #[cfg(feature = "metrics")]
    {
        let labels = [label("source", source), metrics::Label::from_static_parts("outcome", outcome)];
        metrics::counter!("client_credentials_token_requests_total", labels.iter()).increment(1);
        metrics::histogram!("client_credentials_token_request_duration_seconds", labels.iter()).record(duration);
    }
}

/// Counts a renewal, with its quick retries. `cause` is `cold`, `expired`, `aging` or `rejected`, `outcome` is `ok` or
/// `error`.
pub(crate) fn renewal(source: &Arc<str>, cause: &'static str, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    {
        let count = |cause, outcome| {
            metrics::counter!("client_credentials_renewals_total",
                "source" => Arc::clone(source), "cause" => cause, "outcome" => outcome)
        };
        count(cause, outcome).increment(1);
        // Prometheus' `increase` misses the step from no series to 1, which the first failed renewal would be.
        count("aging", "error").increment(0);
    }
}

/// Records until when the source's own token can be used, and for how long it could be when it was requested.
pub(crate) fn expiry(source: &Arc<str>, until: SystemTime, lifetime: Duration) {
    #[cfg(feature = "metrics")]
    {
        let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        metrics::gauge!("client_credentials_token_expiry_timestamp_seconds", "source" => Arc::clone(source))
            .set(until.as_secs_f64());
        metrics::gauge!("client_credentials_token_lifetime_seconds", "source" => Arc::clone(source))
            .set(lifetime.as_secs_f64());
    }
}

/// Counts a failure that holds back token requests. `reason` is `failure`, `verdict` or `retry_after`.
pub(crate) fn hold_back(source: &Arc<str>, reason: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("client_credentials_hold_backs_total", "source" => Arc::clone(source), "reason" => reason)
        .increment(1);
}

/// Records how long a caller without a usable token waited. `outcome` is `ok`, `error`, `rejected` (of another
/// token after a rejection, in vain), or `gone` if it went away.
pub(crate) fn waited(source: &Arc<str>, outcome: &'static str, duration: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("client_credentials_wait_duration_seconds",
        "source" => Arc::clone(source), "outcome" => outcome)
    .record(duration);
}

/// Counts an API's rejection of a token. `kind` is `invalid_token`, `bare` (a 401 without a reason) or `reported` (by
/// `TokenCache::reject`).
pub(crate) fn rejection(source: &Arc<str>, kind: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("client_credentials_rejections_total", "source" => Arc::clone(source), "kind" => kind)
        .increment(1);
}

/// Counts a request that was sent again with another token. That token was `rejected` too, or the request `answered`.
pub(crate) fn replay(source: &Arc<str>, rejected: bool) {
    #[cfg(feature = "metrics")]
    metrics::counter!("client_credentials_replays_total",
        "source" => Arc::clone(source), "outcome" => if rejected { "rejected" } else { "answered" })
    .increment(1);
}

/// Counts a token that instances share. `outcome` is `fetched` (by this instance, for all), `taken`, or `waited` (taken
/// after a wait for another instance).
#[cfg(feature = "store")]
pub(crate) fn shared_token(source: &Arc<str>, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("client_credentials_shared_tokens_total", "source" => Arc::clone(source), "outcome" => outcome)
        .increment(1);
}

/// Records whether the token store is up.
#[cfg(feature = "store")]
pub(crate) fn store_is_up(source: &Arc<str>, is_up: bool) {
    #[cfg(feature = "metrics")]
    metrics::gauge!("client_credentials_token_store_up", "source" => Arc::clone(source))
        .set(f64::from(u8::from(is_up)));
}

#[cfg(feature = "metrics")]
fn label(name: &'static str, value: &Arc<str>) -> metrics::Label {
    metrics::Label::new(name, Arc::clone(value))
}
