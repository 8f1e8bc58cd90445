//! Client authentication (RFC 6749 section 2.3).

mod assertion;
mod credentials;
mod file;
#[cfg(all(feature = "jwt", feature = "serde"))]
mod key_file;
#[cfg(feature = "jwt")]
mod private_key;
mod secret;
mod signer;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use self::assertion::Signing;
#[cfg(all(feature = "jwt", feature = "serde"))]
pub(super) use self::key_file::KeyFile;
#[cfg(feature = "jwt")]
pub use self::private_key::PrivateKey;
pub use self::{assertion::ClientAssertion, secret::Secret, signer::Signer};
pub(super) use self::{
    assertion::seconds_ahead,
    credentials::{Credentials, History},
    secret::Id,
};
use crate::{error::Error, token::sensitive_header};

/// `application/x-www-form-urlencoded` in the form that most servers decode: a space is `%20`, and unreserved
/// characters are not encoded.
pub(super) const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How the client authenticates at the token endpoint. The methods have the names of the OAuth registry.
///
/// | method | the client proves its identity with | |
/// |---|---|---|
/// | [`client_secret_post`](Self::client_secret_post) | a secret in the body | the default |
/// | [`client_secret_basic`](Self::client_secret_basic) | a secret in a header | [`…_raw`](Self::client_secret_basic_raw) for servers that do not decode it |
/// | `client_secret_jwt` | an HMAC with a secret | feature `jwt` |
/// | [`private_key_jwt`](Self::private_key_jwt) | a signature | a key in PEM with the feature `jwt`, or your own [`Signer`]; for a key that changes, [`from_fn`](Self::from_fn) |
/// | [`client_assertion`](Self::client_assertion) | a token from another issuer | Kubernetes and other workload identities |
/// | [`tls_client_auth`](Self::tls_client_auth), [`self_signed_tls_client_auth`](Self::self_signed_tls_client_auth) | a TLS client certificate | |
/// | [`none`](Self::none) | its id only | |
///
/// A string or a [`Secret`] becomes `client_secret_post`: a secret that is sent in the body.
#[derive(Clone)]
pub struct ClientAuthentication(Method);

#[derive(Clone)]
enum Method {
    Post(Secret),
    Basic { secret: Secret, raw: bool },
    Jwt(ClientAssertion),
    Function(Arc<AssertionFunction>),
    ReadyMade(Secret),
    Tls { self_signed: bool },
    None,
}

type AssertionFunction = dyn Fn() -> Pin<Box<dyn Future<Output = Result<ClientAssertion, Error>> + Send>> + Send + Sync;

