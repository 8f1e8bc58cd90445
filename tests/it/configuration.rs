//! A client's settings from an application's own file.

use crate::support::endpoint;
use crate::support::endpoint::{Recorder, ask, form};
use client_credentials::{ClientAuthentication, ClientCredentialsBuilder, TokenSource};
use http::{Request, header};
use serde_json::{Value, json};

const SECRET: &str = "s3cr3t-of-the-client";

#[derive(Debug, serde::Deserialize)]
struct Settings {
    auth: ClientCredentialsBuilder,
}

fn read(settings: &Value) -> Result<ClientCredentialsBuilder, String> {
    // With two parsers; they agree.
    let text = toml::to_string(&json!({"auth": settings})).map_err(|error| error.to_string())?;
    let of_toml = toml::from_str::<Settings>(&text);
    let of_json = serde_json::from_value::<Settings>(json!({"auth": settings}));
    match (of_toml, of_json) {
        (Ok(settings), Ok(_)) => Ok(settings.auth),
        // Not the `Debug` of toml's error, which holds the whole file.
        (Err(toml), Err(json)) => Err(format!("{toml}\n{json}\n{json:?}")),
        (toml, json) => panic!("{toml:?} {json:?}"),
    }
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

async fn sent(settings: &Value) -> Request<client_credentials::Body> {
    let recorder = Recorder::issuing();
    let builder = read(settings).expect("it can be read");
    ask(&builder.http_client(recorder.clone()).build().expect("complete")).await.expect("a token");
    recorder.last()
}

fn refused(settings: &Value) -> String {
    let error = read(settings).expect_err("refused");
    assert!(!error.contains("s3cr3t"), "{error}");
    error
}

#[tokio::test]
async fn every_field_ends_where_it_belongs() {
    let request = sent(&with(&json!({
        "scope": "stats agents-availability:read",
        "audience": "https://audience.example.com",
        "resource": ["https://one.example.com", "https://two.example.com"],
        "parameters": {"account_id": "7", "x": ["1", "2"]},
    })))
    .await;
    assert_eq!(request.uri(), "https://auth.example.com/oauth2/token");
    assert!(!request.headers().contains_key(header::AUTHORIZATION));
    let mut members = form(request.body().as_ref());
    members.sort();
    let expected = [
        ("account_id", "7"),
        ("audience", "https://audience.example.com"),
        ("client_id", "abcde"),
        ("client_secret", SECRET),
        ("grant_type", "client_credentials"),
        ("resource", "https://one.example.com"),
        ("resource", "https://two.example.com"),
        ("scope", "stats agents-availability:read"),
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
        "resource": "https://one.example.com",
        "origins": "https://api.example.com",
    })))
    .await;
    let members = form(request.body().as_ref());
    assert!(members.contains(&("scope".into(), "stats agents-availability:read".into())));
    assert!(members.contains(&("resource".into(), "https://one.example.com".into())));
}

#[test]
fn the_origins_are_where_the_tokens_may_go() {
    let build = |settings: &Value| read(settings).expect("it can be read").http_client(Recorder::issuing()).build();
    let source = build(&complete()).expect("complete");
    let origins = client_credentials::Origins::new(["https://api.example.com"]).expect("an origin");
    assert_eq!(source.origins(), Some(origins));
    let error = build(&with(&json!({"origins": null}))).expect_err("no origin");
    assert!(error.to_string().starts_with("origin: none"), "{error}");
    // What is not in the file is added in code.
    let builder = read(&with(&json!({"origins": null}))).expect("it can be read");
    builder.any_origin().http_client(Recorder::issuing()).build().expect("complete");
}

#[tokio::test]
async fn the_secret_can_be_in_a_file() {
    let path = std::env::temp_dir().join(format!("client-credentials-configuration-{}", std::process::id()));
    std::fs::write(&path, format!("{SECRET}\n")).expect("a file");
    let request = sent(&with(&json!({"client_secret": null, "client_secret_file": path}))).await;
    std::fs::remove_file(&path).expect("it is there");
    assert!(form(request.body().as_ref()).contains(&("client_secret".into(), SECRET.into())));
}

#[tokio::test]
async fn the_client_authenticates_as_it_is_told() {
    for (method, value) in [
        ("client_secret_basic", Some("Basic YWJjZGU6YSUyMGI=")),
        ("client_secret_basic_raw", Some("Basic YWJjZGU6YSBi")),
        ("client_secret_post", None),
    ] {
        let request = sent(&with(&json!({"authentication": method, "client_secret": "a b"}))).await;
        let sent = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().expect("ASCII"));
        assert_eq!(sent, value, "{method}");
    }
    let request = sent(&with(&json!({"authentication": "none", "client_secret": null}))).await;
    assert!(!form(request.body().as_ref()).iter().any(|(name, _)| name == "client_secret"));
    for method in ["none", "tls_client_auth", "self_signed_tls_client_auth"] {
        let builder = read(&with(&json!({"authentication": method, "client_secret": null}))).expect(method);
        assert!(format!("{builder:?}").contains(method), "{builder:?}");
        let error = refused(&with(&json!({"authentication": method})));
        assert!(error.contains(&format!("`client_secret` is there, but `authentication` is `{method}`")), "{error}");
    }
    // What the file cannot say is said in code.
    let recorder = Recorder::issuing();
    let builder = read(&with(&json!({"authentication": "none", "client_secret": null}))).expect("it can be read");
    let builder = builder.authentication(ClientAuthentication::client_assertion("a.b.c"));
    ask(&builder.http_client(recorder.clone()).build().expect("complete")).await.expect("a token");
    assert!(form(recorder.last().body().as_ref()).contains(&("client_assertion".into(), "a.b.c".into())));
}

