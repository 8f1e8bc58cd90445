//! Each program has a token, renews one that was revoked, and gives none to an origin that was not named.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use client_credentials::{
    BearerAuthMiddleware, ClientCredentials, Error, ErrorKind, TokenCache,
    testing::{AuthorizationServer, MockResponse, ProtectedApi},
};
use clients::{blocking, generated, interceptor::WithToken, kubernetes, otlp_http::OtlpClient, reqwest_012};
use http_body_util::BodyExt;
use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::trace::SdkTracerProvider;

const ELSEWHERE: &str = "https://elsewhere.example.com";

async fn servers() -> (AuthorizationServer, ProtectedApi) {
    let auth = AuthorizationServer::start().await;
    let api = ProtectedApi::start(&auth).await;
    (auth, api)
}

fn tokens(auth: &AuthorizationServer, origin: &str) -> TokenCache {
    ClientCredentials::builder(auth.token_url(), "abcde", "12345").origin(origin).build().expect("a source").into()
}

#[tokio::test]
async fn reqwest_0_12() {
    let (auth, api) = servers().await;
    let tokens = tokens(&auth, &api.origin());
    let client = ::reqwest_012::Client::new();
    for requests in [1, 3] {
        let url = format!("{}/stats", api.origin()).parse().expect("a URL");
        assert_eq!(reqwest_012::get(&client, &tokens, url).await.expect("a response").status(), 200);
        assert_eq!(api.requests().len(), requests);
        auth.revoke_all();
    }
    assert_eq!(auth.token_requests().len(), 2);
    let error = reqwest_012::get(&client, &tokens, ELSEWHERE.parse().expect("a URL")).await.expect_err("not sent");
    assert_eq!(Error::find(&*error).map(Error::kind), Some(ErrorKind::ForeignOrigin));
}

#[test]
fn a_blocking_program() {
    let servers_runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (auth, api) = servers_runtime.block_on(servers());
    let client = blocking::Client::new(tokens(&auth, &api.origin())).expect("a runtime");
    for requests in [1, 3] {
        assert_eq!(client.get(&api.origin()).expect("a response").status(), 200);
        assert_eq!(api.requests().len(), requests);
        auth.revoke_all();
    }
    assert_eq!(auth.token_requests().len(), 2);
    let error = client.get(ELSEWHERE).err().expect("not sent");
    assert_eq!(Error::find(&*error).map(Error::kind), Some(ErrorKind::ForeignOrigin));
}

#[tokio::test]
async fn progenitor() {
    let (auth, api) = servers().await;
    let tokens = tokens(&auth, &api.origin());
    let client = generated::Client::new(&api.origin(), tokens.clone());
    for requests in [1, 3] {
        assert_eq!(client.stats().await.expect("a response"), 200);
        assert_eq!(api.requests().len(), requests);
        auth.revoke_all();
    }
    assert_eq!(auth.token_requests().len(), 2);
    let error = generated::Client::new(ELSEWHERE, tokens).stats().await.expect_err("not sent");
    assert!(error.to_string().contains(ELSEWHERE), "{error}");
}

#[tokio::test]
async fn kube() {
    let (auth, api) = servers().await;
    let client = kubernetes::client(&api.origin(), tokens(&auth, &api.origin()));
    let client = client.expect("a client");
    let version = || http::Request::get("/version").body(Vec::new()).expect("a request");
    client.request_text(version()).await.expect("a response");
    auth.revoke_all();
    // kube's bodies cannot be copied: the next call has the new token.
    client.request_text(version()).await.expect_err("revoked");
    client.request_text(version()).await.expect("a response");
    assert_eq!(auth.token_requests().len(), 2);
}

/// Ends one span, and waits until it was sent.
async fn export(provider: &SdkTracerProvider) -> bool {
    provider.tracer("test").start("a span");
    let provider = provider.clone();
    tokio::task::spawn_blocking(move || provider.force_flush().is_ok()).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn otlp_over_http() {
    let (auth, api) = servers().await;
    api.respond_always(MockResponse::status(200));
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(BearerAuthMiddleware::new(tokens(&auth, &api.origin())))
        .build();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(OtlpClient { client, runtime: tokio::runtime::Handle::current() })
        .with_endpoint(format!("{}/v1/traces", api.origin()))
        .build()
        .expect("an exporter");
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    for requests in [1, 3] {
        assert!(export(&provider).await);
        assert_eq!(api.requests().len(), requests);
        auth.revoke_all();
    }
    assert_eq!(auth.token_requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn otlp_over_grpc_by_an_interceptor() {
    let auth = AuthorizationServer::start().await;
    let origin = collector(&auth).await;
    let exporter = |origin: &str, named: &str| {
        let with_token = WithToken { tokens: tokens(&auth, named), origin: origin.to_owned() };
        let builder = SpanExporter::builder().with_tonic().with_interceptor(with_token.clone()).with_endpoint(origin);
        let exporter = builder.with_timeout(Duration::from_secs(5)).build().expect("an exporter");
        (with_token, SdkTracerProvider::builder().with_batch_exporter(exporter).build())
    };
    let (with_token, provider) = exporter(&origin, &origin);
    // An interceptor does not wait: without this, what is sent at first is lost.
    with_token.tokens.header_for(origin.as_str()).await.expect("a token");
    assert!(export(&provider).await);
    assert_eq!(auth.token_requests().len(), 1);

    let (_, provider) = exporter(&origin, ELSEWHERE);
    assert!(!export(&provider).await, "sent to an origin that was not named");
}

/// A gRPC server that takes every call with a good token.
async fn collector(auth: &AuthorizationServer) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let origin = format!("http://{}", listener.local_addr().expect("a bound address"));
    let auth = auth.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let auth = auth.clone();
            let response = hyper::service::service_fn(move |call: http::Request<hyper::body::Incoming>| {
                let auth = auth.clone();
                async move {
                    let header = call.headers().get("authorization").and_then(|value| value.to_str().ok());
                    let token = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
                    let status = if auth.accepts(token) { "0" } else { "16" };
                    // An empty message, which is every message with its defaults.
                    let message = http_body_util::Full::new(Bytes::from_static(&[0; 5]));
                    let trailers = http::HeaderMap::from_iter([(
                        http::HeaderName::from_static("grpc-status"),
                        http::HeaderValue::from_static(status),
                    )]);
                    let body = message.with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) });
                    http::Response::builder().header("content-type", "application/grpc").body(body)
                }
            });
            let stream = hyper_util::rt::TokioIo::new(stream);
            let executor = hyper_util::rt::TokioExecutor::new();
            tokio::spawn(hyper::server::conn::http2::Builder::new(executor).serve_connection(stream, response));
        }
    });
    origin
}
