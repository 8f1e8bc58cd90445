//! Private keys in PEM, and all other code that needs aws-lc-rs.

use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::{
    digest::{SHA256, digest},
    error::{KeyRejected, Unspecified},
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::{
    PrivateKeyDer,
    pem::{self, PemObject, SectionKind},
};
use zeroize::Zeroizing;

use super::Signer;
use crate::error::{Error, ErrorKind};

/// A private key in PEM that signs assertions, for
/// [`ClientAuthentication::private_key_jwt`](crate::ClientAuthentication::private_key_jwt).
///
/// The format is PKCS#8 (`BEGIN PRIVATE KEY`), PKCS#1 (`BEGIN RSA PRIVATE KEY`) or SEC 1 (`BEGIN EC PRIVATE KEY`).
/// Other sections, such as certificates, a byte order mark and indentation are ignored. The key is not shown by
/// `Debug`, and is wiped when it is dropped.
///
/// ```no_run
/// use client_credentials::{ClientAuthentication, ClientCredentials, PrivateKey};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let key = PrivateKey::es256(std::fs::read("/run/secrets/client-key.pem")?)?;
/// let source = ClientCredentials::builder(
///     "https://auth.example.com/oauth2/token",
///     "abcde",
///     ClientAuthentication::private_key_jwt(key).key_id("2026-11").audience("https://auth.example.com"),
/// )
/// .origin("https://api.example.com")
/// .build()?;
/// # Ok(())
/// # }
/// ```
pub struct PrivateKey {
    key: SigningKey,
    algorithm: &'static str,
}

enum SigningKey {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    /// What it is. No algorithm uses it.
    Other(&'static str),
}

impl PrivateKey {
    /// An RSA key of at least 2048 bits that signs with RSASSA-PKCS1-v1_5 and SHA-256: `RS256` (RFC 7518 section 3.3).
    ///
    /// # Errors
    ///
    /// If it is not such a key. The error says what it is.
    pub fn rs256(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::new(pem.as_ref(), "RS256")
    }

    /// An RSA key of at least 2048 bits that signs with RSASSA-PSS and SHA-256: `PS256` (RFC 7518 section 3.5).
    ///
    /// # Errors
    ///
    /// If it is not such a key. The error says what it is.
    pub fn ps256(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::new(pem.as_ref(), "PS256")
    }

    /// An EC key on the curve P-256 that signs with ECDSA and SHA-256: `ES256` (RFC 7518 section 3.4).
    ///
    /// # Errors
    ///
    /// If it is not such a key. The error says what it is.
    pub fn es256(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::new(pem.as_ref(), "ES256")
    }

    /// An Ed25519 key, under the name that most servers use: `EdDSA` (RFC 8037 section 3.1).
    ///
    /// # Errors
    ///
    /// If it is not such a key. The error says what it is.
    pub fn eddsa(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::new(pem.as_ref(), "EdDSA")
    }

    /// An Ed25519 key, under the newer name `Ed25519` (RFC 9864 section 2.2). The signatures are the same as those of
    /// [`eddsa`](Self::eddsa).
    ///
    /// # Errors
    ///
    /// If it is not such a key. The error says what it is.
    pub fn ed25519(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::new(pem.as_ref(), "Ed25519")
    }

    #[cfg(feature = "serde")]
    pub(in crate::client_credentials) const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"];

    /// `algorithm` is one of those above.
    pub(super) fn new(pem: &[u8], algorithm: &'static str) -> Result<Self, Error> {
        let key = SigningKey::in_pem(pem)?;
        let (fits, wanted) = match algorithm {
            "RS256" | "PS256" => (matches!(key, SigningKey::Rsa(_)), "an RSA key of at least 2048 bits"),
            "ES256" => (matches!(key, SigningKey::P256(_)), "an EC key on the curve P-256"),
            _ => (matches!(key, SigningKey::Ed25519(_)), "an Ed25519 key"),
        };
        if fits {
            return Ok(Self { key, algorithm });
        }
        Err(refuse(&format!("is {}; {algorithm} needs {wanted}", key.name())))
    }
}

#[async_trait]
impl Signer for PrivateKey {
    fn algorithm(&self) -> &str {
        self.algorithm
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        let signature = match &self.key {
            SigningKey::Rsa(key) => {
                let padding: &dyn RsaEncoding =
                    if self.algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signature).map(|()| signature)
            }
            SigningKey::P256(key) => key.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            SigningKey::Ed25519(key) => key.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            SigningKey::Other(_) => Err(Unspecified),
        };
        signature.map_err(|_| Error::new(ErrorKind::Credentials, "private_key: the key cannot sign"))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm())
    }
}

