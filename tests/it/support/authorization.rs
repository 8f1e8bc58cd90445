//! APIs that check the tokens of `testing`'s authorization server.
#![allow(dead_code, unreachable_pub)]

use client_credentials::testing::AuthorizationServer;
use http::{HeaderMap, header};
use wiremock::{MockServer, ResponseTemplate};

use super::servers::{received, responding};

/// What an API responds that accepts the tokens of this server: 200 and the request's body. To all others 401 with a
/// challenge (RFC 6750).
pub fn checked_by(auth: &AuthorizationServer) -> impl Fn(&wiremock::Request) -> ResponseTemplate + use<> {
    let auth = auth.clone();
    move |request| match bearer(&request.headers) {
        Some(token) if auth.accepts(token) => ResponseTemplate::new(200).set_body_bytes(request.body.clone()),
        Some(_) => challenge("Bearer realm=\"api\", error=\"invalid_token\""),
        None => challenge("Bearer realm=\"api\""),
    }
}

pub fn challenge(value: &str) -> ResponseTemplate {
    ResponseTemplate::new(401).insert_header("www-authenticate", value).set_body_bytes("who are you?")
}

/// Such an API.
pub async fn protected_api(auth: &AuthorizationServer) -> MockServer {
    responding(checked_by(auth)).await
}

/// The bearer token among these headers.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The bearer token of each request that came in, `none` where there is no `Authorization` header.
pub async fn tokens_seen(server: &MockServer) -> Vec<String> {
    let token = |request: &wiremock::Request| match request.headers.get(header::AUTHORIZATION) {
        Some(value) => bearer(&request.headers).unwrap_or_else(|| panic!("{value:?} is no bearer token")).to_owned(),
        None => "none".to_owned(),
    };
    received(server).await.iter().map(token).collect()
}
