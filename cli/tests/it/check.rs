//! `check`: the ways of authentication, and what the response says.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use client_credentials::ClientCredentialsBuilder;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use crate::support::{SECRET, cli, file, is_basic, issued, refused, secret_file, server, token_requests, with_client};

/// The setting that was printed, which the library accepts.
fn setting(stdout: &str) -> toml::Table {
    let mut file: toml::Table = stdout.parse().expect("TOML");
    let Some(toml::Value::Table(table)) = file.remove("auth") else { panic!("{stdout}") };
    let builder: ClientCredentialsBuilder = toml::Value::Table(table.clone()).try_into().expect("settings");
    builder.build().expect("complete");
    table
}

#[tokio::test]
async fn the_body_is_tried_first_and_then_basic() {
    let server = server(|request| if is_basic(request) { issued(&json!({})) } else { refused(401, "invalid_client") });
    let server = server.await;
    let ended = with_client("check", &server).args(["--scope", "stats"]).succeeds();
    let said: Vec<_> =
        ended.stderr.lines().take(5).map(|line| line.split(", in ").next().unwrap_or_default()).collect();
    let url = format!("{}/token", server.uri());
    assert_eq!(said[0], format!("POST {url}, client_secret_post: id and secret in the body"));
    assert_eq!(said[1], "  HTTP 401, 26 bytes");
    assert!(said[2].starts_with(&format!("  token request to {url} failed: invalid_client (HTTP 401)")), "{said:?}");
    assert_eq!(said[3], format!("POST {url}, client_secret_basic: id and secret in the header Authorization"));
    assert!(said[4].starts_with("  HTTP 200, "), "{said:?}");
    let table = setting(&ended.stdout);
    assert_eq!(table["authentication"].as_str(), Some("client_secret_basic"));
    assert_eq!(table["token_url"].as_str(), Some(url.as_str()));
    assert!(table.contains_key("client_secret_file") && !table.contains_key("client_secret"), "{table}");
    let sent: Vec<_> = token_requests(&server).await.iter().map(is_basic).collect();
    assert_eq!(sent, [false, true]);
}

#[tokio::test]
async fn the_way_that_is_set_is_the_only_one() {
    let server = server(|_| refused(401, "invalid_client")).await;
    let said = with_client("check", &server).args(["--authentication", "client_secret_basic"]).fails(1);
    assert!(said.contains("The credentials are refused:") && said.contains("The secret expired"), "{said}");
    assert_eq!(token_requests(&server).await.len(), 1);
}

/// Another way of authentication changes nothing.
#[tokio::test]
async fn another_failure_ends_it() {
    for (response, code) in
        [(refused(400, "invalid_scope"), 1), (ResponseTemplate::new(404), 1), (refused(500, "x"), 75)]
    {
        let server = server(move |_| response.clone()).await;
        with_client("check", &server).fails(code);
        assert_eq!(token_requests(&server).await.len(), 1);
    }
}

async fn issuer(server: &MockServer, methods: &Value) {
    let mut document = json!({"issuer": server.uri(), "token_endpoint": format!("{}/token", server.uri())});
    if !methods.is_null() {
        document["token_endpoint_auth_methods_supported"] = methods.clone();
    }
    let response = ResponseTemplate::new(200).set_body_json(document);
    let at = Mock::given(method("GET")).and(path("/.well-known/openid-configuration"));
    at.respond_with(response).expect(1).mount(server).await;
}

fn of_issuer(server: &MockServer) -> crate::support::Cli {
    cli(&["check", "--issuer", &server.uri(), "--client-id", "abcde", "--client-secret-file", &secret_file()])
}

