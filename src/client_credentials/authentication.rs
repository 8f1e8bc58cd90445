//! How the client proves who it is (RFC 6749 section 2.3).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::error::Error;

/// `application/x-www-form-urlencoded` as servers decode it most reliably: a space as `%20`, the unreserved characters bare.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How the client authenticates itself at the token endpoint.
///
/// A string is a secret that is sent in the body: [`client_secret_post`](Self::client_secret_post).
#[derive(Clone)]
pub struct ClientAuthentication(Method);

#[derive(Clone)]
enum Method {
    Post(SecretString),
    Basic { secret: SecretString, raw: bool },
    None,
}

impl ClientAuthentication {
    /// `client_secret_post`: id and secret in the body (RFC 6749 section 2.3.1).
    pub fn client_secret_post(secret: impl Into<SecretString>) -> Self {
        Self(Method::Post(secret.into()))
    }

    /// `client_secret_basic`: id and secret, form-urlencoded, in an HTTP Basic header (RFC 6749 section 2.3.1).
    pub fn client_secret_basic(secret: impl Into<SecretString>) -> Self {
        Self(Method::Basic { secret: secret.into(), raw: false })
    }

    /// `client_secret_basic` without the form-urlencoding, for the many servers that do not decode it. It matters only where id or secret have
    /// characters other than letters, digits and `-._~`.
    pub fn client_secret_basic_raw(secret: impl Into<SecretString>) -> Self {
        Self(Method::Basic { secret: secret.into(), raw: true })
    }

    /// No secret: `client_id` alone, in the body, for clients that are known otherwise (by a TLS client certificate, RFC 8705).
    pub fn none() -> Self {
        Self(Method::None)
    }

    pub(super) fn check(&self, client_id: &str) -> Result<(), Error> {
        match &self.0 {
            Method::Basic { raw: true, .. } if client_id.contains(':') => Err(Error::configuration(
                "client_id: has a `:`, which ends the id in a raw Basic header; use `client_secret_basic`",
            )),
            _ => Ok(()),
        }
    }

    /// The parameters for the body.
    pub(super) fn parameters<'a>(&'a self, client_id: &'a str) -> Vec<(&'static str, &'a str)> {
        match &self.0 {
            Method::Post(secret) => vec![("client_id", client_id), ("client_secret", secret.expose_secret())],
            Method::Basic { .. } => Vec::new(),
            Method::None => vec![("client_id", client_id)],
        }
    }

    /// The `Authorization` header.
    pub(super) fn header(&self, client_id: &str) -> Option<HeaderValue> {
        let Method::Basic { secret, raw } = &self.0 else { return None };
        let value = Zeroizing::new(format!("Basic {}", *encoded(client_id, secret.expose_secret(), *raw)));
        // Base64 is visible ASCII.
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// What must not be repeated in an error: the secret, and the whole Basic credentials.
    pub(super) fn secrets(&self, client_id: &str) -> Vec<Zeroizing<String>> {
        let own = |secret: &SecretString| Zeroizing::new(secret.expose_secret().to_owned());
        match &self.0 {
            Method::Post(secret) => vec![own(secret)],
            Method::Basic { secret, raw } => vec![own(secret), encoded(client_id, secret.expose_secret(), *raw)],
            Method::None => Vec::new(),
        }
    }
}

fn encoded(client_id: &str, secret: &str, raw: bool) -> Zeroizing<String> {
    let credentials = Zeroizing::new(if raw {
        format!("{client_id}:{secret}")
    } else {
        format!("{}:{}", utf8_percent_encode(client_id, FORM), utf8_percent_encode(secret, FORM))
    });
    Zeroizing::new(STANDARD.encode(credentials.as_bytes()))
}

impl From<&str> for ClientAuthentication {
    fn from(secret: &str) -> Self {
        Self::client_secret_post(secret)
    }
}

impl From<String> for ClientAuthentication {
    fn from(secret: String) -> Self {
        Self::client_secret_post(secret)
    }
}

impl From<&String> for ClientAuthentication {
    fn from(secret: &String) -> Self {
        Self::client_secret_post(secret.as_str())
    }
}

impl From<SecretString> for ClientAuthentication {
    fn from(secret: SecretString) -> Self {
        Self::client_secret_post(secret)
    }
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Method::Post(_) => "client_secret_post",
            Method::Basic { raw: false, .. } => "client_secret_basic",
            Method::Basic { raw: true, .. } => "client_secret_basic (raw)",
            Method::None => "none",
        })
    }
}
