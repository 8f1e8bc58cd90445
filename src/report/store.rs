//! What is reported of a token store. Without the features `tracing` and `metrics`, all functions are empty.
#![cfg_attr(not(feature = "tracing"), allow(unused_variables, unused_imports))]

use std::time::{Duration, SystemTime};

use super::{
    Reporter,
    log::{event, human, resources, token_event},
    metrics,
};
use crate::{error::Error, token::AccessToken, token_request::TokenRequest};

/// A token that another instance obtained was taken, after a wait for it or at once. It can be used until a time, for
/// so long after it was requested.
pub(crate) fn taken(
    report: &Reporter,
    request: &TokenRequest,
    store: &str,
    token: &AccessToken,
    (age, waited): (Duration, Option<Duration>),
    was_failing: bool,
    (until, lifetime): (SystemTime, Duration),
) {
    let (source, expires_in) = (report.source(), token.expires_in().map(|lifetime| lifetime.as_secs()));
    let (age, waited_for) = (age.as_secs(), waited.map(|waited| waited.as_secs_f64()));
    if request.is_default() || was_failing {
        token_event!(info, source, request, store, expires_in, age, waited_for, "access token taken from the store");
    } else {
        token_event!(debug, source, request, store, expires_in, age, waited_for, "access token taken from the store");
    }
    if request.is_default() {
        report.own_token(until, lifetime);
    }
    count(report, if waited.is_some() { "waited" } else { "taken" });
}

/// A token that this instance obtained was stored for the others.
pub(crate) fn stored(report: &Reporter, request: &TokenRequest, store: &str) {
    token_event!(debug, report.source(), request, store, "access token stored for other instances");
    count(report, "fetched");
}

fn count(report: &Reporter, outcome: &'static str) {
    metrics::count("client_credentials_shared_tokens_total", &report.source, "outcome", outcome);
}

/// Another instance requests the token.
pub(crate) fn waits(report: &Reporter, store: &str) {
    event!(debug, source = report.source(), store, "waiting for the token request of another instance");
}

/// Another instance has met a failure that concerns this one, too.
pub(crate) fn held_back(report: &Reporter, request: &TokenRequest, store: &str, error: &Error, wait: Duration) {
    token_event!(
        info,
        report.source(),
        request,
        store,
        error = error.chain(),
        error.type = error.type_name(),
        retry_in = wait.as_secs_f64(),
        "another instance's token request failed; token requests are held back for {}",
        human(wait)
    );
}

pub(crate) fn is_up(report: &Reporter, is_up: bool) {
    metrics::set("client_credentials_token_store_up", &report.source, f64::from(u8::from(is_up)));
}

pub(crate) fn is_down(report: &Reporter, store: &str, error: &str, wait: Duration) {
    event!(
        warn,
        source = report.source(),
        store,
        error,
        retry_in = wait.as_secs_f64(),
        "the token store is down: this instance requests its own tokens, and tries the store again in {}",
        human(wait)
    );
    is_up(report, false);
}

pub(crate) fn is_back(report: &Reporter, store: &str, after: Duration) {
    event!(info, source = report.source(), store, "the token store is back after {}", human(after));
    is_up(report, true);
}

/// What identifies the token is not known.
pub(crate) fn unidentified(report: &Reporter, request: &TokenRequest, store: &str, error: &Error) {
    token_event!(
        warn,
        report.source(),
        request,
        store,
        error = error.chain(),
        error.type = error.type_name(),
        "the token store is not used: the token source cannot say which token this is"
    );
}

pub(crate) fn foreign(report: &Reporter, store: &str, why: &str) {
    event!(
        warn,
        source = report.source(),
        store,
        "an entry in the token store is {why}: it is left alone, and this instance requests its own token; logged once"
    );
}

pub(crate) fn garbage(report: &Reporter, store: &str, why: &str) {
    event!(warn, source = report.source(), store, "an entry in the token store does not count and is replaced: {why}");
}
