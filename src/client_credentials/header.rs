//! Extra headers for token requests.

use http::{HeaderName, HeaderValue};

use crate::{error::Error, token::sensitive_header};

/// Headers that the token request or the HTTP client sets.
const RESERVED: [&str; 16] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Checks a header, and marks its value sensitive.
pub(super) fn checked(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        Error::configuration("header: the name is empty, or has a character that is not allowed in a header name")
    })?;
    if let Some(reserved) = RESERVED.into_iter().find(|reserved| name == *reserved) {
        return Err(Error::configuration(format!(
            "header: `{reserved}` is set by the token request or by the HTTP client"
        )));
    }
    let is_ascii = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let value = is_ascii.then(|| sensitive_header(&[value])).flatten().ok_or_else(|| {
        Error::configuration(format!("header: the value of `{name}` has a character that is not visible ASCII"))
    })?;
    Ok((name, value))
}
