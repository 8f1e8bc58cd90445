//! The token response (RFC 6749 sections 5.1 and 5.2), as servers really write it.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER},
};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::authentication::spellings;
use crate::{
    error::{Error, ErrorKind, ErrorResponse},
    http_client::{Body, MOST_BYTES, too_large},
    origin::Target,
    token::AccessToken,
};

const MOST_CHARACTERS: usize = 200;

/// `sent` is what must not be repeated.
pub(super) fn read(
    response: &Response<Body>,
    token_types: &[String],
    sent: &[Zeroizing<String>],
) -> Result<AccessToken, Error> {
    let body = response.body().as_ref();
    if body.len() > MOST_BYTES {
        return Err(too_large());
    }
    let status = response.status();
    if status.is_redirection() {
        return Err(redirect(response));
    }
    let mut members = parse(response.headers(), body);
    let outcome = match &mut members {
        Some(members) if status.is_success() && !members.contains_key("error") => {
            token(members, token_types).map_err(|error| error.with_status(status))
        }
        Some(members) => Err(failure(response, Some(members), sent)),
        None if status.is_success() => Err(unreadable(response)),
        None => Err(failure(response, None, sent)),
    };
    members.iter_mut().flat_map(Map::values_mut).for_each(wipe);
    outcome
}

fn wipe(value: &mut Value) {
    if let Value::String(text) = value {
        text.zeroize();
    }
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Option<Map<String, Value>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        return match value {
            Value::Object(members) => Some(members),
            _ => None,
        };
    }
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    let form = content_type.starts_with("application/x-www-form-urlencoded") || content_type.starts_with("text/plain");
    let members: Map<_, _> = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    (form && (members.contains_key("access_token") || members.contains_key("error"))).then_some(members)
}

fn token(members: &mut Map<String, Value>, token_types: &[String]) -> Result<AccessToken, Error> {
    let invalid = |what: String| Error::new(ErrorKind::InvalidResponse, what);
    match members.get("token_type") {
        None | Some(Value::Null) => {}
        Some(Value::String(named))
            if named.eq_ignore_ascii_case("bearer")
                || token_types.iter().any(|allowed| allowed.eq_ignore_ascii_case(named)) => {}
        Some(Value::String(named)) => {
            return Err(invalid(format!("the token is of the type {:?}, not Bearer", excerpt(named, &[])))
                .with_advice("if it is a bearer token by another name, allow the name with `.accept_token_type(..)`"));
        }
        Some(other) => return Err(invalid(format!("token_type is {}, not a string", kind(other)))),
    }
    let expires_in = match members.get("expires_in") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            lifetime(value)
                .ok_or_else(|| invalid(format!("expires_in is {}, not a number of seconds", kind(value))))?,
        ),
    };
    // A hint alone: one that cannot be read is as good as none.
    let refresh_in = members.get("refresh_in").and_then(lifetime);
    let scope = match members.get("scope") {
        Some(Value::String(scope)) => Some(scope.clone()),
        Some(Value::Array(scopes)) => Some(scopes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    };
    let token = match members.remove("access_token") {
        Some(Value::String(token)) => AccessToken::new(token)?,
        None => return Err(invalid("the answer has no access_token".into())),
        Some(other) => return Err(invalid(format!("access_token is {}, not a string", kind(&other)))),
    };
    let token = match expires_in {
        Some(expires_in) => token.with_expires_in(expires_in),
        None => token,
    };
    let token = match refresh_in {
        Some(refresh_in) => token.with_refresh_in(refresh_in),
        None => token,
    };
    Ok(match scope {
        Some(scope) => token.with_scope(scope),
        None => token,
    })
}

/// Seconds: an integer, a float or a numeric string; none or fewer: zero; more than a clock can count: very many.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        _ => return None,
    };
    if seconds.is_nan() {
        return None;
    }
    Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

