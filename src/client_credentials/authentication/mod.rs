//! How the client proves who it is (RFC 6749 section 2.3).

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
#[cfg(all(feature = "serde", any(feature = "rustls", feature = "native-tls")))]
pub(super) use self::file::shown_path;
#[cfg(all(feature = "jwt", feature = "serde"))]
pub(super) use self::key_file::KeyFile;
#[cfg(feature = "jwt")]
pub use self::private_key::PrivateKey;
pub use self::{assertion::ClientAssertion, secret::Secret, signer::Signer};
pub(super) use self::{
    assertion::{ServerClock, Skew},
    credentials::{Credentials, History},
    secret::Id,
};
use crate::error::Error;

/// `application/x-www-form-urlencoded` as servers decode it most reliably: a space as `%20`, the unreserved characters
/// bare.
pub(super) const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How the client authenticates itself at the token endpoint, by the names of OAuth's registry.
///
/// | method | the server knows the client by | |
/// |---|---|---|
/// | [`client_secret_post`](Self::client_secret_post) | a secret in the body | the default |
/// | [`client_secret_basic`](Self::client_secret_basic) | a secret in a header | [`…_raw`](Self::client_secret_basic_raw) for servers that do not decode it |
/// | `client_secret_jwt` | an HMAC with a secret | feature `jwt` |
/// | [`private_key_jwt`](Self::private_key_jwt) | a signature | a key in PEM with the feature `jwt`, or a [`Signer`] of yours; a key that changes: [`from_fn`](Self::from_fn) |
/// | [`client_assertion`](Self::client_assertion) | a token that somebody else issued | Kubernetes and other workload identities |
/// | [`tls_client_auth`](Self::tls_client_auth), [`self_signed_tls_client_auth`](Self::self_signed_tls_client_auth) | a TLS client certificate | |
/// | [`none`](Self::none) | its id alone | |
///
/// A string or a [`Secret`] is a secret that is sent in the body: `client_secret_post`.
#[derive(Clone)]
pub struct ClientAuthentication(Method);

#[derive(Clone)]
enum Method {
    Post(Secret),
    Basic { secret: Secret, raw: bool },
    Jwt(ClientAssertion),
    Function(Arc<Function>),
    ReadyMade(Secret),
    Tls { self_signed: bool },
    None,
}

