//! A client's settings from an application's own file, and from its environment.

// Some of their settings are the default client's.
#[cfg(feature = "reqwest")]
mod connection;
#[cfg(feature = "reqwest")]
mod environment;
#[cfg(feature = "reqwest")]
mod refusals;

use std::path::PathBuf;

use crate::support::{
    endpoint::{TOKEN, ask, at, form, obtain, sent as sent_by},
    received, responding,
};
use client_credentials::{
    ClientAuthentication, ClientCredentialsBuilder, Origins, TokenSource,
    testing::{AuthorizationServer, MockResponse},
};
use http::{Request, header};
use serde_json::{Value, json};

const SECRET: &str = "s3cr3t-of-the-client";

#[derive(Debug, serde::Deserialize)]
struct Settings {
    auth: ClientCredentialsBuilder,
}

/// By two parsers. Whatever is in a table, reading it does not fail.
fn parsed(settings: &Value) -> [ClientCredentialsBuilder; 2] {
    let settings = json!({"auth": settings});
    let of_toml: Settings = toml::from_str(&toml::to_string(&settings).expect("TOML")).expect("it can be read");
    let of_json: Settings = serde_json::from_value(settings).expect("it can be read");
    [of_toml.auth, of_json.auth]
}

fn read(settings: &Value) -> ClientCredentialsBuilder {
    let [builder, _] = parsed(settings);
    builder
}

fn complete() -> Value {
    json!({
        "token_url": "https://auth.example.com/oauth2/token",
        "client_id": "abcde",
        "client_secret": SECRET,
        "origins": ["https://api.example.com"],
    })
}

/// The complete settings, with these instead. Null: without it.
fn with(changes: &Value) -> Value {
    let mut settings = complete();
    for (name, value) in changes.as_object().expect("a table") {
        settings[name] = value.clone();
    }
    settings.as_object_mut().expect("a table").retain(|_, value| !value.is_null());
    settings
}

async fn sent(settings: &Value) -> Request<client_credentials::SecretBody> {
    sent_by(read(settings)).await
}

fn member(request: &Request<client_credentials::SecretBody>, name: &str) -> Option<String> {
    form(request.body().as_ref()).into_iter().find(|(member, _)| member == name).map(|(_, value)| value)
}

