//! How long a token lives, by what its response says.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header::DATE};
use zeroize::Zeroizing;

use super::members::{Member, Members};

/// What `expires_in` says.
pub(super) enum Lifetime {
    Stated(Duration),
    /// Zero or less, as some servers write "never", or that they do not know.
    NoTime,
    NotStated,
}

impl Lifetime {
    /// `Err` says what is there instead.
    pub(super) fn read(members: &Members<'_>) -> Result<Self, &'static str> {
        let Some(member) = members.get("expires_in").filter(|member| !member.is_null()) else {
            return Ok(Self::NotStated);
        };
        let lifetime = seconds(member).ok_or(member.kind())?;
        Ok(if lifetime.is_zero() { Self::NoTime } else { Self::Stated(lifetime) })
    }
}

/// An integer, a float or a numeric string; fewer than none: zero; more than a clock can count: very many.
pub(super) fn seconds(member: &Member<'_>) -> Option<Duration> {
    let seconds = member.number()?.max(0.0);
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// What is left until the `exp` of a token that is a JWT (RFC 9068 section 2.2), by the server's clock where the response has its `Date`.
pub(super) fn until_exp(token: &str, headers: &HeaderMap) -> Option<Duration> {
    let payload = token.split('.').nth(1).filter(|_| token.matches('.').count() == 2)?;
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    let claims = Members::of_json(std::str::from_utf8(&payload).ok()?)?;
    let exp = claims.get("exp").and_then(seconds)?;
    let now = date(headers).unwrap_or_else(SystemTime::now).duration_since(SystemTime::UNIX_EPOCH).ok()?;
    // One that ended before it was issued says nothing.
    exp.checked_sub(now).filter(|left| !left.is_zero())
}

/// When the response was made, by the server's clock.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}
