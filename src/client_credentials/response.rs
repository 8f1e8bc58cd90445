//! The token response (RFC 6749 sections 5.1 and 5.2), as servers really write it.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, Response, StatusCode, Uri,
    header::{AsHeaderName, CONTENT_ENCODING, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER},
};
use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::{
    ClientCredentials,
    endpoint::Endpoint,
    mask::{MASK, Mask},
};
use crate::{
    error::{Error, ErrorKind, ErrorResponse},
    http_client::{Body, MOST_BYTES, redirected, too_large},
    origin::Target,
    token::AccessToken,
};

const MOST_CHARACTERS: usize = 200;

/// Members that are read for what they mean, and one that is for other grants. They are not kept beside the token.
const NOT_KEPT: [&str; 6] = ["access_token", "token_type", "expires_in", "refresh_in", "scope", "refresh_token"];

/// Where tokens stand in an answer.
const TOKENS: [&str; 3] = ["access_token", "refresh_token", "id_token"];

const CHECK_URL: &str = "check the token URL";

const NO_DPOP: &str = "turn off DPoP for this client at the server; this crate does not have it";

/// The codes that RFC 6749 section 5.2, RFC 8628, RFC 8707 and OpenID Connect define. They are no secret, whatever the secret is.
const CODES: [&str; 9] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
];

/// `mask` hides what was sent.
pub(super) fn read(
    source: &ClientCredentials,
    endpoint: &Endpoint,
    response: &Response<Body>,
    mut mask: Mask,
) -> Result<AccessToken, Error> {
    if response.body().as_ref().len() > MOST_BYTES {
        return Err(too_large());
    }
    let body = response.body().as_ref();
    let mut members = parse(response.headers(), body).unwrap_or_default();
    for token in TOKENS.iter().filter_map(|name| members.get(*name)?.as_str()) {
        mask.hide(token);
    }
    let status = response.status();
    if !status.is_success() {
        // It may be quoted, and a form is one by any content type.
        let fields = form_urlencoded::parse(body).filter(|(name, _)| TOKENS.contains(&name.as_ref()));
        fields.take(TOKENS.len()).for_each(|(_, token)| mask.hide(&token));
    }
    let answer = Answer { response, mask };
    let outcome = if is_redirect(status) {
        Err(answer.redirect(endpoint.url.scheme_str().unwrap_or_default()))
    } else if !status.is_success() || says(&members, "error") {
        Err(answer.failure(&members))
    } else if members.is_empty() {
        Err(answer.unreadable())
    } else {
        answer.token(&mut members, &source.token_types)
    };
    members.values_mut().for_each(wipe);
    outcome.map_err(|error| error.with_status(status))
}

pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Not by `null`, `""`, `false` or `0`.
fn says(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_some_and(|value| !value.is_null() && value != "" && value != false && value != 0)
}

pub(super) fn wipe(value: &mut Value) {
    if let Value::String(text) = value {
        text.zeroize();
    }
}

/// The members of a JSON object. A label such as `charset` does not decide: what is not UTF-8 cannot be in a token.
pub(super) fn object(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_str(&text(body)).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

fn text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

/// The members of a JSON object or a form.
fn parse(headers: &HeaderMap, body: &[u8]) -> Option<Map<String, Value>> {
    if let Some(members) = object(body) {
        return Some(members);
    }
    let text = text(body);
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    let form = content_type.starts_with("application/x-www-form-urlencoded") || content_type.starts_with("text/plain");
    let members: Map<_, _> = form_urlencoded::parse(text.as_bytes())
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    (form && (members.contains_key("access_token") || members.contains_key("error"))).then_some(members)
}

/// An answer, and what must not be repeated of it.
pub(super) struct Answer<'a> {
    response: &'a Response<Body>,
    mask: Mask,
}

impl<'a> Answer<'a> {
    /// One to a request that had no secret.
    pub(super) fn new(response: &'a Response<Body>) -> Self {
        Self { response, mask: Mask::default() }
    }