/// A file that is gone when the test is over.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let name = format!("client-credentials-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).expect("a file");
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn every_field_ends_where_it_belongs() {
    let request = sent(&with(&json!({
        "scope": "stats agents-availability:read",
        "audience": "https://audience.example.com",
        "resource": ["https://one.example.com", "https://two.example.com"],
        "parameters": {"account_id": "7", "x": ["1", "2"]},
        "headers": {"x-merchant-id": "A1B2C3", "x-more": ["1", "2"]},
        "grant_type": "account_credentials",
        "comma_separated_scopes": true,
    })))
    .await;
    assert_eq!(request.uri(), "https://auth.example.com/oauth2/token");
    assert!(!request.headers().contains_key(header::AUTHORIZATION));
    assert_eq!(request.headers()["x-merchant-id"], "A1B2C3");
    assert_eq!(request.headers().get_all("x-more").iter().count(), 2);
    let mut members = form(request.body().as_ref());
    members.sort();
    let expected = [
        ("account_id", "7"),
        ("audience", "https://audience.example.com"),
        ("client_id", "abcde"),
        ("client_secret", SECRET),
        ("grant_type", "account_credentials"),
        ("resource", "https://one.example.com"),
        ("resource", "https://two.example.com"),
        ("scope", "stats,agents-availability:read"),
        ("x", "1"),
        ("x", "2"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(members, expected);
}

#[tokio::test]
async fn a_list_may_be_one_string_and_scopes_a_list() {
    let request = sent(&with(&json!({
        "scope": ["stats", "agents-availability:read"],
        "resource": "https://one.example.com/a,b",
        "origins": "https://api.example.com",
    })))
    .await;
    assert_eq!(member(&request, "scope").as_deref(), Some("stats agents-availability:read"));
    assert_eq!(member(&request, "resource").as_deref(), Some("https://one.example.com/a,b"));
}

/// Environments do not tell a number from a string, and have white space and line ends where nobody wants them.
#[tokio::test]
async fn numbers_commas_and_white_space_are_read_as_they_are_meant() {
    let settings = with(&json!({
        "token_url": " https://auth.example.com/oauth2/token\n",
        "client_id": 4711,
        "client_secret": format!("{SECRET}\r\n"),
        "origins": "https://api.example.com, https://other.example.com",
        "token_types": "BearerToken, Application Access Token",
        "parameters": {"account_id": 7},
        "timeout": "2.5",
        "any_origin": " False\n",
    }));
    let request = sent(&settings).await;
    assert_eq!(request.uri(), "https://auth.example.com/oauth2/token");
    assert_eq!(member(&request, "client_id").as_deref(), Some("4711"));
    assert_eq!(member(&request, "client_secret").as_deref(), Some(SECRET));
    assert_eq!(member(&request, "account_id").as_deref(), Some("7"));
    let source = read(&settings).http_client(AuthorizationServer::in_memory()).build().expect("complete");
    let origins = Origins::new(["https://api.example.com", "https://other.example.com"]).expect("origins");
    assert_eq!(source.origins(), Some(origins));
    assert_eq!(source.time_limit().as_millis(), 2750);
}

#[tokio::test]
async fn token_types_and_plain_http_are_allowed_by_the_file() {
    let auth = AuthorizationServer::in_memory();
    let response = MockResponse::status(200);
    auth.respond_always(response.with_body(r#"{"access_token":"abcde12345","token_type":"BearerToken"}"#));
    let settings = with(&json!({
        "token_url": "http://auth.example.com/oauth2/token",
        "allow_plain_http": true,
        "token_types": ["BearerToken"],
        "any_origin": true,
        "origins": null,
    }));
    let source = read(&settings).http_client(auth).build().expect("complete");
    assert_eq!(source.origins(), Some(Origins::any()));
    ask(&source).await.expect("a token");
}

#[test]
fn the_origins_are_where_the_tokens_may_go() {
    let build = |settings: &Value| read(settings).http_client(AuthorizationServer::in_memory()).build();
    let source = build(&complete()).expect("complete");
    let origins = Origins::new(["https://api.example.com"]).expect("an origin");
    assert_eq!(source.origins(), Some(origins));
    let error = build(&with(&json!({"origins": null}))).expect_err("no origin");
    assert!(error.to_string().starts_with("origin: none"), "{error}");
    // What is not in the file is added in code.
    let builder = read(&with(&json!({"origins": null})));
    builder.any_origin().http_client(AuthorizationServer::in_memory()).build().expect("complete");
}

#[tokio::test]
async fn id_and_secret_can_be_in_files() {
    let (id, secret) = (TempFile::new("id", "of-a-file\n"), TempFile::new("secret", format!("{SECRET}\n")));
    let files = json!({
        "client_id": null, "client_id_file": id.0, "client_secret": null, "client_secret_file": secret.0,
    });
    let request = sent(&with(&files)).await;
    assert_eq!(member(&request, "client_id").as_deref(), Some("of-a-file"));
    assert_eq!(member(&request, "client_secret").as_deref(), Some(SECRET));
}

/// A variable of the environment replaces what is in a file that several environments share.
#[cfg(feature = "tracing")]
#[tokio::test]
async fn a_secret_wins_over_its_file_and_the_log_says_so() {
    let (log, _guard) = crate::support::log::Log::start();
    let builder = read(&with(&json!({"client_id_file": "/id", "client_secret_file": "/nowhere"})));
    assert_eq!(log.text(), "", "before a subscriber is set up");
    let request = sent_by(builder).await;
    assert_eq!(member(&request, "client_id").as_deref(), Some("abcde"));
    assert_eq!(member(&request, "client_secret").as_deref(), Some(SECRET));
    for field in ["client_id_file", "client_secret_file"] {
        let said = format!("{field} is ignored, since the settings contain the value itself");
        assert!(log.text().contains(&format!("INFO client_credentials: {said}")), "{}", log.text());
    }
    assert!(!log.text().contains("s3cr3t"));
}

#[tokio::test]
async fn the_client_authenticates_by_the_method_in_the_file() {
    for (method, value) in [
        ("client_secret_basic", Some("Basic YWJjZGU6YSUyMGI=")),
        ("client_secret_basic_raw", Some("Basic YWJjZGU6YSBi")),
        ("client_secret_post", None),
    ] {
        let request = sent(&with(&json!({"authentication": method, "client_secret": "a b"}))).await;
        let sent = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().expect("ASCII"));
        assert_eq!(sent, value, "{method}");
    }
    for method in ["none", "tls_client_auth", "self_signed_tls_client_auth"] {
        let settings = with(&json!({"authentication": method, "client_secret": null}));
        assert!(format!("{:?}", read(&settings)).contains(method));
        assert_eq!(member(&sent(&settings).await, "client_secret"), None);
    }
    let token = TempFile::new("assertion", "a.b.c\n");
    let settings =
        json!({"authentication": "client_assertion", "client_secret": null, "client_assertion_file": token.0});
    assert_eq!(member(&sent(&with(&settings)).await, "client_assertion").as_deref(), Some("a.b.c"));
}

/// For what the file cannot say: functions.
#[tokio::test]
async fn a_method_that_is_missing_can_be_set_in_code() {
    let builder = read(&with(&json!({"client_secret": null})));
    let request = sent_by(builder.authentication(ClientAuthentication::client_assertion("a.b.c"))).await;
    assert_eq!(member(&request, "client_assertion").as_deref(), Some("a.b.c"));
}

#[cfg(feature = "jwt")]
#[tokio::test]
async fn the_secret_can_be_a_key_to_sign_with() {
    let settings = json!({"authentication": "client_secret_jwt", "assertion_audience": "here", "key_id": "7"});
    let request = sent(&with(&settings)).await;
    let jwt = crate::support::keys::Jwt::read(&member(&request, "client_assertion").expect("an assertion"));
    assert_eq!((&jwt.header["kid"], &jwt.claims["aud"]), (&json!("7"), &json!("here")));
    assert!(!String::from_utf8_lossy(request.body().as_ref()).contains("s3cr3t"));
}

/// As Entra wants it. The key is read anew each time, so that it can be replaced.
#[cfg(feature = "jwt")]
#[tokio::test]
async fn a_private_key_its_name_and_its_certificate_are_in_files() {
    use crate::support::keys::{Jwt, Key, pem};

    let keys = [Key::rsa(), Key::rsa()];
    let key = TempFile::new("key.pem", keys[0].pem());
    let certificate = TempFile::new("certificate.pem", pem("CERTIFICATE", b"certificate"));
    let settings = with(&json!({
        "authentication": "private_key_jwt", "client_secret": null,
        "private_key_file": key.0, "algorithm": "PS256", "key_id": "2026-11", "certificate_file": certificate.0,
        "assertion_audience": "https://auth.example.com", "assertion_lifetime": 300,
    }));
    let auth = AuthorizationServer::in_memory();
    let source = read(&settings).http_client(auth.clone()).build().expect("complete");
    for current in &keys {
        std::fs::write(&key.0, current.pem()).expect("a file");
        ask(&source).await.expect("a token");
        let requests = auth.token_requests();
        let assertion = requests.last().and_then(|request| request.parameter("client_assertion"));
        let jwt = Jwt::read(assertion.expect("an assertion"));
        assert!(current.signed(&jwt));
        assert_eq!((&jwt.header["alg"], &jwt.header["kid"]), (&json!("PS256"), &json!("2026-11")));
        assert!(jwt.header["x5t#S256"].is_string());
        assert_eq!(jwt.claims["aud"], "https://auth.example.com");
        assert_eq!(jwt.seconds("exp") - jwt.seconds("iat"), 300);
    }
    std::fs::write(&key.0, &keys[0].public).expect("a file");
    let error = ask(&source).await.expect_err("a public key");
    let said = format!("file {:?}: private_key: is a public key", key.0);
    assert!(error.to_string().contains(&said), "{error}");
    std::fs::remove_file(&certificate.0).expect("it is there");
    let error = ask(&source).await.expect_err("no certificate").to_string();
    assert!(error.contains("certificate_file: the file") && error.contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn a_region_of_vonage_brings_its_endpoint_and_its_origins() {
    let settings =
        json!({"vonage": "EMEA\n", "client_id": "abcde", "client_secret": SECRET, "scope": "agents-availability:read"});
    assert_eq!(sent(&settings).await.uri(), "https://emea.cc.vonage.com/Auth/connect/token");
}

#[tokio::test]
async fn an_issuer_is_discovered() {
    let issuer = "https://auth.example.com/";
    let server = responding(move |request: &wiremock::Request| {
        let document = json!({"issuer": issuer, "token_endpoint": "https://tokens.example.com/token",
            "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example.com/token"}});
        let response = wiremock::ResponseTemplate::new(200);
        if request.method == "POST" { response.set_body_string(TOKEN) } else { response.set_body_json(document) }
    })
    .await;
    let origins = "https://tokens.example.com,https://mtls.example.com";
    for (aliases, used) in [(false, "https://tokens.example.com/token"), (true, "https://mtls.example.com/token")] {
        let settings = with(&json!({
            "token_url": null, "issuer": issuer, "token_endpoint_origins": origins, "mtls_endpoint_aliases": aliases,
        }));
        obtain(read(&settings).http_client(at(&server))).await.expect("a token");
        assert_eq!(received(&server).await.last().map(|request| request.url.as_str()), Some(used));
    }
}
