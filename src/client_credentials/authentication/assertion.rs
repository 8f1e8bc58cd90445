//! The JWT that a client signs to authenticate (RFC 7523).

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Secret, Signer};
use crate::error::{Error, ErrorKind};

/// How far the local clock may be ahead of the server's: `iat` is this far in the past. Beyond that, it is corrected.
const ALLOWED_SKEW: Duration = Duration::from_secs(10);

/// A shorter one could expire during a slow exchange, or if the local clock is slightly behind.
const MIN_ASSERTION_LIFETIME: Duration = Duration::from_secs(30);
const MAX_ASSERTION_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Client authentication by a JWT that the client signs (RFC 7523 section 3). Every attempt uses a new one, with
/// its own `jti`.
///
/// It is made by [`ClientAuthentication::private_key_jwt`](crate::ClientAuthentication::private_key_jwt) and
/// `ClientAuthentication::client_secret_jwt`, and is accepted wherever a
/// [`ClientAuthentication`](crate::ClientAuthentication) is.
///
/// Its claims are `iss` and `sub` (the client's id), `aud`, `jti`, `exp` and `iat`. `iat` is ten seconds in the past,
/// so that servers also accept it if the local clock is slightly ahead; `nbf` is omitted for the same reason. If the
/// server rejects the client and the `Date` of its response differs by more than ten seconds, the token request is sent
/// once more within the same call, with the server's time. If that succeeds, the server's time is used from then on;
/// otherwise the first error is returned.
#[derive(Clone)]
#[must_use]
pub struct ClientAssertion {
    signing: Signing,
    audience: Option<String>,
    key_id: Option<String>,
    /// In PEM.
    #[cfg(feature = "jwt")]
    certificate: Option<Secret>,
    lifetime: Duration,
    refused: Option<Error>,
}

#[derive(Clone)]
pub(super) enum Signing {
    PrivateKey(Arc<dyn Signer>),
    /// The client's secret is the key (HS256).
    #[cfg(feature = "jwt")]
    Secret(Secret),
}

impl ClientAssertion {
    pub(super) fn new(signing: Signing) -> Self {
        Self {
            signing,
            audience: None,
            key_id: None,
            #[cfg(feature = "jwt")]
            certificate: None,
            lifetime: Duration::from_secs(60),
            refused: None,
        }
    }

