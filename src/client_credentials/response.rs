//! Reads token responses (RFC 6749 sections 5.1 and 5.2), including the variants that real servers send.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Response, StatusCode, header::RETRY_AFTER};

use super::{
    lifetime,
    mask::Mask,
    members::{self, Member, Members, text},
    quote::{MAX_CHARACTERS, MAX_DESCRIPTION, shortened},
};
use crate::{
    error::{Error, ErrorKind, ErrorResponse, OAUTH_CODES},
    http_client::{MAX_RESPONSE_BYTES, SecretBody, redirected, too_large},
    token::AccessToken,
};

/// Members that are not kept with the token: those that have methods of their own, and the refresh token.
const NOT_KEPT: [&str; 6] = ["access_token", "token_type", "expires_in", "refresh_in", "scope", "refresh_token"];

/// Members that contain tokens.
const TOKENS: [&str; 3] = ["access_token", "refresh_token", "id_token"];

const NO_DPOP: &str = "turn off DPoP for this client at the server; this crate does not support it";

/// A token, and what has to be logged about it.
pub(super) struct Granted {
    pub token: AccessToken,
    /// Whether `expires_in` is zero or less.
    pub no_lifetime: bool,
}

/// Reads a response. `scheme` is the scheme of the token endpoint, `mask` hides what was sent, and `token_types` are
/// other names for a bearer token.
pub(super) fn read(
    response: &Response<SecretBody>,
    scheme: &str,
    mut mask: Mask,
    token_types: &[String],
) -> Result<Granted, Error> {
    let status = response.status();
    let text = text(limited(response)?);
    let members = members::of_response(response.headers(), &text);
    TOKENS.iter().filter_map(|name| members.get(*name)?.string().ok()).for_each(|token| mask.hide(&token));
    not_redirected(response, scheme, &mask)?;
    let received = Received { response, text: &text, members, mask };
    let outcome = if !status.is_success() || received.members.get("error").is_some_and(Member::has_value) {
        Err(received.failure())
    } else if received.members.is_empty() {
        Err(received.unreadable())
    } else {
        received.token(token_types)
    };
    outcome.map_err(|error| error.with_status(status))
}

/// The body, unless it is too large: not every `HttpClient` limits it.
pub(super) fn limited(response: &Response<SecretBody>) -> Result<&[u8], Error> {
    let body = response.body().as_ref();
    if body.len() > MAX_RESPONSE_BYTES { Err(too_large()) } else { Ok(body) }
}

/// Refuses a redirect. `mask` knows the tokens of the response, since the redirect may repeat one.
pub(super) fn not_redirected(response: &Response<SecretBody>, scheme: &str, mask: &Mask) -> Result<(), Error> {
    let status = response.status();
    match status.as_u16() {
        301 | 302 | 303 | 307 | 308 => Err(redirected(&mask.redirect(response, scheme)).with_status(status)),
        _ => Ok(()),
    }
}

struct Received<'a> {
    response: &'a Response<SecretBody>,
    text: &'a str,
    members: Members<'a>,
    mask: Mask,
}

