//! Keys in PEM, what they sign, and secrets that sign (feature `jwt`).

use std::sync::{Arc, Mutex};

use crate::support::endpoint::{ask, form, obtain, sent, token_response};
use crate::support::keys::{Jwt, Key, pem};
use crate::support::{received, responding};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use client_credentials::{
    ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, Error, ErrorKind, PrivateKey, Secret,
    testing::{AuthorizationServer, MockResponse},
};
use wiremock::ResponseTemplate;

const URL: &str = "https://auth.example.com/oauth2/token";

fn source(token_url: &str, authentication: impl Into<ClientAuthentication>) -> ClientCredentialsBuilder {
    ClientCredentials::builder(token_url, "abcde", authentication).any_origin()
}

fn jwt(body: &[u8]) -> Jwt {
    let members = form(body);
    assert!(!members.iter().any(|(name, _)| name == "client_secret"));
    Jwt::read(&members.iter().find(|(name, _)| name == "client_assertion").expect("an assertion").1)
}

type Constructor = fn(&str) -> Result<PrivateKey, Error>;

const ALGORITHMS: [(&str, Constructor); 5] = [
    ("RS256", |pem| PrivateKey::rs256(pem)),
    ("PS256", |pem| PrivateKey::ps256(pem)),
    ("ES256", |pem| PrivateKey::es256(pem)),
    ("EdDSA", |pem| PrivateKey::eddsa(pem)),
    ("Ed25519", |pem| PrivateKey::ed25519(pem)),
];

fn key_for(algorithm: &str) -> Key {
    match algorithm {
        "ES256" => Key::p256(),
        "EdDSA" | "Ed25519" => Key::ed25519(),
        _ => Key::rsa(),
    }
}

#[tokio::test]
async fn every_algorithm_signs_with_every_format_of_its_key() {
    for (algorithm, private_key) in ALGORITHMS {
        let key = key_for(algorithm);
        for (format, pem) in &key.private {
            let signer = private_key(pem).expect(format);
            assert_eq!(format!("{signer:?}"), format!("PrivateKey({algorithm})"));
            let request = sent(source(URL, ClientAuthentication::private_key_jwt(signer).key_id("k"))).await;
            let jwt = jwt(request.body().as_ref());
            assert_eq!(jwt.header, serde_json::json!({"alg": algorithm, "typ": "JWT", "kid": "k"}), "{format}");
            assert!(key.signed(&jwt), "{algorithm}, {format}");
            assert!(!key_for(algorithm).signed(&jwt), "by another key");
            if algorithm == "ES256" {
                assert_eq!(jwt.signature.len(), 64, "r and s");
            }
        }
    }
}

#[test]
fn a_key_is_found_among_other_sections_with_any_line_end_after_a_byte_order_mark_and_indented_as_in_yaml() {
    let key = Key::p256();
    let indented = |by: &str| key.pem().lines().map(|line| format!("{by}{line}  \n")).collect::<String>();
    for pem in [
        format!("a comment\n{}{}{}", pem("CERTIFICATE", b"certificate"), key.public, key.pem()),
        key.pem().replace('\n', "\r\n"),
        key.pem().trim_end().to_owned(),
        format!("\u{feff}{}", key.pem()),
        indented("    "),
        format!("\u{feff}{}", indented("\t")),
    ] {
        PrivateKey::es256(pem).expect("found");
    }
    let certificate = pem("CERTIFICATE", b"certificate").lines().map(|line| format!("  {line}\n")).collect::<String>();
    let indented = ClientAuthentication::client_secret_jwt("12345").certificate(format!("\u{feff}{certificate}"));
    source(URL, indented).http_client(AuthorizationServer::in_memory()).build().expect("its thumbprint");
}

/// Not of a key, which it does not have.
#[tokio::test]
async fn a_secret_that_signs_and_is_refused_leads_to_the_secret() {
    let server = AuthorizationServer::in_memory();
    server.respond_always(MockResponse::oauth_error("invalid_client"));
    let empty = || Secret::from_fn(|| async { Ok("") });
    for secret in [Secret::from("wrong"), empty()] {
        let source = source(URL, ClientAuthentication::client_secret_jwt(secret)).http_client(server.clone());
        let error = obtain(source).await.expect_err("refused");
        let text = error.to_string();
        assert!(
            text.contains("check client_id, client_secret (the signing key)") && !text.contains("the key"),
            "{text}"
        );
    }
}

