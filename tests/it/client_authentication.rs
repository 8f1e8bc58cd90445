//! How a client proves who it is beyond a secret that is sent: assertions, signers, client certificates (RFC 7521,
//! 7523, 8705).

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::support::endpoint::{ask, form, token_response};
use crate::support::keys::{Jwt, Key, SignsWith};
use crate::support::{received, responding};
use client_credentials::{
    ClientAuthentication, ClientCredentials, Error, ErrorKind, Secret, TokenRequest, TokenSource,
    testing::{AuthorizationServer, MockResponse, ReceivedTokenRequest},
};
use http::header;
use wiremock::ResponseTemplate;

const URL: &str = "https://Auth.example.com/oauth2/token?tenant=a";

fn source(authentication: impl Into<ClientAuthentication>, server: &AuthorizationServer) -> ClientCredentials {
    let builder = ClientCredentials::builder(URL, "abcde", authentication).any_origin();
    builder.http_client(server.clone()).build().expect("complete")
}

fn assertion(request: &ReceivedTokenRequest) -> String {
    request.parameter("client_assertion").expect("an assertion").to_owned()
}

fn jwts(server: &AuthorizationServer) -> Vec<Jwt> {
    server.token_requests().iter().map(|request| Jwt::read(&assertion(request))).collect()
}

