//! The layer around tonic's channel: real calls, to gRPC's health service on loopback.

use crate::support::endpoint::auth_responding;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use client_credentials::{
    BearerAuthLayer, ClientCredentials, Error, ErrorKind, GrpcStatusLayer, TokenCache, TokenRequest, TryClone,
    WithoutToken,
    testing::{AuthorizationServer, MockResponse, ReceivedTokenRequest},
};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Status,
    body::Body,
    service::interceptor::{InterceptedService, InterceptorLayer},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{BoxError, ServiceBuilder, util::BoxCloneSyncService};

/// No call gets as far as there.
const NOWHERE: &str = "https://orders.example.com";

/// A health service that refuses every call whose token was not issued, and where it is.
async fn health(auth: &AuthorizationServer) -> String {
    let auth = auth.clone();
    let check = move |call: Request<()>| {
        let header = call.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if header.and_then(|header| header.strip_prefix("Bearer ")).is_some_and(|token| auth.accepts(token)) {
            Ok(call)
        } else {
            Err(Status::unauthenticated("who are you?"))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let origin = format!("http://{}", listener.local_addr().expect("a bound address"));
    let (_, service) = tonic_health::server::health_reporter();
    let service = InterceptedService::new(service, check);
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    origin
}

fn cache(auth: &AuthorizationServer, origin: &str) -> TokenCache {
    ClientCredentials::builder(auth.token_url(), "abcde", "12345").origin(origin).build().expect("a source").into()
}

/// Around a channel to this origin.
fn layer(auth: &AuthorizationServer, origin: &str) -> BearerAuthLayer {
    BearerAuthLayer::new(cache(auth, origin)).for_origin(origin).expect("an origin that is permitted")
}

fn channel(origin: &str) -> Channel {
    Endpoint::from_shared(origin.to_owned()).expect("an endpoint").connect_lazy()
}

fn ask() -> HealthCheckRequest {
    HealthCheckRequest::default()
}

#[tokio::test]
async fn unary_and_streaming_calls_carry_the_token_beside_interceptors() {
    let auth = AuthorizationServer::start().await;
    let origin = health(&auth).await;
    let seen = Arc::new(AtomicBool::new(false));
    let saw = Arc::clone(&seen);
    let stack = ServiceBuilder::new()
        .layer(InterceptorLayer::new(|mut call: Request<()>| {
            call.metadata_mut().insert("x-outside", "1".parse().expect("a value"));
            Ok(call)
        }))
        .layer(layer(&auth, &origin))
        .layer(InterceptorLayer::new(move |call: Request<()>| {
            let both = call.metadata().contains_key("x-outside") && call.metadata().contains_key("authorization");
            saw.store(both, Ordering::SeqCst);
            Ok(call)
        }))
        .service(channel(&origin));
    let mut client = HealthClient::new(stack);
    for _ in 0..3 {
        client.check(ask()).await.expect("a response");
    }
    let mut watched = client.watch(ask()).await.expect("a stream").into_inner();
    watched.message().await.expect("a message").expect("the first one");
    assert!(seen.load(Ordering::SeqCst), "the inner interceptor sees what was added outside of it");
    assert_eq!(auth.token_requests().len(), 1);
}

#[tokio::test]
async fn metadata_and_extensions_of_a_call_are_the_headers_and_extensions_of_its_request() {
    let auth = AuthorizationServer::start().await;
    let origin = health(&auth).await;
    let mut client = HealthClient::new(ServiceBuilder::new().layer(layer(&auth, &origin)).service(channel(&origin)));
    let (mut own, mut without, mut orders) = (Request::new(ask()), Request::new(ask()), Request::new(ask()));
    own.metadata_mut().insert("authorization", "Bearer mine".parse().expect("a value"));
    without.extensions_mut().insert(WithoutToken);
    for call in [own, without] {
        assert_eq!(client.check(call).await.expect_err("not a good token").code(), Code::Unauthenticated);
    }
    orders.extensions_mut().insert(TokenRequest::builder().scope("orders").build().expect("a token request"));
    client.check(orders).await.expect("a response");
    let asked = auth.token_requests();
    assert_eq!(asked.iter().map(ReceivedTokenRequest::scope).collect::<Vec<_>>(), [Some("orders")]);
}

#[tokio::test]
async fn a_channel_whose_origin_was_not_named_gets_no_token() {
    let auth = AuthorizationServer::start().await;
    let origin = health(&auth).await;
    let tokens = cache(&auth, NOWHERE);
    // Nobody said where it goes: not sent, and the error says what to write.
    let stack = ServiceBuilder::new().layer(BearerAuthLayer::new(tokens.clone())).service(channel(&origin));
    let refused = HealthClient::new(stack.clone()).check(ask()).await.expect_err("not sent");
    let error = Error::find(&refused).expect("ours");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains(".for_origin(\"https://"), "{error}");
    // It goes elsewhere: refused when it is built.
    assert!(BearerAuthLayer::new(tokens).for_origin(&origin).is_err());
    // A client that was given its origin writes it into each request.
    let mut client = HealthClient::with_origin(stack, origin.parse().expect("a URI"));
    assert_eq!(client.check(ask()).await.expect_err("no token").code(), Code::Unauthenticated);
    assert_eq!(auth.token_requests().len(), 0);
}

#[tokio::test]
async fn a_calls_own_time_limit_bounds_its_wait_for_a_token() {
    let hangs = client_credentials::token_fn(|_| std::future::pending());
    let tokens = TokenCache::builder(hangs).any_origin().build().expect("a cache");
    let layer = BearerAuthLayer::new(tokens).for_origin(NOWHERE).expect("an origin");
    let mut call = Request::new(ask());
    call.set_timeout(Duration::from_millis(20));
    let stack = ServiceBuilder::new().layer(layer).service(channel(NOWHERE));
    let error = HealthClient::new(stack).check(call).await.expect_err("no token");
    assert!(Error::find(&error).expect("ours").is_timeout(), "{error}");
}

#[tokio::test]
async fn a_hundred_calls_in_flight_while_their_token_is_revoked_make_one_token_request() {
    let auth = AuthorizationServer::start().await;
    let origin = health(&auth).await;
    let client = HealthClient::new(ServiceBuilder::new().layer(layer(&auth, &origin)).service(channel(&origin)));
    client.clone().check(ask()).await.expect("a response");
    auth.revoke_all();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let mut client = client.clone();
        callers.spawn(async move {
            match client.check(ask()).await {
                // tonic's bodies cannot be copied, so that it is the caller who calls again.
                Err(status) if status.code() == Code::Unauthenticated => client.check(ask()).await,
                response => response,
            }
        });
    }
    while let Some(response) = callers.join_next().await {
        response.expect("no panic").expect("a response");
    }
    assert_eq!(auth.token_requests().len(), 2);
}

