//! What the log says. Without the feature `tracing` all of it is empty. No secret comes in here.

use std::time::Duration;

use crate::{error::Error, source::TokenRequest, token::AccessToken};

#[cfg(feature = "tracing")]
macro_rules! event {
    ($level:ident, $($rest:tt)*) => { tracing::$level!(target: "client_credentials", $($rest)*) };
}
#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($level:ident, $($name:ident = $mark:tt $value:expr,)* $message:literal $(, $argument:expr)*) => {{
        let _ = $message;
        $(let _ = &$value;)*
        $(let _ = &$argument;)*
    }};
}

pub(crate) fn obtained(request: &TokenRequest, renewal: bool, token: &AccessToken) {
    let scope = request.scope().unwrap_or_default();
    let expires_in = token.expires_in().map(|lifetime| lifetime.as_secs());
    if renewal {
        event!(info, scope = %scope, expires_in = ?expires_in, "access token renewed");
    } else {
        event!(info, scope = %scope, expires_in = ?expires_in, "access token obtained");
    }
}

pub(crate) fn failed(request: &TokenRequest, error: &Error, remaining: Duration, wait: Duration) {
    let scope = request.scope().unwrap_or_default();
    let (wait, chain) = (human(wait), chain(error));
    if remaining.is_zero() {
        event!(warn, scope = %scope, error = %chain, "no access token; token requests are held back for {}", wait);
    } else {
        let left = human(remaining);
        event!(warn, scope = %scope, error = %chain,
            "renewal failed; serving the old token for another {}, next attempt in {}", left, wait);
    }
}

pub(crate) fn rejected(origin: &str, request: &TokenRequest, age: Duration, again: bool) {
    let scope = request.scope().unwrap_or_default();
    let age_in_words = human(age);
    if again || age < Duration::from_secs(60) {
        event!(warn, origin = %origin, scope = %scope,
            "an access token was rejected {} after it was issued; a scope may be missing", age_in_words);
    } else {
        event!(warn, origin = %origin, scope = %scope, "an access token was rejected {} after it was issued", age_in_words);
    }
}

pub(crate) fn rejected_again(origin: &str, wait: Duration) {
    let wait = human(wait);
    event!(warn, origin = %origin,
        "a new access token was rejected too; a scope may be missing; no renewal because of this origin for {}", wait);
}

pub(crate) fn fresh_token_rejected(origin: &str) {
    event!(debug, origin = %origin, "the request was sent again with a new access token, and rejected again");
}

pub(crate) fn not_attached(origin: &str) {
    event!(warn, origin = %origin, "no access token attached: the origin is not among those named for this source");
}

/// `23 min`, `7 s`.
fn human(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