fn refusal(code: &str, date: Option<SystemTime>) -> MockResponse {
    let refusal = MockResponse::status(400).with_body(format!(r#"{{"error":"{code}"}}"#));
    date.map_or(refusal.clone(), |date| refusal.with_header("date", &httpdate::fmt_http_date(date)))
}

fn refusing(code: &str, date: Option<SystemTime>) -> AuthorizationServer {
    let server = AuthorizationServer::in_memory();
    server.respond_always(refusal(code, date));
    server
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn kms() -> Arc<Key> {
    Arc::new(Key::ed25519())
}

#[tokio::test]
async fn private_key_jwt_sends_a_signed_assertion_and_nothing_else() {
    let server = AuthorizationServer::in_memory();
    let kms = kms();
    let before = seconds(SystemTime::now());
    ask(&source(ClientAuthentication::private_key_jwt(Arc::clone(&kms)), &server)).await.expect("a token");
    let after = seconds(SystemTime::now());

    let request = server.token_requests().remove(0);
    assert!(!request.headers().contains_key(header::AUTHORIZATION));
    let mut names: Vec<_> = request.parameters().collect();
    names.retain(|(name, _)| *name != "client_assertion");
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", "abcde"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ];
    assert_eq!(names, expected);

    let jwt = Jwt::read(&assertion(&request));
    assert!(kms.signed(&jwt));
    assert_eq!(jwt.header, serde_json::json!({"alg": "EdDSA", "typ": "JWT"}));
    let claims = jwt.claims.as_object().expect("an object");
    let mut names: Vec<_> = claims.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "sub"]);
    assert_eq!((&claims["iss"], &claims["sub"]), (&"abcde".into(), &"abcde".into()));
    assert_eq!(claims["aud"], URL, "the token URL, letter by letter");
    assert!((before - 10..=after - 10).contains(&jwt.seconds("iat")), "{jwt:?}");
    assert_eq!(jwt.seconds("exp"), jwt.seconds("iat") + 60);
}

#[test]
fn what_no_assertion_can_have_is_refused_when_it_is_built() {
    let assertion = || ClientAuthentication::private_key_jwt(kms());
    for (authentication, field) in [
        (assertion().audience(""), "audience: "),
        (assertion().key_id(""), "key_id: "),
        (assertion().lifetime(Duration::from_secs(29)), "lifetime: "),
        (assertion().lifetime(Duration::from_secs(3601)), "lifetime: "),
        (assertion().lifetime(Duration::MAX), "lifetime: "),
    ] {
        let builder = ClientCredentials::builder(URL, "abcde", authentication).any_origin();
        let error = builder.http_client(AuthorizationServer::in_memory()).build().expect_err(field);
        assert!(error.kind() == ErrorKind::Configuration && error.to_string().starts_with(field), "{error}");
    }
    let builder = ClientCredentials::builder(URL, "abcde", ClientAuthentication::client_assertion(Secret::file("")));
    let error = builder.any_origin().http_client(AuthorizationServer::in_memory()).build().expect_err("no path");
    assert!(error.to_string().starts_with("client_assertion: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn every_attempt_has_a_fresh_assertion_quick_retries_too() {
    let server = AuthorizationServer::in_memory();
    server.respond_next(MockResponse::status(503));
    server.respond_next(MockResponse::status(503));
    let source = source(ClientAuthentication::private_key_jwt(kms()), &server);
    let tokens = client_credentials::TokenCache::builder(source)
        .clock(client_credentials::Clock::tokio())
        .build()
        .expect("complete");
    tokens.token().await.expect("a token at the third attempt");
    let mut identities: Vec<_> =
        jwts(&server).iter().map(|jwt| jwt.claims["jti"].as_str().expect("text").to_owned()).collect();
    assert!(identities.len() == 3 && identities.iter().all(|jti| jti.len() == 32), "{identities:?}");
    identities.sort_unstable();
    identities.dedup();
    assert_eq!(identities.len(), 3);
}

#[tokio::test]
async fn processes_with_the_same_random_numbers_make_different_assertions() {
    let server = AuthorizationServer::in_memory();
    let source = source(ClientAuthentication::private_key_jwt(kms()), &server);
    for _ in 0..2 {
        fastrand::seed(7);
        ask(&source).await.expect("a token");
    }
    let seen = jwts(&server);
    assert!(seen.len() == 2 && seen[0].claims["jti"] != seen[1].claims["jti"], "{seen:?}");
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_once_by_the_servers_date() {
    const HOUR: Duration = Duration::from_secs(3600);
    let now = SystemTime::now();
    for (date, code) in
        [(now + HOUR, "invalid_client"), (now - HOUR, "invalid_grant"), (now + 1000 * HOUR, "invalid_request")]
    {
        // Accepts what is neither old nor of the future.
        let server = responding(move |request: &wiremock::Request| {
            let jwt = posted_jwt(request);
            if (jwt.seconds("iat")..jwt.seconds("exp")).contains(&seconds(date)) {
                return token_response();
            }
            posted_refusal(code, date)
        })
        .await;
        let authentication = ClientAuthentication::private_key_jwt(kms());
        let source = ClientCredentials::builder(server.uri(), "abcde", authentication).any_origin().build();
        let source = source.expect("complete");
        ask(&source).await.expect("a token at the second attempt");
        let seen: Vec<_> = received(&server).await.iter().map(posted_jwt).collect();
        assert!(seen.len() == 2 && seen[0].claims["jti"] != seen[1].claims["jti"], "{seen:?}");
        ask(&source).await.expect("a token at the first attempt");
        assert_eq!(received(&server).await.len(), 3);
    }
}

fn posted_refusal(code: &str, date: SystemTime) -> ResponseTemplate {
    let refusal = ResponseTemplate::new(400).set_body_json(serde_json::json!({ "error": code }));
    refusal.insert_header("date", httpdate::fmt_http_date(date))
}

fn posted_jwt(request: &wiremock::Request) -> Jwt {
    let assertion = form(&request.body).into_iter().find(|(name, _)| name == "client_assertion");
    Jwt::read(&assertion.expect("an assertion").1)
}

#[tokio::test]
async fn an_assertion_is_not_sent_again_where_the_clock_is_not_to_blame() {
    let now = SystemTime::now();
    let off = now + Duration::from_secs(3600);
    for (code, date, requests) in [
        ("invalid_client", None, 1),
        ("invalid_client", Some(now + Duration::from_secs(5)), 1),
        ("invalid_client", Some(now - Duration::from_secs(5)), 1),
        ("temporarily_unavailable", Some(off), 1),
        // Refused all the same.
        ("invalid_client", Some(off), 2),
    ] {
        let server = refusing(code, date);
        ask(&source(ClientAuthentication::private_key_jwt(kms()), &server)).await.expect_err(code);
        assert_eq!(server.token_requests().len(), requests, "{code} {date:?}");
    }
    // Two servers that do not agree.
    let server = AuthorizationServer::in_memory();
    for hours in [1, 2, 1, 2] {
        server.respond_next(refusal("invalid_client", Some(now + Duration::from_secs(3600 * hours))));
    }
    ask(&source(ClientAuthentication::private_key_jwt(kms()), &server)).await.expect_err("refused");
    assert_eq!(server.token_requests().len(), 2);
    // Where no time is sent, the time does not matter.
    let server = refusing("invalid_client", Some(off));
    ask(&source("12345", &server)).await.expect_err("refused");
    assert_eq!(server.token_requests().len(), 1);
}

/// A proxy's `Date` is wrong; what checks the assertions has the right time.
#[tokio::test]
async fn a_wrong_date_costs_no_more_than_the_refusal_it_came_with() {
    const HOUR: Duration = Duration::from_secs(3600);
    for date in [SystemTime::now() - HOUR, SystemTime::now() + HOUR] {
        let server = responding(move |request: &wiremock::Request| {
            let jwt = posted_jwt(request);
            let valid = (jwt.seconds("iat")..jwt.seconds("exp")).contains(&seconds(SystemTime::now()));
            let bad = form(&request.body).contains(&("scope".into(), "bad".into()));
            match (valid, bad) {
                (false, _) => posted_refusal("invalid_client", date),
                (true, true) => posted_refusal("invalid_scope", date),
                (true, false) => token_response(),
            }
        })
        .await;
        let authentication = ClientAuthentication::private_key_jwt(kms());
        let source = ClientCredentials::builder(server.uri(), "abcde", authentication).any_origin().build();
        let source = source.expect("complete");
        let bad = TokenRequest::builder().scope("bad").build().expect("a scope");
        let error = source.token(&bad).await.expect_err("refused");
        assert_eq!(error.response().expect("a verdict").error, "invalid_scope");
        ask(&source).await.expect("a token at the first attempt");
        assert_eq!(received(&server).await.len(), 3);
    }
}

/// What fails by the server's time, whatever it is, leaves the first refusal as the error.
#[tokio::test]
async fn a_corrected_attempt_that_cannot_be_sent_reports_the_refusal_before_it() {
    let off = SystemTime::now() + Duration::from_secs(3600);
    let server = AuthorizationServer::in_memory();
    server.respond_always(MockResponse::disconnect());
    server.respond_next(refusal("invalid_client", Some(off)));
    let error = ask(&source(ClientAuthentication::private_key_jwt(kms()), &server)).await.expect_err("refused");
    assert_eq!(error.response().expect("a verdict").error, "invalid_client");
    assert_eq!(server.token_requests().len(), 2);
}

/// What a service that keeps keys has at a moment: the key and the name that the server knows it by belong together.
#[tokio::test]
async fn a_key_that_changes_is_read_anew_each_time_together_with_its_name() {
    let keys = [("2026-11", kms()), ("2026-12", kms())];
    let count = AtomicUsize::new(0);
    let current = keys.clone();
    let authentication = ClientAuthentication::from_fn(move || {
        let (name, key) = current[count.fetch_add(1, Ordering::SeqCst).min(1)].clone();
        std::future::ready(Ok(ClientAuthentication::private_key_jwt(key).key_id(name)))
    });
    let server = AuthorizationServer::in_memory();
    let source = source(authentication, &server);
    for _ in 0..2 {
        ask(&source).await.expect("a token");
    }
    for (jwt, (name, key)) in jwts(&server).iter().zip(&keys) {
        assert_eq!(jwt.header["kid"], *name);
        assert_eq!(jwt.claims["aud"], URL);
        assert!(key.signed(jwt), "{name}");
    }
}

/// So that a server's `Date` corrects it, like any assertion that is made here.
#[tokio::test]
async fn an_assertion_of_a_function_is_made_again_by_the_servers_time() {
    let server = refusing("invalid_client", Some(SystemTime::now() + Duration::from_secs(3600)));
    let key = kms();
    let authentication = ClientAuthentication::from_fn(move || {
        std::future::ready(Ok(ClientAuthentication::private_key_jwt(Arc::clone(&key))))
    });
    let error = ask(&source(authentication, &server)).await.expect_err("refused");
    assert_eq!(server.token_requests().len(), 2);
    assert!(error.to_string().contains("that the server knows the key"), "{error}");
}

#[tokio::test]
async fn the_failure_of_a_function_is_the_cause_and_says_whether_it_may_pass() {
    let server = AuthorizationServer::in_memory();
    for (outcome, transient) in [
        (Err(Error::transient("the vault is sealed")), true),
        (Err(Error::permanent("no such key")), false),
        (Ok(ClientAuthentication::private_key_jwt(kms()).key_id("")), false),
    ] {
        let authentication = ClientAuthentication::from_fn(move || std::future::ready(outcome.clone()));
        let error = ask(&source(authentication, &server)).await.expect_err("no assertion");
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Credentials, transient));
        assert!(error.to_string().contains("client_assertion: the function failed"), "{error}");
    }
    assert!(server.token_requests().is_empty());
}

#[tokio::test]
async fn the_failure_of_a_signer_is_the_cause_and_says_whether_it_may_pass() {
    let server = AuthorizationServer::in_memory();
    for (outcome, transient, says) in [
        (Err(Error::transient("throttled")), true, "the signer failed"),
        (Err(Error::permanent("no such key")), false, "the signer failed"),
        // ASN.1, as most services give it.
        (Ok(vec![0x30; 71]), false, "the signer returned 71 bytes; ES256 needs 64: r and s, not ASN.1"),
    ] {
        let source = source(ClientAuthentication::private_key_jwt(SignsWith(outcome)), &server);
        let error = ask(&source).await.expect_err(says);
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Credentials, transient));
        assert!(error.to_string().contains(&format!("private_key_jwt: {says}")), "{error}");
    }
    assert!(server.token_requests().is_empty());
}

