//! How the client proves who it is (RFC 6749 section 2.3).

mod credentials;
mod secret;

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

pub use self::secret::Secret;
pub(super) use self::{
    credentials::{Credentials, History},
    secret::Id,
};
use crate::error::Error;

/// `application/x-www-form-urlencoded` as servers decode it most reliably: a space as `%20`, the unreserved characters bare.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How the client authenticates itself at the token endpoint.
///
/// A string or a [`Secret`] is a secret that is sent in the body: [`client_secret_post`](Self::client_secret_post).
#[derive(Clone)]
pub struct ClientAuthentication(Method);

#[derive(Clone)]
enum Method {
    Post(Secret),
    Basic { secret: Secret, raw: bool },
    None,
}

/// What one token request is sent with.
#[derive(Default)]
pub(super) struct Proof {
    /// For the body.
    pub parameters: Vec<(&'static str, Zeroizing<String>)>,
    /// For `Authorization`.
    pub header: Option<HeaderValue>,
    /// What must not be repeated in an error.
    pub secrets: Vec<Zeroizing<String>>,
}

impl ClientAuthentication {
    /// `client_secret_post`: id and secret in the body (RFC 6749 section 2.3.1).
    pub fn client_secret_post(secret: impl Into<Secret>) -> Self {
        Self(Method::Post(secret.into()))
    }

    /// `client_secret_basic`: id and secret, form-urlencoded, in an HTTP Basic header (RFC 6749 section 2.3.1).
    pub fn client_secret_basic(secret: impl Into<Secret>) -> Self {
        Self(Method::Basic { secret: secret.into(), raw: false })
    }

    /// `client_secret_basic` without the form-urlencoding, for the many servers that do not decode it. It matters only where id or secret have
    /// characters other than letters, digits and `-._~`.
    pub fn client_secret_basic_raw(secret: impl Into<Secret>) -> Self {
        Self(Method::Basic { secret: secret.into(), raw: true })
    }

    /// No secret: `client_id` alone, in the body, for clients that are known otherwise (by a TLS client certificate, RFC 8705).
    pub fn none() -> Self {
        Self(Method::None)
    }

    /// Refuses what can never be sent.
    pub(super) fn check(&self, client_id: &Secret) -> Result<(), Error> {
        client_id.check("client_id")?;
        if let Some(id) = client_id.fixed() {
            self.check_id(id)?;
        }
        self.client_secret().map_or(Ok(()), |secret| secret.check("client_secret"))
    }

    fn check_id(&self, client_id: &str) -> Result<(), Error> {
        match &self.0 {
            _ if client_id.is_empty() => Err(Error::configuration("client_id: empty")),
            Method::Basic { raw: true, .. } if client_id.contains(':') => Err(Error::configuration(
                "client_id: has a `:`, which ends the id in a raw Basic header; use `client_secret_basic`",
            )),
            _ => Ok(()),
        }
    }

    /// The client's secret, where the method has one.
    pub(super) fn client_secret(&self) -> Option<&Secret> {
        match &self.0 {
            Method::Post(secret) | Method::Basic { secret, .. } => Some(secret),
            Method::None => None,
        }
    }

    /// Reads id and secret, wherever they come from.
    pub(super) async fn read(&self, client_id: &Secret) -> Result<Credentials, Error> {
        let client_id = client_id.read("client_id").await?;
        self.check_id(&client_id)?;
        let client_secret = match self.client_secret() {
            Some(secret) => Some(secret.read("client_secret").await?),
            None => None,
        };
        Ok(Credentials { client_id, client_secret })
    }

    pub(super) fn prove(&self, credentials: &Credentials) -> Proof {
        let id = credentials.client_id.clone();
        let secret = credentials.client_secret.clone().unwrap_or_default();
        match &self.0 {
            Method::Post(_) => Proof {
                parameters: vec![("client_id", id), ("client_secret", secret.clone())],
                secrets: vec![secret],
                ..Proof::default()
            },
            Method::Basic { raw, .. } => {
                let encoded = encoded(&id, &secret, *raw);
                Proof { header: basic(&encoded), secrets: vec![secret, encoded], ..Proof::default() }
            }
            Method::None => Proof { parameters: vec![("client_id", id)], ..Proof::default() },
        }
    }
}

fn basic(encoded: &str) -> Option<HeaderValue> {
    let value = Zeroizing::new(format!("Basic {encoded}"));
    // Base64 is visible ASCII.
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn encoded(client_id: &str, secret: &str, raw: bool) -> Zeroizing<String> {
    let credentials = Zeroizing::new(if raw {
        format!("{client_id}:{secret}")
    } else {
        format!("{}:{}", utf8_percent_encode(client_id, FORM), utf8_percent_encode(secret, FORM))
    });
    Zeroizing::new(STANDARD.encode(credentials.as_bytes()))
}

impl<T: Into<Secret>> From<T> for ClientAuthentication {
    fn from(secret: T) -> Self {
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