impl Received<'_> {
    fn token(&self, token_types: &[String]) -> Result<Granted, Error> {
        let members = &self.members;
        self.check_type(token_types)?;
        let expires_in = lifetime::expires_in(members)
            .map_err(|what| invalid(format!("expires_in is {what}, not a number of seconds")))?;
        let no_lifetime = expires_in == Some(Duration::ZERO);
        let mut text = match members.get("access_token").map(Member::string) {
            Some(Ok(text)) => text,
            Some(Err(what)) => return Err(invalid(format!("access_token is {what}, not a string"))),
            None => {
                let has = self.mask.overview(members);
                return Err(invalid(format!("the response has no access_token; its members: {has}")));
            }
        };
        let mut token = AccessToken::new(std::mem::take(&mut *text))?;
        if let Some(expires_in) = expires_in.filter(|_| !no_lifetime) {
            token = token.with_expires_in(expires_in);
        } else if let Some(left) = lifetime::until_exp(token.expose_secret(), self.response.headers()) {
            token = token.with_expires_within(left);
        }
        // A hint: an unreadable one is ignored.
        if let Some(refresh_in) = members.get("refresh_in").and_then(lifetime::seconds) {
            token = token.with_refresh_in(refresh_in);
        }
        if let Some(scope) = self.scope() {
            token = token.with_scope(scope);
        }
        for (name, member) in members.iter().filter(|(name, _)| !NOT_KEPT.contains(&name.as_str())) {
            if let Some(mut content) = member.content() {
                token = token.with_member(name, std::mem::take(&mut *content));
            }
        }
        Ok(Granted { token, no_lifetime })
    }

    fn check_type(&self, token_types: &[String]) -> Result<(), Error> {
        let named = match self.members.get("token_type").map(Member::string) {
            Some(Ok(named)) => named,
            Some(Err("null")) | None => return Ok(()),
            Some(Err(what)) => return Err(invalid(format!("token_type is {what}, not a string")).lasting()),
        };
        let is = |allowed: &str| allowed.trim().eq_ignore_ascii_case(named.trim());
        if is("bearer") || token_types.iter().any(|allowed| is(allowed)) {
            return Ok(());
        }
        let advice = if is("dpop") {
            NO_DPOP
        } else {
            "if this is another name for a bearer token, allow it with `.accept_token_type(..)`"
        };
        let named = self.mask.quote(&named);
        Err(invalid(format!("token_type is {named:?}, not Bearer")).with_advice(advice).lasting())
    }

    fn scope(&self) -> Option<String> {
        let scope = self.members.get("scope")?;
        let scopes = scope.items().map(|items| {
            let scopes: Vec<_> = items.filter_map(|item| item.string().ok().map(|scope| scope.to_string())).collect();
            scopes.join(" ")
        });
        scopes.or_else(|| scope.string().ok().map(|scope| scope.to_string()))
    }

    /// For a 2xx that is not a token response. Only a page title is quoted, because the body may be a token.
    fn unreadable(&self) -> Error {
        let title = self.mask.title(self.response, self.text).map(|title| format!(" with the title {title:?}"));
        let what = format!(
            "the response ({}{}) is not a token response{}",
            self.mask.outline(self.response),
            title.unwrap_or_default(),
            self.mask.encoding(self.response).unwrap_or_default(),
        );
        invalid(what)
            .quickly_retried()
            .with_advice("check the token URL; the response may come from a login page or a proxy")
    }

    fn failure(&self) -> Error {
        let status = self.response.status();
        let cause = || self.mask.cause(self.response, &self.members, self.text);
        let error = match self.members.get("error").map(Member::string) {
            Some(Ok(code)) if !code.trim().is_empty() => self.oauth_error(&code),
            Some(Err(what)) if status.is_success() => invalid(format!(
                "the response (HTTP {}) is an error, but its `error` is {what}, not a code{}",
                status.as_u16(),
                cause()
            )),
            _ => Error::new(ErrorKind::Status, format!("HTTP {}{}", status.as_u16(), cause()))
                .with_advice(advice("", status)),
        };
        error.with_retry_after(retry_after(self.response.headers()).unwrap_or_default())
    }

    fn oauth_error(&self, code: &str) -> Error {
        let status = self.response.status();
        let said = |name: &str| self.members.get(name)?.string().ok();
        let (description, uri) = (said("error_description"), said("error_uri"));
        // A standard code is shown even if it has a part of the secret in it.
        let known = OAUTH_CODES.contains(&code);
        let [description, uri] = [&description, &uri].map(|text| text.as_deref().map(String::as_str));
        let texts = [(!known).then_some(code), description, uri];
        let [shown, error_description, error_uri] = self.mask.quote_all(texts, MAX_DESCRIPTION);
        let error = shortened(shown.as_deref().unwrap_or(code), MAX_CHARACTERS);
        let beside = error_description.clone().or_else(|| self.mask.beside_code(&self.members));
        let mut message = format!("{error} (HTTP {})", status.as_u16());
        if let Some(beside) = beside {
            message = format!("{message}: {}", shortened(&beside, MAX_CHARACTERS));
        }
        let response = Error::new(ErrorKind::ErrorResponse, message).with_advice(advice(&error, status));
        let response = if may_pass(&error, status) { response } else { response.lasting() };
        response.with_response(ErrorResponse { error, error_description, error_uri })
    }
}

/// What to do about an error code, which may be empty. A web framework's own error response may have one, too.
fn advice(code: &str, status: StatusCode) -> Option<&'static str> {
    match code {
        "invalid_scope" => Some("check the scopes, and that the client is allowed to request them"),
        "unauthorized_client" => Some("allow the client_credentials grant for this client at the server"),
        "invalid_dpop_proof" | "use_dpop_nonce" => Some(NO_DPOP),
        "unsupported_grant_type" => {
            Some("check the token URL, and the grant's name; some servers use another (`.grant_type(..)`)")
        }
        _ => match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Some("check the token URL"),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Some("a proxy between this client and the server requires its own credentials")
            }
            _ => None,
        },
    }
}

/// Whether the failure is temporary. The code decides, unless the status says that the server is busy or broken.
fn may_pass(code: &str, status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || matches!(code, "temporarily_unavailable" | "server_error")
}

pub(super) fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidResponse, what)
}

/// Reads seconds, or a date relative to the `Date` of the response. A date in the past or an unreadable value is
/// ignored.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        let seconds = text.parse::<f64>().ok()?;
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    until.duration_since(lifetime::date(headers).unwrap_or_else(SystemTime::now)).ok()
}
