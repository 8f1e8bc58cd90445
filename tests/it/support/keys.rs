//! Keys made for one run of a test, in PEM, what signs with them, and what tells whether they signed.
#![allow(dead_code, unreachable_pub)]

use aws_lc_rs::{
    encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use client_credentials::{Error, Signer, async_trait};
use serde_json::Value;

/// What PKCS#8 has before an RSA key of 2048 bits.
const RSA_IN_PKCS8: usize = 26;

pub struct Key {
    /// The formats that the private key can be in.
    pub private: Vec<(&'static str, String)>,
    pub public: String,
    pub public_key: Vec<u8>,
}

impl Key {
    pub fn rsa() -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).expect("DER");
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).expect("DER");
        Self {
            private: vec![
                ("PKCS#8", pem("PRIVATE KEY", pkcs8.as_ref())),
                ("PKCS#1", pem("RSA PRIVATE KEY", &pkcs8.as_ref()[RSA_IN_PKCS8..])),
            ],
            public: pem("PUBLIC KEY", public.as_ref()),
            public_key: key.public_key().as_ref().to_vec(),
        }
    }

    pub fn p256() -> Self {
        Self::ec(&ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub fn ec(curve: &'static EcdsaSigningAlgorithm) -> Self {
        let key = EcdsaKeyPair::generate(curve).expect("a key");
        let pkcs8 = key.to_pkcs8v1().expect("DER");
        let sec1 = AsDer::<EcPrivateKeyRfc5915Der<'_>>::as_der(&key.private_key()).expect("DER");
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).expect("DER");
        // As `openssl ecparam -genkey` writes it.
        let parameters = pem("EC PARAMETERS", &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
        Self {
            private: vec![
                ("PKCS#8", pem("PRIVATE KEY", pkcs8.as_ref())),
                ("SEC 1", pem("EC PRIVATE KEY", sec1.as_ref())),
                ("SEC 1 after its parameters", format!("{parameters}{}", pem("EC PRIVATE KEY", sec1.as_ref()))),
            ],
            public: pem("PUBLIC KEY", public.as_ref()),
            public_key: key.public_key().as_ref().to_vec(),
        }
    }

    pub fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
        let v1 = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).expect("DER");
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).expect("DER");
        Self {
            private: vec![
                ("PKCS#8", pem("PRIVATE KEY", v1.as_ref())),
                ("PKCS#8 version 2", pem("PRIVATE KEY", pkcs8.as_ref())),
            ],
            public: pem("PUBLIC KEY", public.as_ref()),
            public_key: key.public_key().as_ref().to_vec(),
        }
    }

    pub fn pem(&self) -> &str {
        &self.private[0].1
    }

    pub fn signed(&self, jwt: &Jwt) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match jwt.header["alg"].as_str().expect("a name") {
            "RS256" => &RSA_PKCS1_2048_8192_SHA256,
            "PS256" => &RSA_PSS_2048_8192_SHA256,
            "ES256" => &ECDSA_P256_SHA256_FIXED,
            "EdDSA" | "Ed25519" => &ED25519,
            other => panic!("{other}"),
        };
        UnparsedPublicKey::new(algorithm, &self.public_key).verify(jwt.message.as_bytes(), &jwt.signature).is_ok()
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A JWT, taken apart.
#[derive(Debug)]
pub struct Jwt {
    pub header: Value,
    pub claims: Value,
    pub message: String,
    pub signature: Vec<u8>,
}

impl Jwt {
    pub fn read(text: &str) -> Self {
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url without padding");
        let (message, signature) = text.rsplit_once('.').expect("a signature");
        let (header, claims) = message.split_once('.').expect("two parts");
        Self {
            header: serde_json::from_slice(&decode(header)).expect("JSON"),
            claims: serde_json::from_slice(&decode(claims)).expect("JSON"),
            message: message.to_owned(),
            signature: decode(signature),
        }
    }

    pub fn seconds(&self, claim: &str) -> u64 {
        self.claims[claim].as_u64().expect("a number of seconds")
    }

    pub fn has_hmac(&self, secret: &str) -> bool {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        aws_lc_rs::hmac::verify(&key, self.message.as_bytes(), &self.signature).is_ok()
    }
}

/// An Ed25519 key as it would be in a key management service. Needs no feature of the crate.
#[async_trait]
impl Signer for Key {
    fn algorithm(&self) -> &str {
        "EdDSA"
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        tokio::task::yield_now().await;
        let body: String = self.pem().lines().filter(|line| !line.starts_with('-')).collect();
        let key = Ed25519KeyPair::from_pkcs8(&STANDARD.decode(body).expect("base64")).expect("a key");
        Ok(key.sign(message).as_ref().to_vec())
    }
}

/// Such a service, for ES256, which gives this for every message.
pub struct SignsWith(pub Result<Vec<u8>, Error>);

#[async_trait]
impl Signer for SignsWith {
    fn algorithm(&self) -> &str {
        "ES256"
    }

    async fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.clone()
    }
}
