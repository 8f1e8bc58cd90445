//! How a gRPC call fails that was not sent for want of a token.

use crate::support::endpoint::auth_responding;
use std::time::Duration;

use client_credentials::{
    BearerAuth, BearerAuthLayer, ClientCredentials, Clock, Error, GrpcStatus, GrpcStatusLayer, TokenCache,
    testing::{AuthorizationServer, MockResponse},
};
use tokio::task::JoinSet;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{ServiceBuilder, ServiceExt};

const NOBODY: &str = "http://127.0.0.1:9";

/// A type that an application can write down.
type Client = HealthClient<GrpcStatus<BearerAuth<Channel>>>;

fn client(tokens: &TokenCache) -> Client {
    let channel = Endpoint::from_static(NOBODY).connect_lazy();
    let layer = BearerAuthLayer::new(tokens.clone()).for_origin(NOBODY).expect("an origin");
    HealthClient::new(ServiceBuilder::new().layer(GrpcStatusLayer).layer(layer).service(channel))
}

fn cache(auth: &AuthorizationServer) -> TokenCache {
    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").http_client(auth.clone());
    let source = source.origin(NOBODY).build().expect("a source");
    TokenCache::builder(source).clock(Clock::tokio()).build().expect("a cache")
}

fn ask() -> HealthCheckRequest {
    HealthCheckRequest::default()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_no_token_fails_with_a_code_and_the_reason_for_every_caller() {
    let slow_down = MockResponse::status(429).with_retry_after(Duration::from_secs(60));
    for (response, code, reason) in [
        (MockResponse::oauth_error("invalid_client"), Code::Unauthenticated, "invalid_client (HTTP 401)"),
        (slow_down, Code::Unavailable, "HTTP 429"),
    ] {
        let auth = auth_responding(response);
        let mut client = client(&cache(&auth));
        for held_back in [false, true] {
            let status = client.check(ask()).await.expect_err("no token");
            assert_eq!(status.code(), code);
            let message = status.message();
            assert!(message.starts_with("token request to ") && message.contains(reason), "{message}");
            assert_eq!(message.contains("; next attempt in "), held_back, "{message}");
            assert_eq!(Error::find(&status).expect("ours").is_transient(), code == Code::Unavailable);
        }
    }
}

/// With a closure in `map_err` instead of the layer, this does not compile.
#[tokio::test(start_paused = true)]
async fn calls_can_be_spawned() {
    let auth = auth_responding(MockResponse::oauth_error("invalid_client"));
    let client = client(&cache(&auth));
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let mut client = client.clone();
        calls.spawn(async move { client.check(ask()).await.map(drop) });
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.expect("no panic").expect_err("no token").code(), Code::Unauthenticated);
    }
    assert_eq!(auth.token_requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_a_status_already_keeps_its_code() {
    let auth = AuthorizationServer::in_memory();
    let failing = ServiceBuilder::new().layer(GrpcStatusLayer).layer(BearerAuthLayer::new(cache(&auth))).service_fn(
        |_: http::Request<tonic::body::Body>| async {
            Err::<http::Response<tonic::body::Body>, _>(Status::resource_exhausted("enough"))
        },
    );
    let request = http::Request::get(NOBODY).body(tonic::body::Body::empty()).expect("a request");
    let status = failing.oneshot(request).await.expect_err("exhausted");
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "enough"));
}
