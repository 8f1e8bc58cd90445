//! The events in the log, with the target `client_credentials`. Without the feature `tracing`, all functions are empty.
//! No secret is passed in here.
//!
//! `docs/in-production.md` lists the events and their fields.
#![cfg_attr(not(feature = "tracing"), allow(unused_variables, dead_code))]

use std::time::Duration;

use http::HeaderName;

use crate::{error::Error, token::AccessToken, token_request::TokenRequest};

#[cfg(feature = "tracing")]
macro_rules! event {
    ($level:ident, $($rest:tt)*) => { tracing::$level!(target: "client_credentials", $($rest)*) };
}
#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($($rest:tt)*) => {};
}

/// An event about one token of a source.
macro_rules! token_event {
    ($level:ident, $source:expr, $request:ident, $($rest:tt)*) => {
        event!(
            $level,
            source = $source,
            scope = $request.scope(),
            resource = resources($request),
            audience = $request.audience(),
            $($rest)*
        )
    };
}

/// An event about a token request that failed, and the next attempt after `wait`.
macro_rules! failure_event {
    ($level:ident, $source:ident, $request:ident, $error:ident, $wait:ident, $($rest:tt)*) => {
        event!(
            $level,
            error = reason($source, $error),
            source = $source,
            scope = $request.scope(),
            resource = resources($request),
            audience = $request.audience(),
            error.type = $error.type_name(),
            http.response.status_code = status($error),
            retry_in = seconds($wait),
            $($rest)*
        )
    };
}
#[cfg(feature = "store")]
pub(super) use {event, token_event};

pub(crate) fn obtained(source: &str, request: &TokenRequest, renewal: bool, was_failing: bool, token: &AccessToken) {
    let expires_in = token.expires_in().map(|lifetime| lifetime.as_secs());
    let text = if renewal { "access token renewed" } else { "access token obtained" };
    // At debug level, so that twenty thousand tenants do not cause twenty thousand lines. The end of a failure is news.
    if request.is_default() || was_failing {
        token_event!(info, source, request, expires_in, "{text}");
    } else {
        token_event!(debug, source, request, expires_in, "{text}");
    }
}

pub(crate) fn failed(source: &str, request: &TokenRequest, error: &Error, remaining: Duration, wait: Duration) {
    let asked = if error.retry_after().is_some() { ", as `Retry-After` asks" } else { "" };
    let next = human(wait);
    if remaining.is_zero() {
        failure_event!(
            error,
            source,
            request,
            error,
            wait,
            "no access token; token requests are held back for {next}{asked}"
        );
    } else {
        failure_event!(
            warn,
            source,
            request,
            error,
            wait,
            usable_for = remaining.as_secs(),
            "renewal failed; serving the old token for another {}, next attempt in {next}{asked}",
            human(remaining)
        );
    }
}

pub(crate) fn tried_again(source: &str, request: &TokenRequest, error: &Error, wait: Duration) {
    failure_event!(info, source, request, error, wait, "token request failed; trying again in {}", human(wait));
}

/// Several tokens in a row have failed for the same reason.
pub(crate) fn about_all_tokens(source: &str, error: &Error) {
    event!(
        warn,
        source,
        error.type = error.type_name(),
        http.response.status_code = status(error),
        "token requests fail for several tokens in a row; at most one is sent each second until one succeeds"
    );
}

pub(crate) fn discovered(source: &str, token_endpoint: &str) {
    event!(info, source, token_endpoint, "token endpoint discovered");
}

pub(crate) fn not_discovered(source: &str, error: &Error, age: Duration) {
    event!(
        warn,
        source,
        error = error.chain(),
        error.type = error.type_name(),
        age = age.as_secs(),
        "discovery failed; the token endpoint that was discovered {} ago stays in use",
        human(age)
    );
}

const NEVER_ACCEPTED: &str = "; a scope may be missing, or the audience may be wrong";

/// `origin` is empty if the application reported the rejection.
pub(crate) fn rejected(source: &str, request: &TokenRequest, origin: &str, age: Duration, was_accepted: bool) {
    let hint = if was_accepted { "; it was accepted before, so it was most likely revoked" } else { NEVER_ACCEPTED };
    token_event!(
        warn,
        source,
        request,
        origin = (!origin.is_empty()).then_some(origin),
        age = age.as_secs(),
        "an access token was rejected {} after it was issued{hint}",
        human(age)
    );
}

pub(crate) fn rejected_again(source: &str, request: &TokenRequest, origin: &str, wait: Duration, was_accepted: bool) {
    let hint = if was_accepted { "" } else { NEVER_ACCEPTED };
    token_event!(
        warn,
        source,
        request,
        origin = (!origin.is_empty()).then_some(origin),
        "a new access token was rejected too{hint}; rejections by this origin cause no renewal for {}",
        human(wait)
    );
}