#[tokio::test]
async fn the_metadata_says_what_to_try_and_is_fetched_once() {
    for (methods, sent) in [
        (json!(["private_key_jwt", "client_secret_basic"]), vec![true]),
        (json!(["client_secret_basic", "client_secret_post"]), vec![true, false]),
        (json!(["tls_client_auth"]), vec![false, true]),
        (Value::Null, vec![false, true]),
    ] {
        let count = sent.len();
        let server = server(|_| refused(401, "invalid_client")).await;
        issuer(&server, &methods).await;
        of_issuer(&server).fails(1);
        let requests: Vec<_> = token_requests(&server).await.iter().map(is_basic).collect();
        assert_eq!((requests, count), (sent, count), "{methods}");
    }
    let server = server(|_| issued(&json!({}))).await;
    issuer(&server, &json!(["client_secret_basic"])).await;
    let table = setting(&of_issuer(&server).succeeds().stdout);
    assert_eq!((table["issuer"].as_str(), table.contains_key("token_url")), (Some(server.uri().as_str()), false));
}

/// Metadata has no name of its own for an assertion from a file.
#[tokio::test]
async fn a_single_way_needs_no_metadata() {
    let server = server(|_| issued(&json!({}))).await;
    issuer(&server, &json!(["private_key_jwt"])).await;
    let assertion = file("assertion", "e30.e30.c2ln");
    let with_assertion = ["--client-id", "abcde", "--client-assertion-file", &assertion];
    let ended = cli(&["check", "--issuer", &server.uri()]).args(with_assertion).succeeds();
    assert!(!ended.stderr.contains("no way of authentication"), "{ended:?}");
}

#[tokio::test]
async fn a_wrong_issuer_is_explained_and_nothing_is_posted() {
    let server = server(|_| issued(&json!({}))).await;
    let said = of_issuer(&server).fails(1);
    assert!(said.contains("The token endpoint is not discovered:"), "{said}");
    assert!(token_requests(&server).await.is_empty());
}

/// By the server's clock an assertion may be wrong, and would be sent once more.
#[tokio::test]
async fn no_more_than_three_token_requests_are_sent() {
    let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(3600));
    let server = server(move |_| refused(401, "invalid_client").insert_header("date", past.as_str())).await;
    issuer(&server, &json!(["client_secret_jwt", "client_secret_basic", "client_secret_post"])).await;
    let long = file("secret", &SECRET.repeat(3));
    cli(&["check", "--issuer", &server.uri(), "--client-id", "abcde", "--client-secret-file", &long]).fails(1);
    assert_eq!(token_requests(&server).await.len(), 3);
}

#[tokio::test]
async fn what_may_pass_says_when_to_come_back() {
    let server = server(|_| ResponseTemplate::new(503).insert_header("retry-after", "7")).await;
    let said = with_client("check", &server).fails(75);
    assert!(said.ends_with("This may pass on its own: try again in 7 s.\n"), "{said}");
    assert!(said.contains("The token endpoint returns an error:"), "{said}");
    assert_eq!(token_requests(&server).await.len(), 1);
}

#[tokio::test]
async fn lifetime_scope_claims_and_clock_are_shown() {
    let now = SystemTime::now();
    let exp = now.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() + 1800;
    let claims = json!({"aud": ["https://api.test"], "scope": "stats", "exp": exp}).to_string();
    let jwt = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    let date = httpdate::fmt_http_date(now - Duration::from_secs(125));
    let response = issued(&json!({"access_token": jwt, "expires_in": 1800})).insert_header("date", date.as_str());
    let server = server(move |_| response.clone()).await;
    let ended = with_client("check", &server).args(["--scope", "stats orders"]).succeeds();
    assert!(ended.stderr.contains("\nlifetime  1800 s; "), "{ended:?}");
    assert!(
        ended.stderr.contains("\nscope     requested `stats orders`, granted `stats`: `orders` is missing\n"),
        "{ended:?}"
    );
    let said = ended.stderr.lines().find(|line| line.starts_with("JWT")).expect("a line");
    let (claims, exp) = said.split_once(", exp in ").expect("exp");
    assert_eq!(claims, "JWT       aud `[\"https://api.test\"]`, scope `\"stats\"`");
    let exp: u64 = exp.strip_suffix(" s (not verified)").expect("seconds").parse().expect("a number");
    assert!((1700..=1800).contains(&exp), "{said}");
    let clock = ended.stderr.lines().find(|line| line.starts_with("clock")).expect("a line");
    assert!(
        clock.starts_with("clock     this machine's is 1") && clock.contains(" s ahead of the server's"),
        "{clock}"
    );
    assert!(!ended.stderr.contains(&jwt) && !ended.stdout.contains(&jwt), "{ended:?}");
}