    /// Sets `aud`, which identifies the server. The default is the token URL exactly as it was configured, or the
    /// issuer with [`discover`](crate::ClientCredentials::discover). Some servers require their issuer, as the revision
    /// of RFC 7523 does.
    ///
    /// Whoever sets it can obtain assertions that another server accepts. That is why it is never read from a server's
    /// metadata.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        let audience = audience.into();
        if audience.is_empty() {
            self.refuse("audience: empty; write the server's issuer, or omit it for the token URL");
        }
        self.audience = Some(audience);
        self
    }

    /// Sets `kid`, the name of the key at the server (RFC 7515 section 4.1.4).
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        let key_id = key_id.into();
        if key_id.is_empty() {
            self.refuse("key_id: empty");
        }
        self.key_id = Some(key_id);
        self
    }

    /// Sets `x5t#S256`, the thumbprint of this certificate in PEM (RFC 7515 section 4.1.8), for servers that identify
    /// the key by it (Microsoft Entra ID).
    #[cfg(feature = "jwt")]
    pub fn certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        let pem = pem.as_ref();
        if let Err(error) = super::private_key::thumbprint(pem) {
            self.refused.get_or_insert(error);
        }
        self.certificate = Some(Secret::from(&*String::from_utf8_lossy(pem)));
        self
    }

    /// Like [`certificate`](Self::certificate), from a file that is read for each assertion.
    #[cfg(all(feature = "jwt", feature = "serde"))]
    pub(in crate::client_credentials) fn certificate_file(mut self, pem: Secret) -> Self {
        self.certificate = Some(pem);
        self
    }

    /// Sets the time from `iat` to `exp`, from 30 seconds to an hour. The default is one minute. Each assertion is used
    /// once, immediately.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        if !(MIN_ASSERTION_LIFETIME..=MAX_ASSERTION_LIFETIME).contains(&lifetime) {
            self.refuse("lifetime: an assertion's lifetime must be between 30 seconds and an hour");
        }
        self.lifetime = lifetime;
        self
    }

    fn refuse(&mut self, why: &'static str) {
        self.refused.get_or_insert_with(|| Error::configuration(why));
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.refused.clone().map_or(Ok(()), Err)
    }

    /// The secret that signs, if there is no key.
    pub(super) fn client_secret(&self) -> Option<&Secret> {
        match &self.signing {
            Signing::PrivateKey(_) => None,
            #[cfg(feature = "jwt")]
            Signing::Secret(secret) => Some(secret),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        if self.client_secret().is_some() { "client_secret_jwt" } else { "private_key_jwt" }
    }

    fn algorithm(&self) -> &str {
        match &self.signing {
            Signing::PrivateKey(signer) => signer.algorithm(),
            #[cfg(feature = "jwt")]
            Signing::Secret(_) => "HS256",
        }
    }

    async fn header(&self) -> Result<Value, Error> {
        let mut header = json!({"alg": self.algorithm(), "typ": "JWT"});
        if let Some(key_id) = &self.key_id {
            header["kid"] = key_id.as_str().into();
        }
        #[cfg(feature = "jwt")]
        if let Some(certificate) = &self.certificate {
            let pem = certificate.read("certificate_file").await?;
            let thumbprint = super::private_key::thumbprint(pem.as_bytes())
                .map_err(|error| Error::credentials(format_args!("{certificate:?}"), &error))?;
            header["x5t#S256"] = thumbprint.into();
        }
        Ok(header)
    }

    /// Makes a new assertion. `secret` is used if there is no key, and `token_url` if no audience is set.
    /// The server's clock is `ahead` by so many seconds.
    #[cfg_attr(not(feature = "jwt"), allow(unused_variables))]
    pub(super) async fn make(
        &self,
        client_id: &str,
        secret: &str,
        token_url: &str,
        ahead: i64,
    ) -> Result<Zeroizing<String>, Error> {
        let header = self.header().await?;
        let now = SystemTime::now();
        let issued_at = seconds(now).saturating_add_signed(ahead).saturating_sub(ALLOWED_SKEW.as_secs());
        // A server may refuse a `jti` that it has seen. Processes that were forked, or restored from one snapshot, draw
        // the same random numbers, but not at the same time.
        let id = fastrand::u128(..) ^ now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": self.audience.as_deref().unwrap_or(token_url),
            "jti": format!("{id:032x}"),
            "iat": issued_at,
            "exp": issued_at + self.lifetime.as_secs(),
        });
        let part = |members: Value| URL_SAFE_NO_PAD.encode(members.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = match &self.signing {
            Signing::PrivateKey(signer) => {
                let failed = |error: Error| match error.kind() {
                    // Its message already says what failed.
                    ErrorKind::Credentials => error,
                    _ => Error::credentials("private_key_jwt: the signer failed", &error),
                };
                let signature = signer.sign(message.as_bytes()).await.map_err(failed)?;
                check_length(signer.algorithm(), signature.len())?;
                signature
            }
            #[cfg(feature = "jwt")]
            Signing::Secret(_) => super::private_key::hs256(secret.as_bytes(), message.as_bytes()),
        };
        // Enough capacity for all of it: growing would leave a copy behind.
        let mut assertion = Zeroizing::new(String::with_capacity(message.len() + 2 * signature.len() + 4));
        assertion.push_str(&message);
        assertion.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut assertion);
        Ok(assertion)
    }
}

/// An ECDSA signature in a JWS is `r` and `s`, each as long as the curve's order (RFC 7518 section 3.4). Key management
/// services often return ASN.1, which has another length.
fn check_length(algorithm: &str, length: usize) -> Result<(), Error> {
    let expected = match algorithm {
        "ES256" => 64,
        "ES384" => 96,
        "ES512" => 132,
        _ => return Ok(()),
    };
    if length == expected {
        return Ok(());
    }
    let what = format!(
        "private_key_jwt: the signer returned {length} bytes; {algorithm} needs {expected}: r and s, not ASN.1"
    );
    Err(Error::new(ErrorKind::Credentials, what).lasting())
}

/// How far the server's clock is ahead, in seconds, by the `Date` of a response. `None`: it differs from what is
/// already `known` by no more than is tolerated.
pub(in crate::client_credentials) fn seconds_ahead(date: SystemTime, known: i64) -> Option<i64> {
    let ahead = seconds(date).cast_signed().saturating_sub(seconds(SystemTime::now()).cast_signed());
    (ahead.abs_diff(known) > ALLOWED_SKEW.as_secs()).then_some(ahead)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl std::fmt::Debug for ClientAssertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(self.name())
            .field("alg", &self.algorithm())
            .field("kid", &self.key_id)
            .field("aud", &self.audience)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
