//! The metrics, through the `metrics` facade. Without the feature `metrics`, all functions are empty.
//!
//! Labels have few values, whatever servers and users do: `source` has one per cache, and no key, origin or server text
//! becomes a label. `docs/in-production.md` lists names and labels.
#![cfg_attr(not(feature = "metrics"), allow(unused_variables, dead_code))]

use std::{sync::Arc, time::Duration};

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
pub(super) fn describe() {
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

/// Adds 1 to a counter that has one label beside `source`.
pub(super) fn count(name: &'static str, source: &Arc<str>, label: &'static str, value: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(name, "source" => Arc::clone(source), label => value).increment(1);
}

pub(super) fn count_renewal(source: &Arc<str>, cause: &'static str, outcome: &'static str) {
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

pub(super) fn set(name: &'static str, source: &Arc<str>, value: f64) {
    #[cfg(feature = "metrics")]
    metrics::gauge!(name, "source" => Arc::clone(source)).set(value);
}

pub(super) fn record(name: &'static str, source: &Arc<str>, outcome: &'static str, duration: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!(name, "source" => Arc::clone(source), "outcome" => outcome).record(duration);
}
