//! `check --api`: whether an API accepts the token.

use serde_json::json;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

use crate::support::{TOKEN, issued, server, with_client};

async fn api(response: ResponseTemplate) -> MockServer {
    let api = MockServer::start().await;
    Mock::given(method("GET")).respond_with(response).mount(&api).await;
    api
}

async fn received(api: &MockServer) -> Vec<wiremock::Request> {
    api.received_requests().await.expect("recorded")
}

#[tokio::test]
async fn it_gets_one_request_with_the_token() {
    let (auth, api) = (server(|_| issued(&json!({}))).await, api(ResponseTemplate::new(200)).await);
    let url = format!("{}/stats?a=b", api.uri());
    let ended = with_client("check", &auth).args(["--api", &url]).succeeds();
    let said = format!("\nAPI       GET {}/stats: HTTP 200; the token is accepted\n", api.uri());
    assert!(ended.stderr.contains(&said), "{ended:?}");
    assert!(ended.stdout.contains(&format!("origins = [\"{}\"]", api.uri())), "{ended:?}");
    let requests = received(&api).await;
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].headers["authorization"].to_str().expect("text"), format!("Bearer {TOKEN}"));
    assert_eq!(requests[0].url.query(), Some("a=b"));
}

#[tokio::test]
async fn with_certificates_the_report_says_that_the_client_of_the_api_needs_them_too() {
    let (auth, api) = (server(|_| issued(&json!({}))).await, api(ResponseTemplate::new(200)).await);
    let (check, url) = (|| with_client("check", &auth), api.uri());
    let said = "If the API needs them, too, give them to its client (`tls_certs_merge`, `identity`).";
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/authority.pem");
    let ended = check().args(["--api", &url, "--cacert", authority]).succeeds();
    assert!(ended.stderr.contains(said), "{ended:?}");
    let ended = check().args(["--api", &url]).succeeds();
    assert!(!ended.stderr.contains(said), "{ended:?}");
}

#[tokio::test]
async fn what_it_says_decides() {
    let challenge = |status, text: &str| ResponseTemplate::new(status).insert_header("www-authenticate", text);
    for (response, code, said) in [
        (
            challenge(401, "Bearer error=\"invalid_token\""),
            1,
            "HTTP 401, `Bearer error=\"invalid_token\"`: the API rejects",
        ),
        (challenge(401, &format!("Bearer {TOKEN}")), 1, "HTTP 401: the API rejects the token"),
        (challenge(403, "Bearer error=\"insufficient_scope\""), 1, "HTTP 403, `Bearer error=\"insufficient_scope\"`"),
        (ResponseTemplate::new(503), 75, "HTTP 503: the API is down"),
        (ResponseTemplate::new(429), 75, "HTTP 429: the API limits requests"),
        (ResponseTemplate::new(404), 0, "HTTP 404; not about the token"),
        (ResponseTemplate::new(302), 0, "HTTP 302; a redirect, which is not followed;"),
    ] {
        let (auth, api) = (server(|_| issued(&json!({}))).await, api(response).await);
        let ended = with_client("check", &auth).args(["--api", &api.uri()]).run();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(said), "no {said} in {ended:?}");
        assert_eq!(received(&api).await.len(), 1);
    }
}

#[tokio::test]
async fn a_rejection_is_explained() {
    let (auth, api) = (server(|_| issued(&json!({}))).await, api(ResponseTemplate::new(401)).await);
    let said = with_client("check", &auth).args(["--api", &api.uri()]).fails(1);
    assert!(said.contains("\n401 after 401:\n  - A scope is missing.\n"), "{said}");
}

#[tokio::test]
async fn the_token_goes_to_no_origin_but_those_of_the_settings() {
    let (auth, api) = (server(|_| issued(&json!({}))).await, api(ResponseTemplate::new(200)).await);
    let elsewhere = ["--origins", "https://api.example.com", "--api", &api.uri()];
    let said = with_client("check", &auth).args(elsewhere).fails(2);
    assert!(said.contains("which is not among the origins of its source"), "{said}");
    assert!(said.contains("`--origins` names an origin"), "{said}");
    assert!(received(&api).await.is_empty());
}

#[tokio::test]
async fn one_that_cannot_be_reached_may_be_there_later() {
    let auth = server(|_| issued(&json!({}))).await;
    let said = with_client("check", &auth).args(["--api", "http://127.0.0.1:1/stats"]).fails(75);
    assert!(said.contains("error: GET http://127.0.0.1:1/stats: no response: "), "{said}");
}

#[tokio::test]
async fn a_url_that_the_middleware_could_not_ask_is_refused_first() {
    let auth = server(|_| issued(&json!({}))).await;
    for url in ["api.example.com/stats", "localhost:8080/stats", "ftp://api.example.com"] {
        let said = with_client("check", &auth).args(["--api", url]).fails(2);
        assert_eq!(said, "error: --api: is not a URL; write it as `https://api.example.com/stats`\n");
    }
    assert!(auth.received_requests().await.expect("recorded").is_empty());
}