/// What authenticates one token request.
#[derive(Default)]
pub(super) struct Proof {
    /// For the body.
    pub parameters: Vec<(&'static str, Zeroizing<String>)>,
    /// For `Authorization`.
    pub header: Option<HeaderValue>,
    /// What errors must not show.
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

    /// `client_secret_basic` without the form-urlencoding, for the many servers that do not decode it. It differs only
    /// if the id or the secret has characters other than letters, digits and `-._~`.
    pub fn client_secret_basic_raw(secret: impl Into<Secret>) -> Self {
        Self(Method::Basic { secret: secret.into(), raw: true })
    }

    /// `client_secret_jwt`: a JWT that is signed with the secret, by HMAC with SHA-256 (RFC 7523 section 2.2, `HS256`).
    /// The secret itself is not sent.
    ///
    /// ```
    /// use client_credentials::ClientAuthentication;
    ///
    /// let authentication = ClientAuthentication::client_secret_jwt("12345").audience("https://auth.example.com");
    /// ```
    #[cfg(feature = "jwt")]
    pub fn client_secret_jwt(secret: impl Into<Secret>) -> ClientAssertion {
        ClientAssertion::new(Signing::Secret(secret.into()))
    }

    /// `private_key_jwt`: a JWT that is signed with a private key whose public key the server knows (RFC 7523 section
    /// 2.2).
    ///
    /// The key is a `PrivateKey` (in PEM; feature `jwt`), or a [`Signer`] for a key that is kept elsewhere.
    pub fn private_key_jwt(signer: impl Signer) -> ClientAssertion {
        ClientAssertion::new(Signing::PrivateKey(Arc::new(signer)))
    }

    /// A signed JWT like those of [`private_key_jwt`](Self::private_key_jwt) and `client_secret_jwt`, from a function.
    /// Use it for keys that change together with their name, their certificate or their algorithm.
    ///
    /// The function is called for each token request, within the time limit of the exchange, so that a change needs no
    /// restart. After a rejection, the new key is used with the next attempt, at most a minute later. The function
    /// fails with [`Error::transient`] or [`Error::permanent`], or with the error of an invalid assertion.
    ///
    /// ```
    /// use client_credentials::{ClientAuthentication, Error};
    ///
    /// # #[cfg(feature = "jwt")]
    /// let authentication = ClientAuthentication::from_fn(|| async {
    ///     let pem = std::fs::read("/run/secrets/client-key.pem").map_err(Error::transient)?;
    ///     let name = std::fs::read_to_string("/run/secrets/client-key.name").map_err(Error::transient)?;
    ///     let key = client_credentials::PrivateKey::es256(pem)?;
    ///     Ok(ClientAuthentication::private_key_jwt(key).key_id(name.trim()))
    /// });
    /// ```
    pub fn from_fn<F, Fut>(function: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ClientAssertion, Error>> + Send + 'static,
    {
        Self(Method::Function(Arc::new(move || Box::pin(function()))))
    }

    /// An assertion that another issuer signs and renews (RFC 7521 section 4.2, RFC 7523), for workload identity
    /// federation. It is read for each token request, and sent unchanged.
    ///
    /// On Kubernetes it is a projected service account token, with the audience that the authorization server requires:
    ///
    /// ```yaml
    /// volumes:
    ///   - name: token
    ///     projected:
    ///       sources:
    ///         - serviceAccountToken: { path: token, audience: "https://auth.example.com", expirationSeconds: 600 }
    /// ```
    ///
    /// ```
    /// use client_credentials::{ClientAuthentication, ClientCredentials, Secret};
    ///
    /// let token = Secret::file("/var/run/secrets/tokens/token"); // where the volume is mounted
    /// let source = ClientCredentials::builder(
    ///     "https://auth.example.com/oauth2/token",
    ///     "abcde",
    ///     ClientAuthentication::client_assertion(token),
    /// );
    /// ```
    pub fn client_assertion(assertion: impl Into<Secret>) -> Self {
        Self(Method::ReadyMade(assertion.into()))
    }

    /// `tls_client_auth`: a client certificate from a public key infrastructure (RFC 8705 section 2.1). The id is sent
    /// in the body.
    ///
    /// The HTTP client presents the certificate, so pass one to
    /// [`http_client`](crate::ClientCredentialsBuilder::http_client), such as a `reqwest::Client` with an `Identity`.
    pub fn tls_client_auth() -> Self {
        Self(Method::Tls { self_signed: false })
    }

    /// `self_signed_tls_client_auth`: a client certificate that is registered at the server (RFC 8705 section 2.2).
    /// Otherwise like [`tls_client_auth`](Self::tls_client_auth).
    pub fn self_signed_tls_client_auth() -> Self {
        Self(Method::Tls { self_signed: true })
    }

    /// `none`: only `client_id`, in the body (RFC 7591 section 2), for clients that the server identifies by other
    /// means.
    pub fn none() -> Self {
        Self(Method::None)
    }

    /// Refuses settings that can never work.
    pub(super) fn check(&self, client_id: &Secret) -> Result<(), Error> {
        client_id.check("client_id")?;
        if let Some(id) = client_id.fixed() {
            self.check_id(id)?;
        }
        match &self.0 {
            Method::Jwt(assertion) => assertion.check()?,
            Method::ReadyMade(assertion) => assertion.check("client_assertion")?,
            _ => {}
        }
        match self.client_secret() {
            Some(secret) if secret.fixed().is_some_and(str::is_empty) => Err(Error::configuration(
                "client_secret: empty; for a client without a secret, use `ClientAuthentication::none()`",
            )),
            Some(secret) => secret.check("client_secret"),
            None => Ok(()),
        }
    }

    /// Whether the HTTP client must present a certificate.
    pub(super) fn uses_tls_certificate(&self) -> bool {
        matches!(self.0, Method::Tls { .. })
    }

    /// Whether it contains timestamps.
    pub(super) fn depends_on_clock(&self) -> bool {
        matches!(self.0, Method::Jwt(_) | Method::Function(_))
    }

    /// What to check when the server rejects the client.
    pub(super) fn advice(&self, refused: &Credentials) -> &'static str {
        let Credentials { client_id, client_secret } = refused;
        match &self.0 {
            Method::Post(_) | Method::Basic { .. } if has_stray_space(client_secret) => {
                "check client_secret: it begins or ends with a space, or has a line break"
            }
            Method::Basic { raw: false, .. } if is_encoded(client_id) || is_encoded(client_secret) => {
                "check client_id and client_secret; they have characters that are encoded in a Basic header, and not every server decodes them: try `client_secret_basic_raw` or `client_secret_post`"
            }
            Method::Post(_) | Method::Basic { .. } => {
                "check client_id and client_secret, and how they are sent: in the body or as Basic"
            }
            Method::Jwt(assertion) if assertion.client_secret().is_some() => {
                "check client_id, client_secret (the signing key), the audience (the token URL or the server's issuer), and that the server expects HS256"
            }
            Method::Jwt(_) | Method::Function(_) => {
                "check client_id, the audience (the token URL or the server's issuer), and that the server knows the key and its algorithm"
            }
            Method::ReadyMade(_) => {
                "check client_id, and that the server trusts the assertion's issuer, subject and audience"
            }
            Method::Tls { .. } => {
                "check client_id, and that the HTTP client presents the certificate that the server knows"
            }
            Method::None => "check client_id, and whether the server requires a secret",
        }
    }

    fn check_id(&self, client_id: &str) -> Result<(), Error> {
        if client_id.is_empty() {
            return Err(Error::configuration("client_id: empty"));
        }
        if matches!(self.0, Method::Basic { raw: true, .. }) && client_id.contains(':') {
            return Err(Error::configuration(
                "client_id: has a `:`, which ends the id in a raw Basic header; use `client_secret_basic`",
            ));
        }
        Ok(())
    }

    /// The client's secret, if the method has one.
    fn client_secret(&self) -> Option<&Secret> {
        match &self.0 {
            Method::Post(secret) | Method::Basic { secret, .. } => Some(secret),
            Method::Jwt(assertion) => assertion.client_secret(),
            _ => None,
        }
    }

    /// The name of the method, as far as tokens may depend on it.
    pub(super) fn method(&self) -> &'static str {
        match &self.0 {
            Method::Post(_) => "client_secret_post",
            Method::Basic { .. } => "client_secret_basic",
            Method::Jwt(assertion) => assertion.name(),
            Method::Function(_) => "private_key_jwt",
            Method::ReadyMade(_) => "client_assertion",
            Method::Tls { self_signed: false } => "tls_client_auth",
            Method::Tls { self_signed: true } => "self_signed_tls_client_auth",
            Method::None => "none",
        }
    }