#[tokio::test]
async fn a_token_without_lifetime_scope_and_claims_is_described() {
    let response = issued(&json!({"expires_in": null, "scope": null}));
    let server = server(move |_| response.clone()).await;
    let said = with_client("check", &server).succeeds().stderr;
    assert!(said.contains("\nlifetime  not stated; "), "{said}");
    assert!(said.contains("\nscope     none requested, and none stated\n"), "{said}");
    assert!(said.contains("\nJWT       no: "), "{said}");
    assert!(said.contains("\nclock     this machine's and the server's differ by less than 2 s\n"), "{said}");
}

/// What may be a secret is replaced, unless it was a flag.
#[tokio::test]
async fn the_setting_shows_no_secret() {
    let server = server(|_| issued(&json!({}))).await;
    let ended = cli(&["check", "--client-id", "abcde", "--parameters", "account_id=7"])
        .env("CLIENT_CREDENTIALS_TOKEN_URL", format!("{}/token?key={SECRET}", server.uri()))
        .env("CLIENT_CREDENTIALS_CLIENT_SECRET", SECRET)
        .env("CLIENT_CREDENTIALS_PARAMETERS__API_KEY", SECRET)
        .env("CLIENT_CREDENTIALS_HEADERS__X_API_KEY", SECRET)
        .succeeds();
    for line in [
        format!("token_url = \"{}/token?…\"", server.uri()),
        "client_secret_file = \"/run/secrets/client-secret\" # write the secret to this file, or name another"
            .to_owned(),
        "account_id = [\"7\"]".to_owned(),
        "api_key = \"…\"".to_owned(),
        "x-api-key = \"…\"".to_owned(),
    ] {
        assert!(ended.stdout.lines().any(|of| of == line), "no {line} in {}", ended.stdout);
    }
}

#[test]
fn the_demo_needs_nothing() {
    let ended = cli(&["check", "--demo"]).env("HTTP_PROXY", "http://127.0.0.1:1").succeeds();
    assert!(ended.stderr.contains("HTTP 200; the token is accepted\n"), "{ended:?}");
    setting(&ended.stdout);
}

/// What the README shows, with other numbers and hosts.
#[tokio::test]
async fn the_readme_shows_what_is_printed() {
    let readme = include_str!("../../README.md");
    let block = |language: &str| {
        let (_, rest) = readme.split_once(&format!("```{language}\n")).expect("a block");
        rest.split_once("```").expect("its end").0
    };
    let exp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() + 3600;
    let claims = json!({"aud": "https://api.example.com", "scope": "stats", "exp": exp}).to_string();
    let jwt = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    let auth = MockServer::start().await;
    let respond = move |request: &wiremock::Request| match is_basic(request) {
        true => issued(&json!({"access_token": jwt})),
        false => refused(401, "invalid_client"),
    };
    Mock::given(method("POST")).and(path("/oauth2/token")).respond_with(respond).mount(&auth).await;
    let api = MockServer::start().await;
    Mock::given(method("GET")).and(path("/stats")).respond_with(ResponseTemplate::new(200)).mount(&api).await;
    let (token_url, api_url) = (format!("{}/oauth2/token", auth.uri()), format!("{}/stats", api.uri()));
    let ended = cli(&["check", "--token-url", &token_url, "--scope", "stats", "--api", &api_url])
        .env("CLIENT_CREDENTIALS_CLIENT_ID", "abcde")
        .env("CLIENT_CREDENTIALS_CLIENT_SECRET", SECRET)
        .succeeds();
    let plain = |text: &str| {
        let text = text.replace(&auth.uri(), "https://auth.example.com").replace(&api.uri(), "https://api.example.com");
        text.replace(|character: char| character.is_ascii_digit(), "")
    };
    let said = plain(&ended.stderr);
    let (said, _) = said.split_once("\n\nThe setting that worked").expect("the report");
    assert_eq!(said.trim(), plain(block("text")).trim());
    assert_eq!(plain(&ended.stdout), plain(block("toml")));
}
