//! wiremock's server, an API on it that checks tokens, an address where nobody listens, and hyper-util's client.
#![allow(dead_code, unreachable_pub)]

use bytes::Bytes;
use client_credentials::testing::AuthorizationServer;
use http::{HeaderMap, Request, header};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use wiremock::{Mock, MockServer, Respond, ResponseTemplate, matchers::any};

/// A server that gives this response to every request.
pub async fn responding(response: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(response).mount(&server).await;
    server
}

/// All requests that this server received, in order.
pub async fn received(server: &MockServer) -> Vec<wiremock::Request> {
    server.received_requests().await.expect("wiremock records by default")
}

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

/// An address where nobody listens. The port is bound as long as this is kept, so that no other test gets it.
pub struct Nobody(tokio::net::TcpSocket);

impl Nobody {
    pub fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a loopback port");
        Self(socket)
    }

    pub fn port(&self) -> u16 {
        self.0.local_addr().expect("a bound address").port()
    }

    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }
}

/// hyper-util's client, over plain http.
pub fn hyper_client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

pub fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).expect("a request")
}
