//! The lifetime of a token, as the token response states it.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header::DATE};
use zeroize::Zeroizing;

use super::members::{self, Member, Members};

/// The value of `expires_in`. Zero stands for zero or less: some servers mean that the token never expires, others that
/// they do not know. `Err` is the type of a value that is not a number.
pub(super) fn expires_in(members: &Members<'_>) -> Result<Option<Duration>, &'static str> {
    let stated = members.get("expires_in").filter(|member| member.kind() != "null");
    stated.map(|member| seconds(member).ok_or(member.kind())).transpose()
}

/// Reads an integer, a float or a numeric string of any size. A negative number becomes zero, one that is too large the
/// maximum.
pub(super) fn seconds(member: &Member<'_>) -> Option<Duration> {
    let number = member.content()?.trim().parse::<f64>().ok().filter(|number| !number.is_nan())?;
    Some(Duration::try_from_secs_f64(number.max(0.0)).unwrap_or(Duration::MAX))
}

/// The time until the `exp` of a token that is a JWT (RFC 9068 section 2.2). It is measured from the `Date` of the
/// response, or from the local time if there is none.
pub(super) fn until_exp(token: &str, headers: &HeaderMap) -> Option<Duration> {
    let payload = token.split('.').nth(1).filter(|_| token.matches('.').count() == 2)?;
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    let claims = members::of_json(std::str::from_utf8(&payload).ok()?)?;
    let exp = claims.get("exp").and_then(seconds)?;
    let now = date(headers).unwrap_or_else(SystemTime::now).duration_since(SystemTime::UNIX_EPOCH).ok()?;
    // An `exp` before the token was issued is ignored.
    exp.checked_sub(now).filter(|left| !left.is_zero())
}

/// The time of the response by the server's clock.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn jwt(payload: &str) -> String {
        format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn the_exp_of_a_jwt_is_read_against_the_date_of_the_response() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        for (token, left) in [
            (jwt(r#"{"exp":784111837}"#), Some(60.0)),
            (jwt(r#"{"exp":784111837.5,"odd":1e400}"#), Some(60.5)),
            (jwt(r#"{"exp":"784111837"}"#), Some(60.0)),
            (jwt(r#"{"exp":784111777}"#), None),
            (jwt(r#"{"exp":0}"#), None),
            (jwt(r#"{"exp":-1}"#), None),
            (jwt(r#"{"exp":true}"#), None),
            (jwt(r#"{"iat":784111777}"#), None),
            (jwt("no JSON"), None),
            ("a.b".into(), None),
            ("a.%.c".into(), None),
            ("opaque".into(), None),
            (format!("{}.more", jwt(r#"{"exp":784111837}"#)), None),
        ] {
            assert_eq!(until_exp(&token, &headers).map(|left| left.as_secs_f64()), left, "{token}");
        }
        let far = until_exp(&jwt(r#"{"exp":1e400}"#), &headers);
        assert!(far.is_some_and(|left| left > Duration::from_secs(1 << 40)), "{far:?}");
    }

    #[test]
    fn without_a_date_our_own_clock_counts() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let left = until_exp(&jwt(&format!(r#"{{"exp":{}}}"#, now + 600)), &HeaderMap::new());
        assert!(left.is_some_and(|left| left > Duration::from_secs(300)), "{left:?}");
    }
}