#[cfg(feature = "jwt")]
#[tokio::test]
async fn the_secret_can_be_a_key_to_sign_with() {
    let request = sent(&with(&json!({"authentication": "client_secret_jwt"}))).await;
    let members = form(request.body().as_ref());
    assert!(members.iter().any(|(name, _)| name == "client_assertion"));
    assert!(!members.iter().any(|(_, value)| value.contains(SECRET)));
}

#[tokio::test]
async fn a_region_of_vonage_brings_its_endpoint_and_its_origins() {
    let settings =
        json!({"vonage": "EMEA", "client_id": "abcde", "client_secret": SECRET, "scope": "agents-availability:read"});
    assert_eq!(sent(&settings).await.uri(), "https://emea.cc.vonage.com/Auth/connect/token");
}

#[tokio::test]
async fn an_issuer_is_discovered() {
    let issuer = "https://auth.example.com/";
    let recorder = Recorder::new(move |request| {
        let document = json!({"issuer": issuer, "token_endpoint": "https://tokens.example.com/token"}).to_string();
        let post = request.method() == http::Method::POST;
        Ok(http::Response::new(if post { endpoint::TOKEN.into() } else { document.into() }))
    });
    let settings =
        with(&json!({"token_url": null, "issuer": issuer, "token_endpoint_origins": "https://tokens.example.com"}));
    let source = read(&settings).expect("it can be read").http_client(recorder.clone()).build().expect("complete");
    ask(&source).await.expect("a token");
    assert_eq!(recorder.last().uri(), "https://tokens.example.com/token");
}

#[test]
fn what_is_missing_or_there_twice_is_named() {
    for (changes, said) in [
        (json!({"token_url": null}), "one of `token_url`, `issuer`, `vonage` is missing"),
        (json!({"issuer": "https://auth.example.com"}), "`token_url` and `issuer` are both there"),
        (json!({"vonage": "emea"}), "`token_url` and `vonage` are both there"),
        (json!({"client_secret": null}), "one of `client_secret_file`, `client_secret` is missing"),
        (
            json!({"client_secret_file": "/run/secrets/oauth"}),
            "`client_secret_file` and `client_secret` are both there",
        ),
        (json!({"client_id": null}), "`client_id` is missing"),
        (json!({"token_endpoint_origins": "https://a.test"}), "`token_endpoint_origins` is there, but `issuer` is not"),
        (json!({"authentication": "private_key_jwt"}), "is `private_key_jwt`, which is set in code; write `none`"),
    ] {
        let error = refused(&with(&changes));
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn an_unknown_field_is_refused_and_the_known_ones_are_named() {
    for unknown in ["clientsecret", "timeout", "scopes", "Client_Id", ""] {
        let error = refused(&with(&json!({unknown: SECRET})));
        assert!(error.contains(&format!("`{unknown}` is no field")), "{error}");
        assert!(error.contains("`client_secret_file`"), "{error}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_quoted() {
    for field in ["vonage", "authentication", "parameters"] {
        let token_url = if field == "vonage" { json!(null) } else { complete()["token_url"].clone() };
        let error = refused(&with(&json!({field: SECRET, "token_url": token_url})));
        assert!(error.contains(field), "{error}");
    }
    for (field, value) in [
        ("scope", json!(format!("{SECRET}\""))),
        ("scope", json!([SECRET, ""])),
        ("origins", json!(SECRET)),
        ("origins", json!([SECRET])),
        ("token_endpoint_origins", json!(format!("https://{SECRET}/a"))),
    ] {
        let error = refused(&with(&json!({field: value})));
        assert!(error.contains(field), "{error}");
    }
    // And what the builder itself refuses later.
    for (field, value) in [("token_url", SECRET), ("audience", ""), ("client_id", ""), ("resource", "")] {
        let builder = read(&with(&json!({field: value}))).expect("it can be read");
        let error = builder.http_client(Recorder::issuing()).build().expect_err(field);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&format!("{field}: ")) && !shown.contains("s3cr3t"), "{shown}");
    }
}

#[test]
fn a_value_of_another_type_is_named_and_not_quoted() {
    let fields = [
        "token_url",
        "client_id",
        "client_secret",
        "authentication",
        "scope",
        "audience",
        "resource",
        "parameters",
        "origins",
    ];
    for field in fields {
        for value in [json!(4711), json!(true), json!(0.5), json!([[SECRET]]), json!({"a": {"b": SECRET}})] {
            let error = refused(&with(&json!({field: value})));
            assert!(error.contains(&format!("`{field}")), "{error}");
            assert!(!error.contains("4711"), "{error}");
        }
    }
    for settings in [json!(SECRET), json!([SECRET]), json!(4711)] {
        let error = serde_json::from_value::<Settings>(json!({"auth": settings})).expect_err("no table").to_string();
        assert!(error.contains("not a table") && !error.contains("s3cr3t") && !error.contains("4711"), "{error}");
    }
}

#[test]
fn what_was_read_shows_no_secret() {
    let builder = read(&with(&json!({"parameters": {"password": SECRET}}))).expect("it can be read");
    let shown = format!("{builder:?}");
    assert!(shown.contains("abcde") && !shown.contains("s3cr3t"), "{shown}");
}