    fn token(&self, members: &mut Map<String, Value>, token_types: &[String]) -> Result<AccessToken, Error> {
        let invalid = |what: String| Error::new(ErrorKind::InvalidResponse, what);
        match members.get("token_type") {
            None | Some(Value::Null) => {}
            Some(Value::String(named))
                if named.eq_ignore_ascii_case("bearer")
                    || token_types.iter().any(|allowed| allowed.eq_ignore_ascii_case(named)) => {}
            Some(Value::String(named)) => {
                return Err(invalid(format!("the token is of the type {:?}, not Bearer", self.excerpt(named)))
                    .with_advice(if named.eq_ignore_ascii_case("dpop") {
                        NO_DPOP
                    } else {
                        "if it is a bearer token by another name, allow the name with `.accept_token_type(..)`"
                    }));
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
        let mut token = match members.remove("access_token") {
            Some(Value::String(token)) => AccessToken::new(token)?,
            None => return Err(invalid("the answer has no access_token".into())),
            Some(other) => return Err(invalid(format!("access_token is {}, not a string", kind(&other)))),
        };
        if let Some(expires_in) = expires_in {
            token = token.with_expires_in(expires_in);
        }
        if let Some(refresh_in) = refresh_in {
            token = token.with_refresh_in(refresh_in);
        }
        if let Some(scope) = scope {
            token = token.with_scope(scope);
        }
        for (name, value) in members.iter_mut().filter(|(name, _)| !NOT_KEPT.contains(&name.as_str())) {
            match value.take() {
                Value::Null => {}
                Value::String(text) => token = token.with_member(name, text),
                other => token = token.with_member(name, other.to_string()),
            }
        }
        Ok(token)
    }

    pub(super) fn redirect(&self, own_scheme: &str) -> Error {
        let location = self.response.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let target = match location {
            None => "nowhere (it names no Location)".into(),
            Some(location) => {
                let scheme = if location.starts_with("//") { format!("{own_scheme}:") } else { String::new() };
                let uri = format!("{scheme}{location}").parse::<Uri>().ok().filter(|uri| uri.scheme().is_some());
                let origin = uri.as_ref().and_then(Target::of_uri).map(|target| target.to_origin());
                origin.map_or("another path of its own origin".into(), |origin| self.excerpt(&origin))
            }
        };
        redirected(&target)
    }

    /// A 2xx that is no token response. Its body is not quoted: it may hold a token.
    fn unreadable(&self) -> Error {
        let content_type = self.header(CONTENT_TYPE).unwrap_or_else(|| "without a content type".into());
        let encoding = self.header(CONTENT_ENCODING).map(|encoding| format!(", encoded as {encoding}"));
        Error::new(
            ErrorKind::InvalidResponse,
            format!(
                "the answer (HTTP {}, {} bytes, {content_type}{}) is not a token response",
                self.response.status().as_u16(),
                self.response.body().as_ref().len(),
                encoding.unwrap_or_default(),
            ),
        )
        .with_advice("check the token URL; a login page or a proxy may have answered")
    }

    fn failure(&self, members: &Map<String, Value>) -> Error {
        let status = self.response.status();
        let text = |name: &str| members.get(name)?.as_str().map(|text| self.excerpt(text));
        let known = CODES.into_iter().find(|code| members.get("error").is_some_and(|error| error == code));
        let error = match known.map(str::to_owned).or_else(|| text("error")).filter(|code| !code.is_empty()) {
            Some(code) => oauth_error(status, code, text("error_description"), text("error_uri")),
            None if says(members, "error") && status.is_success() => Error::new(
                ErrorKind::InvalidResponse,
                format!(
                    "the answer (HTTP {}) is an error, whose `error` is {}, not a code",
                    status.as_u16(),
                    members.get("error").map_or("missing", kind)
                ),
            ),
            None => {
                let body = self.body();
                let what = if body.is_empty() { String::new() } else { format!(": {body}") };
                let error = Error::new(ErrorKind::Status, format!("HTTP {}{what}", status.as_u16()));
                match status {
                    StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => error.with_advice(CHECK_URL),
                    StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                        error.with_advice("a proxy on the way asks for credentials of its own")
                    }
                    _ => error,
                }
            }
        };
        self.held_back(error)
    }

    /// With what the answer says about when to come back.
    pub(super) fn held_back(&self, error: Error) -> Error {
        match retry_after(self.response.headers()) {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        }
    }

    /// An excerpt of the body. Within JSON a secret may be escaped twice, so its strings are read one by one.
    fn body(&self) -> String {
        let body = self.response.body().as_ref();
        match serde_json::from_slice::<Value>(body) {
            Ok(mut value) => {
                self.mask_strings(&mut value);
                self.excerpt(&value.to_string())
            }
            Err(_) => self.excerpt(&String::from_utf8_lossy(body)),
        }
    }

    fn mask_strings(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.excerpt(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.mask_strings(value)),
            Value::Object(members) => {
                let masked = std::mem::take(members).into_iter().map(|(name, mut value)| {
                    match TOKENS.contains(&name.as_str()) {
                        true => value = MASK.into(),
                        false => self.mask_strings(&mut value),
                    }
                    (self.excerpt(&name), value)
                });
                *members = masked.collect();
            }
            _ => {}
        }
    }

    pub(super) fn header(&self, name: impl AsHeaderName) -> Option<String> {
        let value = self.response.headers().get(name)?;
        Some(self.excerpt(&String::from_utf8_lossy(value.as_bytes())))
    }

    /// What a server says, fit for an error: without secrets, without control and direction characters, and short.
    pub(super) fn excerpt(&self, text: &str) -> String {
        // Far more than is shown, and far less than a flood.
        let text = &text[..text.char_indices().nth(64 * MOST_CHARACTERS).map_or(text.len(), |(at, _)| at)];
        let words = clean(&self.mask.apply(text));
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        words.chars().take(MOST_CHARACTERS).collect()
    }
}

/// Without terminal sequences; a blank for each other character that would not show as itself.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' if characters.peek() == Some(&'[') => {
                characters.find(|next| matches!(next, '@'..='Z' | '\\'..='~'));
                cleaned.push(' ');
            }
            '\u{9b}' => {
                characters.find(|next| matches!(next, '@'..='~'));
                cleaned.push(' ');
            }
            '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => cleaned.push(' '),
            control if control.is_control() => cleaned.push(' '),
            other => cleaned.push(other),
        }
    }
    cleaned
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
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
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
        "invalid_scope" => Some("check the scopes, and that the client may have them"),
        "unauthorized_client" => Some("allow this client the client_credentials grant"),
        "invalid_dpop_proof" | "use_dpop_nonce" => Some(NO_DPOP),
        "unsupported_grant_type" => Some("check the token URL; some servers name the grant otherwise"),
        // A framework's own error may have an `error`, too.
        _ if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => Some(CHECK_URL),
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