impl SigningKey {
    fn in_pem(pem: &[u8]) -> Result<Self, Error> {
        let pem = &*flush_left(pem);
        // The cause is omitted, because it may quote a line of the key.
        let der = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|error| no_key(pem, !matches!(error, pem::Error::NoItemsFound)))?;
        let der = Zeroizing::new(der);
        let der = der.secret_der();
        Self::rsa(RsaKeyPair::from_pkcs8(der))
            .or_else(|| Self::rsa(RsaKeyPair::from_der(der)))
            .or_else(|| Self::ec(der))
            .or_else(|| Ed25519KeyPair::from_pkcs8(der).ok().map(Self::Ed25519))
            .ok_or_else(|| refuse("cannot be read as a key: it is damaged, or is not an RSA, EC P-256 or Ed25519 key"))
    }

    fn rsa(read: Result<RsaKeyPair, KeyRejected>) -> Option<Self> {
        match read {
            Ok(key) => Some(Self::Rsa(key)),
            Err(error) if error.to_string() == "TooSmall" => Some(Self::Other("an RSA key under 2048 bits")),
            Err(error) if error.to_string() == "TooLarge" => Some(Self::Other("an RSA key over 8192 bits")),
            Err(_) => None,
        }
    }

    fn ec(der: &[u8]) -> Option<Self> {
        let read = |curve| EcdsaKeyPair::from_private_key_der(curve, der);
        if let Ok(key) = read(&ECDSA_P256_SHA256_FIXED_SIGNING) {
            return Some(Self::P256(key));
        }
        let others = [
            (&ECDSA_P384_SHA384_FIXED_SIGNING, "an EC key on the curve P-384"),
            (&ECDSA_P521_SHA512_FIXED_SIGNING, "an EC key on the curve P-521"),
        ];
        others.into_iter().find(|(curve, _)| read(curve).is_ok()).map(|(_, what)| Self::Other(what))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "an RSA key",
            Self::P256(_) => "an EC key on the curve P-256",
            Self::Ed25519(_) => "an Ed25519 key",
            Self::Other(what) => what,
        }
    }
}

fn refuse(what: &str) -> Error {
    Error::configuration(format!("private_key: {what}"))
}

/// The error for a text without a readable key: what its labels tell.
fn no_key(pem: &[u8], is_damaged: bool) -> Error {
    let has = |text: &str| pem.windows(text.len()).any(|window| window == text.as_bytes());
    if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED") {
        return refuse("is encrypted; decrypt it with `openssl pkey -in key.pem`, and protect the file by other means");
    } else if has("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return refuse("is in the format of OpenSSH; convert it with `ssh-keygen -p -m PKCS8 -f key`");
    } else if has("\\n") {
        return refuse("is PEM in a single line; replace each `\\n` with a line end");
    } else if is_damaged {
        return refuse("is damaged PEM: its base64 or its last line is wrong");
    }
    let labels = [
        ("PUBLIC KEY-----", "is a public key"),
        ("-----BEGIN CERTIFICATE-----", "is a certificate"),
        ("-----BEGIN ", "is not a key"),
    ];
    let what = labels.into_iter().find(|(label, _)| has(label)).map_or("is not PEM", |(_, what)| what);
    refuse(&format!("{what}; pass the private key, which begins with `-----BEGIN PRIVATE KEY-----`"))
}

/// The PEM without a byte order mark and without the white space around each line, which it has in YAML.
fn flush_left(pem: &[u8]) -> Zeroizing<Vec<u8>> {
    let pem = pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem);
    // Enough capacity for all of it: growing would leave a copy behind.
    let mut lines = Zeroizing::new(Vec::with_capacity(pem.len() + 1));
    for line in pem.split(|byte| *byte == b'\n') {
        lines.extend_from_slice(line.trim_ascii());
        lines.push(b'\n');
    }
    lines
}

/// `x5t#S256` of the first certificate.
pub(super) fn thumbprint(pem: &[u8]) -> Result<String, Error> {
    let certificate = <(SectionKind, Vec<u8>)>::pem_slice_iter(&flush_left(pem))
        .filter_map(Result::ok)
        .map(|(kind, der)| (kind, Zeroizing::new(der))) // It may be a private key.
        .find_map(|(kind, der)| (kind == SectionKind::Certificate).then_some(der));
    match certificate {
        Some(der) => Ok(URL_SAFE_NO_PAD.encode(digest(&SHA256, &der))),
        None => Err(Error::configuration(
            "certificate: not found; pass it in PEM, with its `-----BEGIN CERTIFICATE-----` line",
        )),
    }
}

/// HMAC with SHA-256 (RFC 7518 section 3.2).
pub(super) fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}