/// What a value is, without its content, which may be a token in the wrong place.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string that is no number",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn redirect(response: &Response<Body>) -> Error {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let uri = location.and_then(|location| location.parse::<http::Uri>().ok());
    let target = uri.as_ref().and_then(Target::of_uri).map(|target| target.to_origin());
    let status = response.status();
    Error::new(
        ErrorKind::Redirect,
        format!(
            "the token endpoint redirects ({}) to {}, which is not followed: the request carries a secret",
            status.as_u16(),
            target.as_deref().unwrap_or("another path of its own origin")
        ),
    )
    .with_advice("configure the URL that answers itself")
    .with_status(status)
}

/// A 2xx that is no token response. Its body is not quoted: it may hold a token.
fn unreadable(response: &Response<Body>) -> Error {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let status = response.status();
    Error::new(
        ErrorKind::InvalidResponse,
        format!(
            "the answer ({}, {} bytes, {}) is not a token response",
            status.as_u16(),
            response.body().as_ref().len(),
            content_type.map_or("without a content type".into(), |text| excerpt(text, &[])),
        ),
    )
    .with_status(status)
}

fn failure(response: &Response<Body>, members: Option<&Map<String, Value>>, sent: &[Zeroizing<String>]) -> Error {
    let status = response.status();
    let text = |name: &str| members?.get(name)?.as_str().map(|text| excerpt(text, sent));
    let error = match text("error").filter(|code| !code.is_empty()) {
        Some(code) => oauth_error(status, code, text("error_description"), text("error_uri")),
        None => {
            let body = if status.is_success() {
                String::new()
            } else {
                excerpt(&String::from_utf8_lossy(response.body().as_ref()), sent)
            };
            let what = if body.is_empty() { String::new() } else { format!(": {body}") };
            Error::new(ErrorKind::Status, format!("HTTP {}{what}", status.as_u16()))
        }
    };
    let error = error.with_status(status);
    match retry_after(response.headers()) {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

fn oauth_error(
    status: StatusCode,
    error: String,
    error_description: Option<String>,
    error_uri: Option<String>,
) -> Error {
    let mut message = format!("{error} (HTTP {})", status.as_u16());
    if let Some(description) = &error_description {
        message = format!("{message}: {description}");
    }
    let advice = match error.as_str() {
        "invalid_client" => Some("check client_id and client_secret, and how they are sent: in the body or as Basic"),
        "invalid_scope" => Some("check the scopes, and that the client may have them"),
        "unauthorized_client" => Some("allow this client the client_credentials grant"),
        "unsupported_grant_type" => Some("check the token URL; some servers name the grant otherwise"),
        _ => None,
    };
    // By the code, not by the status; but a server that is busy or broken says nothing about the client.
    let passing = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || matches!(error.as_str(), "temporarily_unavailable" | "server_error");
    let response = Error::new(ErrorKind::ErrorResponse, message).with_response(ErrorResponse {
        error,
        error_description,
        error_uri,
    });
    let response = match advice {
        Some(advice) => response.with_advice(advice),
        None => response,
    };
    if passing { response } else { response.lasting() }
}

/// Seconds, or a date, which is read against the answer's own. Zero, past and unreadable: absent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = httpdate::parse_http_date(text).ok()?;
            let date = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
            until.duration_since(date.unwrap_or_else(SystemTime::now)).ok()?
        }
    };
    (!wait.is_zero()).then_some(wait)
}

/// What a server says, fit for an error: without what we sent as a secret, without control and direction characters, and short.
fn excerpt(text: &str, sent: &[Zeroizing<String>]) -> String {
    let mut text = text.to_owned();
    for spelling in sent.iter().filter(|secret| !secret.is_empty()).flat_map(|secret| spellings(secret)) {
        text = text.replace(spelling.as_str(), "[redacted]");
    }
    let clean = |character: char| match character {
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => ' ',
        control if control.is_control() => ' ',
        other => other,
    };
    let text: String = text.chars().map(clean).collect();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(MOST_CHARACTERS).collect()
}
