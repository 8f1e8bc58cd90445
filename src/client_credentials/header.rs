//! Headers that a server wants beside those of every token request.

use http::{HeaderName, HeaderValue};

use crate::error::Error;

/// Headers that the token request or the HTTP client writes itself.
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

/// One of them, checked, and marked sensitive.
pub(super) fn checked(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::configuration("header: its name is none, or has a character that a name may not have"))?;
    if let Some(reserved) = RESERVED.into_iter().find(|reserved| name == *reserved) {
        return Err(Error::configuration(format!(
            "header: `{reserved}` is written by the token request or by the HTTP client"
        )));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Error::configuration(format!("header: the value of `{name}` has a character that is not visible ASCII"))
    })?;
    value.set_sensitive(true);
    Ok((name, value))
}