pub(crate) fn fresh_token_rejected(origin: &str) {
    event!(debug, origin, "the request was sent again with a new access token, and rejected again");
}

pub(crate) fn not_attached(source: &str, origin: &str) {
    event!(
        warn,
        source,
        origin,
        "no access token attached: the origin is not among those named for this source; logged once for each origin"
    );
}

pub(crate) fn foreign_host(source: &str, host: &str) {
    event!(
        warn,
        source,
        origin = host,
        "no access token attached: the request's Host header names an origin that is not among those named for this \
         source; logged once for each origin"
    );
}

pub(crate) fn insecure(source: &str, origin: &str) {
    event!(
        error,
        source,
        origin,
        "request not sent: its access token would go over plain http to a host that is named with `https://`; \
         logged once for each origin"
    );
}

pub(crate) fn forgotten(source: &str, count: usize, most: usize) {
    event!(debug, source, count, "the least recently used of {} access tokens was removed", most);
}

pub(crate) fn own_header(source: &str, name: &HeaderName) {
    event!(
        info,
        source,
        "no access token attached: the request already has the header `{name}`, from the caller or from another layer \
         or middleware of this crate; logged once for each cache"
    );
}

pub(crate) fn scope_missing(source: &str, origin: &str) {
    event!(
        info,
        source,
        origin,
        "the API refused a request with `insufficient_scope`: request the scope that its `WWW-Authenticate` names; \
         logged once for each origin"
    );
}

/// A token request has taken `time`, and continues.
pub(crate) fn slow(source: &str, request: &TokenRequest, time: Duration) {
    token_event!(info, source, request, "a token request has had no response for {}, and continues", human(time));
}

pub(crate) fn not_sent_again(origin: &str) {
    event!(
        debug,
        origin,
        "a request whose access token was rejected is not sent again: there is no copy of it \
         (`with_replay` is not set, or its body cannot be copied)"
    );
}

pub(crate) fn not_a_rejection(origin: &str) {
    event!(
        debug,
        origin,
        "a 401 does not reject the access token: its challenges use other schemes or give another reason; \
         `with_rejection` can treat it as a rejection"
    );
}

pub(crate) fn rejected_after_redirect(source: &str, origin: &str) {
    event!(
        warn,
        source,
        origin,
        "a 401 after a redirect does not reject the access token, which the client may have removed when it \
         followed the redirect; send such requests to the final URL; logged once for each origin"
    );
}

pub(crate) fn follows_redirects(source: &str) {
    event!(
        warn,
        source,
        "the HTTP client may follow redirects of the token endpoint, and send headers and the token URL to another \
         host; turn redirects off, or pass a `reqwest::ClientBuilder` to `.http_client(..)`"
    );
}

pub(crate) fn previous_secret_accepted(source: &str) {
    event!(warn, source, "the server refused the client's new secret, and accepted its previous one");
}

pub(crate) fn overridden(source: &str, field: &str) {
    event!(info, source, "{field} is ignored, since the settings contain the value itself");
}

pub(crate) fn no_lifetime(source: &str) {
    event!(
        warn,
        source,
        "expires_in is zero or less and is ignored: the assumed lifetime applies; logged once for each source"
    );
}

pub(crate) fn other_scope(source: &str, scope: &str, granted: &str) {
    event!(
        warn,
        source,
        scope,
        granted,
        "the server granted a different scope from the one requested; logged once for each scope"
    );
}

/// By how many seconds the server's clock is `ahead` of this machine's.
pub(crate) fn clock_corrected(source: &str, ahead: i64) {
    let by = human(Duration::from_secs(ahead.unsigned_abs()));
    let side = if ahead < 0 { "ahead of" } else { "behind" };
    event!(
        warn,
        source,
        "this machine's clock is {by} {side} the server's; assertions follow the server's from now on"
    );
}

pub(super) fn resources(request: &TokenRequest) -> Option<String> {
    let resources: Vec<_> = request.resources().collect();
    (!resources.is_empty()).then(|| resources.join(" "))
}

/// Why a token request failed, without the words that repeat the `source` of the event.
#[cfg(feature = "tracing")]
fn reason(source: &str, error: &Error) -> String {
    let said = error.chain();
    let reason = said.strip_prefix("token request to ").and_then(|rest| rest.strip_prefix(source));
    reason.and_then(|rest| rest.strip_prefix(" failed: ")).map(ToOwned::to_owned).unwrap_or(said)
}

fn status(error: &Error) -> Option<u16> {
    error.status().map(|status| status.as_u16())
}

/// Rounded to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// `23 min`, `7 s`.
pub(super) fn human(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{} ms", duration.as_millis()),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.0} h", seconds / 3600.0),
    }
}