/// 1024 bits, PKCS#1; made for this test.
const SMALL: &str = "MIICXQIBAAKBgQCflG0uN+zNvJytZmZT9FM+GanU/leoxbiQUuoXp5l666hzzX2TT1DwOwzU65TQ1mRfGbxzCz8FTZGShdhfSKmqGjDIE06+q5dCgVpiEDWwxAtlwhk7yiHPKY0DRFjte3bhyg7rw50H36nDBJUJ+S3wT+/YBNU8fLDqcSmMy9bkmQIDAQABAoGAdzpJPJ/yIGEMWo3IZG+Ghj5cYlPJoMJhPAuG9Td2d518lVDxws8e9O3Zj3eYD1QvV9J9tyKu6kJjQisYV1CN2eh2s7ecjvknHtFPtcWZ6pTRmsAcWFLj3ZsOXRBf2JUXSi0evgOT6wNvtZUAQ/ioTue3J+IgPY/qZc20SQJZsbUCQQDNur4hhqrs0hmGW5JKUumid50Y95OrmTMOJ/tbrmPcgCwDk7QEDHXAcX61lEk91q4JyzWEUeDatnOYx72V7FBLAkEAxpLTEpZT2ECFKt9nvXsB0cHLYX5sjuBw/YFLRqDW5lBfadJp0+nQQJfOq3sGhhWu/VRNdqWVYgQ4uRMzB584KwJAEJ8o426M+stS0p8tZ6HhTIYbhDvki3W6QUeLsHGbkeItLDDP14/mJ6FD2onbjQp+Tz5C2aj/4Mvi9RIWSDmqlwJBAILasFMYUwo3gkm9TIyVqZ5DObX2bK0+g9baQ/O3+8VsA2Qlr21hL8XRA/UGrkbftR/lVOKxvR4JMCPt3fvQ1V8CQQChJWRtx4hCVrAj6wskZxjGS/CgdxwCqkehIWaxrk4gOlVUaZ6yDYJRn21lM5JNSlC0IGyKCOuSY6MojPSAMwPU";

fn small_in_pkcs8() -> Vec<u8> {
    let pkcs1 = STANDARD.decode(SMALL).expect("base64");
    let long = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], content].concat()
    };
    let rsa = [0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    long(0x30, &[&[2, 1, 0], &rsa[..], &long(4, &pkcs1)].concat())
}

#[test]
fn a_key_of_another_kind_is_refused_by_its_kind() {
    let [rsa, p256, ed25519] = [Key::rsa(), Key::p256(), Key::ed25519()];
    let [p384, p521] = [&ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P521_SHA512_FIXED_SIGNING].map(Key::ec);
    let small = Key {
        private: vec![
            ("PKCS#1", pem("RSA PRIVATE KEY", &STANDARD.decode(SMALL).expect("base64"))),
            ("PKCS#8", pem("PRIVATE KEY", &small_in_pkcs8())),
        ],
        ..Key::p256()
    };
    for (key, what, taken_by) in [
        (&rsa, "an RSA key;", &["RS256", "PS256"][..]),
        (&p256, "an EC key on the curve P-256;", &["ES256"]),
        (&ed25519, "an Ed25519 key;", &["EdDSA", "Ed25519"]),
        (&p384, "an EC key on the curve P-384;", &[]),
        (&p521, "an EC key on the curve P-521;", &[]),
        (&small, "an RSA key under 2048 bits;", &[]),
    ] {
        for (algorithm, private_key) in ALGORITHMS {
            for (format, pem) in &key.private {
                if taken_by.contains(&algorithm) {
                    private_key(pem).expect(format);
                    continue;
                }
                let error = private_key(pem).expect_err(format);
                assert_eq!(error.kind(), ErrorKind::Configuration);
                let text = error.to_string();
                assert!(text.starts_with(&format!("private_key: is {what} {algorithm} needs")), "{format}: {text}");
            }
        }
    }
}