    pub(super) async fn read_id(&self, client_id: &Secret) -> Result<Zeroizing<String>, Error> {
        let client_id = client_id.read("client_id").await?;
        self.check_id(&client_id)?;
        Ok(client_id)
    }

    /// Reads the id and the secret.
    pub(super) async fn read(&self, client_id: &Secret) -> Result<Credentials, Error> {
        let client_id = self.read_id(client_id).await?;
        let client_secret = match self.client_secret() {
            Some(secret) => secret.read("client_secret").await?,
            None => Zeroizing::default(),
        };
        Ok(Credentials { client_id, client_secret })
    }

    /// How often to check whether the id or the secret has changed. `None`: they never change.
    pub(super) fn check_interval(&self, client_id: &Secret) -> Option<Duration> {
        [Some(client_id), self.client_secret()].into_iter().flatten().filter_map(Secret::check_interval).max()
    }

    /// Makes the proof for one attempt. `token_url` is the audience of an assertion if none is set; the server's
    /// clock is `ahead` by so many seconds.
    pub(super) async fn prove(&self, credentials: &Credentials, token_url: &str, ahead: i64) -> Result<Proof, Error> {
        let Credentials { client_id: id, client_secret: secret } = credentials.clone();
        Ok(match &self.0 {
            Method::Post(_) => Proof {
                parameters: vec![("client_id", id), ("client_secret", secret.clone())],
                secrets: vec![secret],
                ..Proof::default()
            },
            Method::Basic { raw, .. } => {
                let encoded = encoded(&id, &secret, *raw);
                Proof {
                    header: sensitive_header(&["Basic ", &encoded]),
                    secrets: vec![secret, encoded],
                    ..Proof::default()
                }
            }
            Method::Jwt(assertion) => {
                let assertion = assertion.make(&id, &secret, token_url, ahead).await?;
                asserted(id, assertion, secret)
            }
            Method::Function(function) => {
                let failed = |error| Error::credentials("client_assertion: the function failed", &error);
                let assertion = function().await.map_err(failed)?;
                assertion.check().map_err(failed)?;
                let secret = match assertion.client_secret() {
                    Some(secret) => secret.read("client_secret").await?,
                    None => secret,
                };
                let assertion = assertion.make(&id, &secret, token_url, ahead).await?;
                asserted(id, assertion, secret)
            }
            Method::ReadyMade(assertion) => asserted(id, assertion.read("client_assertion").await?, secret),
            Method::Tls { .. } | Method::None => Proof { parameters: vec![("client_id", id)], ..Proof::default() },
        })
    }
}

