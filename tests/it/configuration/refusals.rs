//! What settings are refused for: by `build`, by the field's name, and without any value.

use client_credentials::{Error, ErrorKind};
use serde_json::json;

use super::{AuthorizationServer, SECRET, Settings, complete, parsed, with};
use serde_json::Value;

fn message(error: &Error) -> String {
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("s3cr3t") && !shown.contains("4711"), "{shown}");
    error.to_string()
}

fn refused(settings: &Value) -> String {
    let [toml, json] = parsed(settings).map(|builder| {
        let shown = format!("{builder:?}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        message(&builder.http_client(AuthorizationServer::in_memory()).build().expect_err("refused"))
    });
    assert_eq!(toml, json);
    toml
}

#[test]
fn what_is_missing_or_too_much_is_named() {
    for (changes, said) in [
        (json!({"token_url": null}), "token_url: missing; set one of `token_url`, `issuer`, `vonage`"),
        (json!({"issuer": "https://auth.example.com"}), "token_url, issuer: both are set"),
        (json!({"vonage": "emea"}), "token_url, vonage: both are set"),
        (json!({"client_secret": null}), "client_secret: missing; set `client_secret_file` (preferred)"),
        (json!({"client_secret": null, "authentication": "client_secret_basic"}), "client_secret: missing"),
        (json!({"client_secret": ""}), "client_secret: empty"),
        (json!({"client_id": null}), "client_id: missing"),
        (json!({"client_id": ""}), "client_id: empty"),
        (json!({"audience": ""}), "audience: empty"),
        (json!({"resource": ""}), "resource: empty"),
        (json!({"grant_type": ""}), "grant_type: empty"),
        (json!({"timeout": 0}), "timeout: zero"),
        (json!({"token_endpoint_origins": "https://a.test"}), "token_endpoint_origin, mtls_endpoint_aliases: require"),
        (json!({"authentication": "none"}), "client_secret: does not belong to this `authentication`"),
        (json!({"private_key_file": "/key.pem"}), "private_key_file: does not belong to this `authentication`"),
        (json!({"key_id": "7"}), "key_id: does not belong to this `authentication`"),
        (json!({"authentication": "client_assertion", "client_secret": null}), "client_assertion_file: missing"),
        (json!({"headers": {"content-type": SECRET}}), "header: `content-type` is set by"),
        (json!({"parameters": {"client_id": SECRET}}), "parameter: `client_id` is set by"),
    ] {
        let error = refused(&with(&changes));
        assert!(error.starts_with(said), "{error}");
    }
}

#[cfg(feature = "jwt")]
#[test]
fn a_key_needs_its_file_and_its_algorithm() {
    for (changes, said) in [
        (json!({}), "private_key_file: missing"),
        (json!({"private_key_file": "", "algorithm": "ES256"}), "private_key_file: the file path is empty"),
        (
            json!({"private_key_file": "/key.pem", "algorithm": "ES256", "certificate_file": " "}),
            "certificate_file: the file path is empty",
        ),
        (json!({"private_key_file": "/key.pem"}), "algorithm: missing or unknown; set it to one of `RS256`"),
        (json!({"private_key_file": "/key.pem", "algorithm": SECRET}), "algorithm: missing or unknown"),
        (json!({"private_key_file": "/key.pem", "algorithm": "ES256", "assertion_lifetime": 1}), "lifetime: "),
        (
            json!({"private_key_file": "/key.pem", "algorithm": "ES256", "client_secret": SECRET}),
            "client_secret: does not belong",
        ),
    ] {
        let mut settings = with(&json!({"authentication": "private_key_jwt", "client_secret": null}));
        for (name, value) in changes.as_object().expect("a table") {
            settings[name] = value.clone();
        }
        let error = refused(&settings);
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn an_unknown_field_is_refused_and_the_known_ones_are_named() {
    for unknown in ["passphrase", "zone", ""] {
        let error = refused(&with(&json!({unknown: SECRET})));
        assert!(error.starts_with(&format!("`{unknown}` is not a field; the fields are `token_url`")), "{error}");
    }
    let error = refused(&with(&json!({"http": {"proxies": SECRET}})));
    assert!(error.starts_with("`http.proxies` is not a field; the fields are `token_url`"), "{error}");
}

#[test]
fn a_field_under_another_tools_name_is_refused_with_its_name_here() {
    for (other, field) in [
        ("scopes", "scope"),
        ("endpoint_params", "parameters"),
        ("token_uri", "token_url"),
        ("tls_config", "http"),
        ("HTTP", "http"),
        ("ORIGINS", "origins"),
        ("clientsecret", "client_secret"),
        ("client-secret-file", "client_secret_file"),
        ("Client_Id", "client_id"),
        ("cacert", "http.ca_file"),
        ("connect_timeout", "http.connect_timeout"),
        ("origin", "origins"),
        ("token_endpoint_origin", "token_endpoint_origins"),
    ] {
        let error = refused(&with(&json!({other: SECRET})));
        assert_eq!(error, format!("`{other}` is not a field; write `{field}`"));
    }
    let error = refused(&with(&json!({"http": {"cert_file": SECRET}})));
    assert_eq!(error, "`http.cert_file` is not a field; write `http.client_certificate_file`");
    for (other, field) in [("caFile", "http.ca_file"), ("scope", "scope")] {
        let error = refused(&with(&json!({"http": {other: SECRET}})));
        assert_eq!(error, format!("`http.{other}` is not a field; write `{field}`"));
    }
}

/// By the error that lists them.
#[test]
fn the_page_about_servers_names_every_field() {
    let page = include_str!("../../../docs/providers.md");
    let error = refused(&with(&json!({"x": 1})));
    let (_, listed) = error.split_once("the fields are ").expect("a list");
    let fields: Vec<_> = listed.split(", ").collect();
    assert!(fields.len() > 30, "{fields:?}");
    for field in fields {
        assert!(page.contains(&field.replace("http.", "")), "{field} is not on the page");
    }
}

/// Reading has not failed, so that no parser has quoted the line.
#[test]
fn an_inline_table_with_an_unknown_field_quotes_no_secret() {
    let line = format!(r#"auth = {{ token_url = "https://a.test/t", client_secret = "{SECRET}", clientid = "a" }}"#);
    let settings: Settings = toml::from_str(&line).expect("it can be read");
    let error = message(&settings.auth.build().expect_err("refused"));
    assert_eq!(error, "`clientid` is not a field; write `client_id`");
}

/// Which one counts, nobody could say.
#[test]
fn a_field_that_is_there_twice_is_refused() {
    let table = complete().to_string();
    let table = table.strip_suffix('}').expect("a table");
    for (repeated, field) in [
        (format!(r#""client_secret":"{SECRET}-2""#), "client_secret"),
        (format!(r#""client_secret":"{SECRET}""#), "client_secret"),
        (r#""client_id":null"#.to_owned(), "client_id"),
        (r#""parameters":{"a":"1","b":"2","a":"3"}"#.to_owned(), "parameters.a"),
        (r#""http":{"proxy":"none","proxy":"none"}"#.to_owned(), "http.proxy"),
    ] {
        let settings: Settings = serde_json::from_str(&format!(r#"{{"auth":{table},{repeated}}}}}"#)).expect("JSON");
        let error = message(&settings.auth.http_client(AuthorizationServer::in_memory()).build().expect_err("refused"));
        assert_eq!(error, format!("{field}: is set twice; set it once"));
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_quoted() {
    for field in ["vonage", "authentication", "parameters", "headers", "http", "any_origin", "timeout"] {
        let token_url = if field == "vonage" { json!(null) } else { complete()["token_url"].clone() };
        let error = refused(&with(&json!({field: SECRET, "token_url": token_url})));
        assert!(error.starts_with(field), "{error}");
    }
    for (field, value) in [
        ("scope", json!(format!("{SECRET}\""))),
        ("scope", json!([SECRET, ""])),
        ("origins", json!(SECRET)),
        ("origins", json!([SECRET])),
        ("origins", json!(format!("https://api.example.com,{SECRET}"))),
        ("token_endpoint_origins", json!(format!("https://{SECRET}/a"))),
        ("token_url", json!(SECRET)),
        ("resource", json!(format!("{SECRET}#"))),
        ("client_secret", json!({"of": SECRET})),
    ] {
        let error = refused(&with(&json!({field: value})));
        assert!(error.starts_with(field), "{error}");
    }
}

#[test]
fn a_value_of_another_type_is_named_and_not_quoted() {
    for field in [
        "token_url",
        "client_id",
        "client_secret",
        "authentication",
        "scope",
        "audience",
        "resource",
        "parameters",
        "origins",
        "grant_type",
        "http",
    ] {
        for value in [json!(true), json!(0.4711), json!([[SECRET]]), json!({"a": {"b": SECRET}})] {
            let error = refused(&with(&json!({field: value})));
            assert!(error.contains(field), "{error}");
        }
    }
    for settings in [json!(SECRET), json!([SECRET]), json!(4711), json!(0.4711), json!(true)] {
        let settings: Settings = serde_json::from_value(json!({"auth": settings})).expect("it can be read");
        let error = message(&settings.auth.build().expect_err("no table"));
        assert!(error.starts_with("the client's settings are ") && error.ends_with(", not a table"), "{error}");
    }
}

/// Whatever is set in code, what the file says wrong stays wrong.
#[test]
fn a_refusal_is_not_undone_in_code() {
    let [builder, _] = parsed(&with(&json!({"clientsecret": SECRET})));
    let builder = builder.authentication("67890").any_origin().http_client(AuthorizationServer::in_memory());
    assert!(message(&builder.build().expect_err("refused")).starts_with("`clientsecret` is not a field"));
}