/// Unary calls alone: their body is collected before it reaches us, so that it can be copied.
#[tokio::test]
async fn unary_calls_whose_body_is_collected_first_are_sent_again() {
    let auth = AuthorizationServer::start().await;
    let origin = health(&auth).await;
    let stack = ServiceBuilder::new()
        .filter_async(|request: http::Request<Body>| async {
            let (parts, body) = request.into_parts();
            let body = Full::new(body.collect().await?.to_bytes());
            Ok::<_, BoxError>(http::Request::from_parts(parts, body))
        })
        .layer(layer(&auth, &origin).with_replay(TryClone))
        .map_request(|request: http::Request<Full<Bytes>>| request.map(Body::new))
        .service(channel(&origin));
    // A spawned call compiles only over a boxed service whose error is not boxed, too ("implementation of `From` is not
    // general enough").
    let stack = ServiceBuilder::new().layer(GrpcStatusLayer).service(stack);
    let client = HealthClient::new(BoxCloneSyncService::new(stack));
    client.clone().check(ask()).await.expect("a response");
    auth.revoke_all();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let mut client = client.clone();
        callers.spawn(async move { client.check(ask()).await });
    }
    while let Some(response) = callers.join_next().await {
        response.expect("no panic").expect("a response, without calling again");
    }
    assert_eq!(auth.token_requests().len(), 2);
}

/// `grpc_status.rs` has what the layer around it makes of that.
#[tokio::test]
async fn without_a_token_the_status_is_unknown_with_our_error_in_it() {
    let auth = auth_responding(MockResponse::oauth_error("invalid_client"));
    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").any_origin().http_client(auth);
    let layer = BearerAuthLayer::new(TokenCache::from(source.build().expect("a source"))).for_origin(NOWHERE);
    let stack = ServiceBuilder::new().layer(layer.expect("an origin")).service(channel(NOWHERE));
    let status = HealthClient::new(stack).check(ask()).await.expect_err("no token");
    assert_eq!(status.code(), Code::Unknown);
    assert!(Error::find(&status).is_some(), "ours is found in the status");
}