/// `secret` is the one that signed, if any.
fn asserted(client_id: Zeroizing<String>, assertion: Zeroizing<String>, secret: Zeroizing<String>) -> Proof {
    Proof {
        secrets: vec![assertion.clone(), secret],
        parameters: vec![
            ("client_id", client_id),
            ("client_assertion_type", Zeroizing::new(ASSERTION_TYPE.to_owned())),
            ("client_assertion", assertion),
        ],
        header: None,
    }
}

/// Whether a text changes in a Basic header that is not raw.
fn is_encoded(text: &str) -> bool {
    !utf8_percent_encode(text, FORM).eq([text])
}

/// Whether it was copied by hand, or read together with the end of its line.
fn has_stray_space(secret: &str) -> bool {
    secret.trim() != secret || secret.contains(['\r', '\n'])
}

fn encoded(client_id: &str, secret: &str, raw: bool) -> Zeroizing<String> {
    // Enough capacity for all of it, percent-encoded: growing would leave a copy of the secret behind.
    let mut credentials = Zeroizing::new(String::with_capacity(3 * (client_id.len() + secret.len()) + 1));
    if raw {
        credentials.extend([client_id, ":", secret]);
    } else {
        credentials.extend(utf8_percent_encode(client_id, FORM));
        credentials.push(':');
        credentials.extend(utf8_percent_encode(secret, FORM));
    }
    Zeroizing::new(STANDARD.encode(credentials.as_bytes()))
}

impl<T: Into<Secret>> From<T> for ClientAuthentication {
    fn from(secret: T) -> Self {
        Self::client_secret_post(secret)
    }
}

impl From<ClientAssertion> for ClientAuthentication {
    fn from(assertion: ClientAssertion) -> Self {
        Self(Method::Jwt(assertion))
    }
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Method::Basic { raw: true, .. } => "client_secret_basic (raw)",
            Method::Function(_) => "assertion function",
            _ => self.method(),
        })
    }
}