#[tokio::test]
async fn a_ready_made_assertion_is_read_anew_each_time_and_sent_unchanged() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("authentication-token");
    std::fs::write(&path, "header.claims.one\n").expect("a file");
    let server = AuthorizationServer::in_memory();
    let of_file = source(ClientAuthentication::client_assertion(Secret::file(&path)), &server);
    ask(&of_file).await.expect("a token");
    std::fs::write(&path, "header.claims.two\n").expect("a file");
    ask(&of_file).await.expect("a token");
    let count = AtomicUsize::new(0);
    let function =
        Secret::from_fn(move || std::future::ready(Ok(format!("call.{}.x", count.fetch_add(1, Ordering::SeqCst)))));
    let of_function = source(ClientAuthentication::client_assertion(function), &server);
    ask(&of_function).await.expect("a token");
    ask(&of_function).await.expect("a token");
    let sent: Vec<_> = server.token_requests().iter().map(assertion).collect();
    assert_eq!(sent, ["header.claims.one", "header.claims.two", "call.0.x", "call.1.x"]);
    for request in server.token_requests() {
        let names: Vec<_> = request.parameters().map(|(name, _)| name).collect();
        assert_eq!(names, ["grant_type", "client_id", "client_assertion_type", "client_assertion"]);
        assert!(!request.headers().contains_key(header::AUTHORIZATION));
    }

    std::fs::write(&path, "").expect("a file");
    let error = ask(&of_file).await.expect_err("an empty file");
    assert!(error.to_string().contains(&format!("client_assertion: the file {} is empty", path.display())), "{error}");
    assert!(error.is_transient());
}