type Function = dyn Fn() -> Pin<Box<dyn Future<Output = Result<ClientAssertion, Error>> + Send>> + Send + Sync;

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

    /// `client_secret_basic` without the form-urlencoding, for the many servers that do not decode it. It matters only
    /// where id or secret have characters other than letters, digits and `-._~`.
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
    #[cfg_attr(docsrs, doc(cfg(feature = "jwt")))]
    pub fn client_secret_jwt(secret: impl Into<Secret>) -> ClientAssertion {
        ClientAssertion::new(Signing::Secret(secret.into()))
    }

    /// `private_key_jwt`: a JWT that is signed with a private key whose public key the server knows (RFC 7523 section
    /// 2.2).
    ///
    /// The key is a `PrivateKey` (in PEM; feature `jwt`), or a [`Signer`] for one that is kept elsewhere.
    pub fn private_key_jwt(signer: impl Signer) -> ClientAssertion {
        ClientAssertion::new(Signing::PrivateKey(Arc::new(signer)))
    }

    /// A signed JWT, as [`private_key_jwt`](Self::private_key_jwt) and `client_secret_jwt` make it, by what a function
    /// gives: for keys that change, together with their name, their certificate or their algorithm.
    ///
    /// It is called for each token request, within the time limit of the exchange, so that a change needs no restart;
    /// after a refusal the new key is used at the next attempt, at most a minute later. Its errors are
    /// [`Error::transient`] or [`Error::permanent`], and what its builder refuses.
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

    /// An assertion that is ready to be sent (RFC 7521 section 4.2, RFC 7523): a JWT that somebody else issued and
    /// renews, read anew for each token request. For workload identity federation.
    ///
    /// On Kubernetes it is a projected service account token, whose audience is what the authorization server wants to
    /// see there:
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

    /// `tls_client_auth`: a client certificate of a public key infrastructure (RFC 8705 section 2.1); the id is in the
    /// body.
    ///
    /// The certificate is the HTTP client's matter, so one is given to the builder:
    /// [`http_client`](crate::ClientCredentialsBuilder::http_client), such as a `reqwest::Client` with an `Identity`.
    pub fn tls_client_auth() -> Self {
        Self(Method::Tls { self_signed: false })
    }

    /// `self_signed_tls_client_auth`: a client certificate that is registered at the server itself (RFC 8705 section
    /// 2.2); otherwise as [`tls_client_auth`](Self::tls_client_auth).
    pub fn self_signed_tls_client_auth() -> Self {
        Self(Method::Tls { self_signed: true })
    }

    /// `none`: `client_id` alone, in the body (RFC 7591 section 2), for clients that are known otherwise.
    pub fn none() -> Self {
        Self(Method::None)
    }

    /// Refuses what can never be sent.
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
                "client_secret: empty; a client without a secret is `ClientAuthentication::none()`",
            )),
            Some(secret) => secret.check("client_secret"),
            None => Ok(()),
        }
    }

    /// Whether the HTTP client is a part of it.
    pub(super) fn is_by_tls(&self) -> bool {
        matches!(self.0, Method::Tls { .. })
    }

    /// Whether it depends on what time it is.
    pub(super) fn is_by_clock(&self) -> bool {
        matches!(self.0, Method::Jwt(_) | Method::Function(_))
    }

    /// What to look at when the server refuses the client.
    pub(super) fn advice(&self, refused: &Credentials) -> &'static str {
        match &self.0 {
            Method::Basic { raw: false, .. }
                if is_encoded(&refused.client_id)
                    || refused.client_secret.as_ref().is_some_and(|secret| is_encoded(secret)) =>
            {
                "check client_id and client_secret; they have characters that are encoded in a Basic header, which not every server decodes: try `client_secret_basic_raw` or `client_secret_post`"
            }
            Method::Post(_) | Method::Basic { .. } => {
                "check client_id and client_secret, and how they are sent: in the body or as Basic"
            }
            Method::Jwt(assertion) if assertion.client_secret().is_some() => {
                "check client_id and client_secret, which signs the assertion, that the server expects HS256, and the audience: the token URL or the server's issuer"
            }
            Method::Jwt(_) | Method::Function(_) => {
                "check client_id, that the server knows the key and its algorithm, and the audience: the token URL or the server's issuer"
            }
            Method::ReadyMade(_) => {
                "check client_id, and that the server trusts the assertion's issuer, subject and audience"
            }
            Method::Tls { .. } => {
                "check client_id, and that the HTTP client presents the certificate that the server knows"
            }
            Method::None => "check client_id, and whether the server wants a secret",
        }
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
    fn client_secret(&self) -> Option<&Secret> {
        match &self.0 {
            Method::Post(secret) | Method::Basic { secret, .. } => Some(secret),
            Method::Jwt(assertion) => assertion.client_secret(),
            _ => None,
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

    /// How often it is worth a look whether id or secret have changed; `None`: they never do.
    pub(super) fn look_every(&self, client_id: &Secret) -> Option<Duration> {
        [Some(client_id), self.client_secret()].into_iter().flatten().filter_map(Secret::look_every).max()
    }

    /// Makes what one attempt is sent with. `token_url` is the audience of an assertion, unless one was chosen.
    pub(super) async fn prove(&self, credentials: &Credentials, token_url: &str, skew: Skew) -> Result<Proof, Error> {
        let id = credentials.client_id.clone();
        let secret = credentials.client_secret.clone().unwrap_or_default();
        Ok(match &self.0 {
            Method::Post(_) => Proof {
                parameters: vec![("client_id", id), ("client_secret", secret.clone())],
                secrets: vec![secret],
                ..Proof::default()
            },
            Method::Basic { raw, .. } => {
                let encoded = encoded(&id, &secret, *raw);
                Proof { header: basic(&encoded), secrets: vec![secret, encoded], ..Proof::default() }
            }
            Method::Jwt(assertion) => signed(assertion, id, secret, token_url, skew).await?,
            Method::Function(function) => {
                let failed = |error| Error::credentials("client_assertion: its function failed", &error);
                let assertion = function().await.map_err(failed)?;
                assertion.check().map_err(failed)?;
                let secret = match assertion.client_secret() {
                    Some(secret) => secret.read("client_secret").await?,
                    None => secret,
                };
                signed(&assertion, id, secret, token_url, skew).await?
            }
            Method::ReadyMade(assertion) => asserted(id, assertion.read("client_assertion").await?),
            Method::Tls { .. } | Method::None => Proof { parameters: vec![("client_id", id)], ..Proof::default() },
        })
    }
}

async fn signed(
    assertion: &ClientAssertion,
    client_id: Zeroizing<String>,
    secret: Zeroizing<String>,
    token_url: &str,
    skew: Skew,
) -> Result<Proof, Error> {
    let made = assertion.make(&client_id, &secret, token_url, skew).await?;
    let mut proof = asserted(client_id, made);
    proof.secrets.push(secret);
    Ok(proof)
}

fn asserted(client_id: Zeroizing<String>, assertion: Zeroizing<String>) -> Proof {
    // A JWT without its signature is of no use to anybody, and a server may quote a part.
    let signature = assertion.rsplit('.').next().unwrap_or_default();
    Proof {
        secrets: vec![Zeroizing::new(signature.to_owned()), assertion.clone()],
        parameters: vec![
            ("client_id", client_id),
            ("client_assertion_type", Zeroizing::new(ASSERTION_TYPE.to_owned())),
            ("client_assertion", assertion),
        ],
        header: None,
    }
}

fn basic(encoded: &str) -> Option<HeaderValue> {
    let value = Zeroizing::new(format!("Basic {encoded}"));
    // Base64 is visible ASCII.
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether it is written otherwise in a Basic header that is not raw.
fn is_encoded(text: &str) -> bool {
    !utf8_percent_encode(text, FORM).eq([text])
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

impl From<ClientAssertion> for ClientAuthentication {
    fn from(assertion: ClientAssertion) -> Self {
        Self(Method::Jwt(assertion))
    }
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Method::Post(_) => "client_secret_post",
            Method::Basic { raw: false, .. } => "client_secret_basic",
            Method::Basic { raw: true, .. } => "client_secret_basic (raw)",
            Method::Jwt(assertion) => assertion.name(),
            Method::Function(_) => "assertion function",
            Method::ReadyMade(_) => "client_assertion",
            Method::Tls { self_signed: false } => "tls_client_auth",
            Method::Tls { self_signed: true } => "self_signed_tls_client_auth",
            Method::None => "none",
        })
    }
}
