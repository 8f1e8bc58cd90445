//! What is reported of a token store. Without the features `tracing` and `metrics`, all functions are empty.
#![cfg_attr(not(feature = "tracing"), allow(unused_variables, unused_imports))]

use std::time::{Duration, SystemTime};

use super::{
    Reporter,
    log::{event, human, resources, token_event},
    metrics,
};
use crate::{error::Error, store::Taken, token_request::TokenRequest};

/// A token that another instance obtained was taken, after a wait for it or at once. It can be used until a time, for
/// so long after it was requested.
pub(crate) fn taken(
    report: &Reporter,
    request: &TokenRequest,
    store: &str,
    taken: &Taken,
    was_failing: bool,
    (until, lifetime): (SystemTime, Duration),
) {
    let source = report.source();
    let (expires_in, age) = (taken.token.expires_in().map(|lifetime| lifetime.as_secs()), taken.age.as_secs());
    let waited_for = taken.waited.map(|waited| waited.as_secs_f64());
    if request.is_default() || was_failing {
        token_event!(info, source, request, store, expires_in, age, waited_for, "access token taken from the store");
    } else {
        token_event!(debug, source, request, store, expires_in, age, waited_for, "access token taken from the store");
    }
    if request.is_default() {
        metrics::expiry(&report.source, until, lifetime);
    }
    metrics::shared_token(&report.source, if taken.waited.is_some() { "waited" } else { "taken" });
}

/// A token that this instance obtained was stored for the others.
pub(crate) fn stored(report: &Reporter, request: &TokenRequest, store: &str) {
    let source = report.source();
    token_event!(debug, source, request, store, "access token stored for other instances");
    metrics::shared_token(&report.source, "fetched");
}

/// Another instance requests the token.
pub(crate) fn waits(report: &Reporter, store: &str) {
    let source = report.source();
    event!(debug, source, store, "waiting for the token request of another instance");
}

/// Another instance has met a failure that concerns this one, too.
pub(crate) fn held_back(report: &Reporter, request: &TokenRequest, store: &str, error: &Error, wait: Duration) {
    let source = report.source();
    let (retry_in, kind, text) = (wait.as_secs_f64(), error.type_name(), error.chain());
    token_event!(
        info,
        source,
        request,
        store,
        error = text,
        error.type = kind,
        retry_in,
        "another instance's token request failed; token requests are held back for {}",
        human(wait)
    );
}

pub(crate) fn is_up(report: &Reporter) {
    metrics::store_is_up(&report.source, true);
}

pub(crate) fn is_down(report: &Reporter, store: &str, error: &str, wait: Duration) {
    let source = report.source();
    event!(
        warn,
        source,
        store,
        error,
        retry_in = wait.as_secs_f64(),
        "the token store is down: this instance requests its own tokens, and tries the store again in {}",
        human(wait)
    );
    metrics::store_is_up(&report.source, false);
}

pub(crate) fn is_back(report: &Reporter, store: &str, after: Duration) {
    let source = report.source();
    event!(info, source, store, "the token store is back after {}", human(after));
    metrics::store_is_up(&report.source, true);
}

/// What identifies the token is not known.
pub(crate) fn unidentified(report: &Reporter, request: &TokenRequest, store: &str, error: &Error) {
    let source = report.source();
    let (kind, text) = (error.type_name(), error.chain());
    token_event!(
        warn,
        source,
        request,
        store,
        error = text,
        error.type = kind,
        "the token store is not used: the token source cannot say which token this is"
    );
}

pub(crate) fn foreign(report: &Reporter, store: &str, why: &str) {
    let source = report.source();
    event!(
        warn,
        source,
        store,
        "an entry in the token store is {why}: it is left alone, and this instance requests its own token; logged once"
    );
}

pub(crate) fn garbage(report: &Reporter, store: &str, why: &str) {
    let source = report.source();
    event!(warn, source, store, "an entry in the token store does not count and is replaced: {why}");
}