/// It was read a moment ago, and whoever makes each anew would never be done.
#[tokio::test]
async fn a_ready_made_assertion_that_is_refused_is_not_tried_again() {
    let count = AtomicUsize::new(0);
    let function =
        Secret::from_fn(move || std::future::ready(Ok(format!("call.{}.x", count.fetch_add(1, Ordering::SeqCst)))));
    let server = refusing("invalid_client", None);
    ask(&source(ClientAuthentication::client_assertion(function), &server)).await.expect_err("refused");
    assert_eq!(server.token_requests().len(), 1);
}

#[tokio::test]
async fn with_a_client_certificate_only_the_id_is_in_the_body() {
    for authentication in [ClientAuthentication::tls_client_auth(), ClientAuthentication::self_signed_tls_client_auth()]
    {
        let server = AuthorizationServer::in_memory();
        ask(&source(authentication.clone(), &server)).await.expect("a token");
        let request = server.token_requests().remove(0);
        let expected = [("grant_type", "client_credentials"), ("client_id", "abcde")];
        assert_eq!(request.parameters().collect::<Vec<_>>(), expected, "{authentication:?}");
        assert!(!request.headers().contains_key(header::AUTHORIZATION));

        // The certificate is the HTTP client's.
        let builder = ClientCredentials::builder(URL, "abcde", authentication.clone()).any_origin();
        let error = builder.build().expect_err("no client");
        let says = format!("http_client: missing; {authentication:?} needs an HTTP client");
        assert!(error.to_string().starts_with(&says), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_to_check_for_the_method() {
    for (authentication, says) in [
        (ClientAuthentication::client_secret_basic("12345"), "in the body or as Basic"),
        (ClientAuthentication::private_key_jwt(kms()).into(), "the audience"),
        (ClientAuthentication::client_assertion("a.b.c"), "issuer, subject and audience"),
        (ClientAuthentication::tls_client_auth(), "the certificate"),
        (ClientAuthentication::none(), "requires a secret"),
    ] {
        let server = refusing("invalid_client", None);
        let error = ask(&source(authentication, &server)).await.expect_err("refused");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_of_basic_names_the_encoding_where_it_matters_and_nothing_of_the_secret() {
    let server = refusing("invalid_client", None);
    for (secret, encoded) in [("a-b.c_d~9", false), ("s/e+c", true), ("+", true), ("\u{e9}", true)] {
        for (authentication, other) in [
            (ClientAuthentication::client_secret_basic(secret), true),
            (ClientAuthentication::client_secret_basic_raw(secret), false),
            (ClientAuthentication::client_secret_post(secret), false),
        ] {
            let error = ask(&source(authentication, &server)).await.expect_err("refused").to_string();
            assert_eq!(error.contains("try `client_secret_basic_raw`"), encoded && other, "{error}");
            assert!(secret == "+" || !error.contains(secret), "{error}");
        }
    }
}

#[tokio::test]
async fn a_refused_secret_with_a_stray_space_or_line_break_is_named() {
    let server = refusing("invalid_client", None);
    for (secret, is_named) in [(" 12345", true), ("12345\n", true), ("12345\nabcde", true), ("12 345", false)] {
        for authentication in
            [ClientAuthentication::client_secret_post(secret), ClientAuthentication::client_secret_basic(secret)]
        {
            let error = ask(&source(authentication, &server)).await.expect_err("refused").to_string();
            let said = "(check client_secret: it begins or ends with a space, or has a line break)";
            assert_eq!(error.ends_with(said), is_named, "{error}");
        }
    }
}

/// As gateways and frameworks do before the server has a say, and glewlwyd itself.
#[tokio::test]
async fn a_refusal_without_a_code_says_what_to_check_too() {
    for status in [401, 403] {
        let server = AuthorizationServer::in_memory();
        server.respond_always(MockResponse::status(status));
        let error = ask(&source("12345", &server)).await.expect_err("refused");
        let says = "(check client_id and client_secret, and how they are sent: in the body or as Basic)";
        assert!(error.to_string().ends_with(&format!("HTTP {status} {says}")), "{error}");
        assert!(!error.is_transient(), "only a person can mend it");
    }
}

#[test]
fn debug_calls_each_method_by_its_name() {
    let certificates = [ClientAuthentication::tls_client_auth(), ClientAuthentication::self_signed_tls_client_auth()];
    assert_eq!(format!("{certificates:?}"), "[tls_client_auth, self_signed_tls_client_auth]");
    let assertion = ClientAuthentication::private_key_jwt(kms()).key_id("2026-11");
    assert!(format!("{assertion:?}").starts_with("private_key_jwt { alg: \"EdDSA\", kid: Some(\"2026-11\")"));
    assert_eq!(format!("{:?}", ClientAuthentication::from(assertion)), "private_key_jwt");
    assert_eq!(format!("{:?}", ClientAuthentication::client_assertion("a.b.c")), "client_assertion");
    let function = ClientAuthentication::from_fn(|| async { Err(Error::permanent("none")) });
    assert_eq!(format!("{function:?}"), "assertion function");
}