#[test]
fn what_is_no_private_key_is_refused_by_what_it_is() {
    let key = Key::rsa();
    let traditional = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let cut_off = &key.pem()[..key.pem().len() / 2];
    let flat = key.pem().trim_end().replace('\n', "\\n");
    for (pem, what) in [
        (key.public.clone(), "is a public key"),
        (pem("RSA PUBLIC KEY", b"key"), "is a public key"),
        (pem("CERTIFICATE", b"certificate"), "is a certificate"),
        (pem("CERTIFICATE REQUEST", b"request"), "is not a key"),
        (pem("ENCRYPTED PRIVATE KEY", b"key"), "is encrypted"),
        (format!("{}{}", key.public, pem("ENCRYPTED PRIVATE KEY", b"key")), "is encrypted"),
        (traditional.to_owned(), "is encrypted"),
        (pem("OPENSSH PRIVATE KEY", b"key"), "is in the format of OpenSSH"),
        (pem("PRIVATE KEY", b"s3cr3t"), "cannot be read as a key"),
        (pem("EC PRIVATE KEY", b"s3cr3t"), "cannot be read as a key"),
        (pem("PRIVATE KEY", b""), "cannot be read as a key"),
        ("-----BEGIN PRIVATE KEY-----\ns3cr3t!\n-----END PRIVATE KEY-----\n".to_owned(), "is damaged PEM"),
        ("-----BEGIN s3cr3t\n".to_owned(), "is damaged PEM"),
        (cut_off.to_owned(), "is damaged PEM"),
        (flat, "is PEM in a single line"),
        ("s3cr3t".to_owned(), "is not PEM"),
        (STANDARD.encode("s3cr3t"), "is not PEM"),
        (String::new(), "is not PEM"),
    ] {
        for (algorithm, private_key) in ALGORITHMS {
            let error = private_key(&pem).expect_err(what);
            let text = format!("{error} {error:?}");
            assert!(text.starts_with(&format!("private_key: {what}")), "{algorithm}, {what}: {text}");
            assert!(!text.contains("s3cr3t"), "{text}");
            assert!(std::error::Error::source(&error).is_none(), "a cause can quote a line");
        }
    }
}

#[tokio::test]
async fn a_certificate_gives_the_thumbprint() {
    let certificate = rcgen::generate_simple_self_signed(["client.example.com".to_owned()]).expect("a certificate");
    let key = PrivateKey::es256(Key::p256().pem()).expect("a key");
    let authentication = ClientAuthentication::private_key_jwt(key).certificate(certificate.cert.pem());
    let request = sent(source(URL, authentication)).await;
    let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.cert.der());
    assert_eq!(jwt(request.body().as_ref()).header["x5t#S256"], URL_SAFE_NO_PAD.encode(expected));

    for wrong in ["", "certificate", Key::p256().pem()] {
        let key = PrivateKey::es256(Key::p256().pem()).expect("a key");
        let authentication = ClientAuthentication::private_key_jwt(key).certificate(wrong);
        let error = source(URL, authentication)
            .http_client(AuthorizationServer::in_memory())
            .build()
            .expect_err("no certificate");
        assert!(error.to_string().starts_with("certificate: "), "{error}");
    }
}

#[tokio::test]
async fn client_secret_jwt_signs_with_the_secret_and_does_not_send_it() {
    let request = sent(source(URL, ClientAuthentication::client_secret_jwt("s3cr3t").audience("here"))).await;
    let jwt = jwt(request.body().as_ref());
    assert_eq!(jwt.header, serde_json::json!({"alg": "HS256", "typ": "JWT"}));
    assert_eq!((&jwt.claims["iss"], &jwt.claims["aud"]), (&"abcde".into(), &"here".into()));
    assert!(jwt.has_hmac("s3cr3t") && !jwt.has_hmac("another"));
    assert!(!String::from_utf8_lossy(request.body().as_ref()).contains("s3cr3t"));
}

#[tokio::test]
async fn a_secret_that_signs_may_change_like_one_that_is_sent() {
    let knows = Arc::new(Mutex::new("first"));
    let known = Arc::clone(&knows);
    let server = responding(move |request: &wiremock::Request| {
        if jwt(&request.body).has_hmac(*known.lock().expect("no panic")) {
            return token_response();
        }
        ResponseTemplate::new(401).set_body_json(serde_json::json!({"error": "invalid_client"}))
    })
    .await;
    let value = Arc::new(Mutex::new("first"));
    let given = Arc::clone(&value);
    let secret = Secret::from_fn(move || std::future::ready(Ok(*given.lock().expect("no panic"))));
    let source = source(&server.uri(), ClientAuthentication::client_secret_jwt(secret)).build().expect("complete");
    ask(&source).await.expect("a token");
    *value.lock().expect("no panic") = "second";
    ask(&source).await.expect("a token, by the secret that the server still knows");
    *knows.lock().expect("no panic") = "second";
    ask(&source).await.expect("a token");
    let signed: Vec<_> = received(&server).await.iter().map(|request| jwt(&request.body).has_hmac("first")).collect();
    assert_eq!(signed, [true, false, true, false]);
}
