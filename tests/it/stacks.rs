//! The layer and the middleware over, under and between what people really stack, against servers on loopback.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{bearer as token_of, checked_by, get, hyper_client, protected_api, responding};
use bytes::Bytes;
use client_credentials::{
    BearerAuthLayer, BearerAuthMiddleware, ClientCredentials, Error, ErrorKind, TokenCache, TryClone, replay_fn,
    testing::{AuthorizationServer, MockResponse},
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::task::JoinSet;
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt, retry::Policy, spawn_ready::SpawnReadyLayer,
    util::BoxCloneSyncService,
};
use tower_http::follow_redirect::FollowRedirectLayer;
use wiremock::MockServer;

/// Sends a GET through a stack.
type Send = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<StatusCode, BoxError>> + std::marker::Send>>
        + Sync
        + std::marker::Send,
>;

/// Name, how many requests it has in flight at once, and how it is made.
type Stack = (&'static str, usize, fn(TokenCache) -> Send);

const STACKS: &[Stack] = &[
    ("hyper over HTTP/1", 100, |tokens| over(layer(tokens).service(hyper_client()), get)),
    ("hyper over HTTP/2", 100, |tokens| {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
        over(layer(tokens).service(client), get)
    }),
    ("reqwest::Client as a service", 100, |tokens| over(layer(tokens).service(reqwest::Client::new()), reqwest_get)),
    ("reqwest's ClientWithMiddleware as a service", 100, |tokens| {
        let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).build();
        over(layer(tokens).service(client), reqwest_get)
    }),
    ("the middleware", 100, |tokens| {
        let middleware = BearerAuthMiddleware::new(tokens);
        let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
        Arc::new(move |url| {
            let sent = client.get(url).send();
            Box::pin(async move { Ok(sent.await?.status()) })
        })
    }),
    ("boxed bodies", 100, |tokens| {
        type Body = BoxBody<Bytes, BoxError>;
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let empty = || Empty::new().map_err(|never| match never {}).boxed();
        let layer = BearerAuthLayer::new(tokens)
            .with_replay(replay_fn(move |request: &Request<Body>| copy_of_a_get(request, empty())));
        over(ServiceBuilder::new().layer(layer).service(client), |url| {
            get(url).map(|body| body.map_err(|never| match never {}).boxed())
        })
    }),
    ("axum's bodies", 100, |tokens| {
        use axum::body::Body;
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let layer = BearerAuthLayer::new(tokens)
            .with_replay(replay_fn(|request: &Request<Body>| copy_of_a_get(request, Body::empty())));
        over(ServiceBuilder::new().layer(layer).service(client), |url| get(url).map(Body::new))
    }),
    ("between buffers", 100, |tokens| {
        let service = ServiceBuilder::new().buffer(128).layer(bearer(tokens)).buffer(128).service(hyper_client());
        over(service, get)
    }),
    ("over a concurrency limit of one", 1, |tokens| {
        over(layer(tokens).concurrency_limit(1).service(hyper_client()), get)
    }),
    ("under a concurrency limit of one", 1, |tokens| {
        over(ServiceBuilder::new().concurrency_limit(1).layer(bearer(tokens)).service(hyper_client()), get)
    }),
    ("over a buffer of one and a concurrency limit of one", 1, |tokens| {
        over(layer(tokens).buffer(1).concurrency_limit(1).service(hyper_client()), get)
    }),
    ("over a rate limit, which is not `Clone`, behind a buffer", 100, |tokens| {
        over(layer(tokens).buffer(128).rate_limit(1000, Duration::from_secs(1)).service(hyper_client()), get)
    }),
    ("under a layer that spawns readiness, behind a buffer", 100, |tokens| {
        let ready = SpawnReadyLayer::new();
        let service = ServiceBuilder::new().buffer(128).layer(ready).layer(bearer(tokens)).concurrency_limit(128);
        over(service.service(hyper_client()), get)
    }),
    ("between load shedding, over a concurrency limit", 100, |tokens| {
        let limited = ServiceBuilder::new().load_shed().concurrency_limit(100).service(hyper_client());
        over(ServiceBuilder::new().load_shed().layer(bearer(tokens)).service(limited), get)
    }),
    ("between boxes", 100, |tokens| {
        let within = BoxCloneSyncService::new(hyper_client());
        over(BoxCloneSyncService::new(layer(tokens).service(within)), get)
    }),
    ("under timeout, retry and redirect", 100, |tokens| {
        let service = ServiceBuilder::new()
            .timeout(Duration::from_secs(20))
            .retry(OnServerErrors { left: 3 })
            .layer(FollowRedirectLayer::new())
            .layer(bearer(tokens))
            .service(hyper_client());
        over(service, get)
    }),
    ("over timeout, retry and redirect", 100, |tokens| {
        let service = layer(tokens)
            .layer(FollowRedirectLayer::new())
            .retry(OnServerErrors { left: 3 })
            .timeout(Duration::from_secs(20))
            .service(hyper_client());
        over(service, get)
    }),
    ("as an optional layer", 100, |tokens| {
        let service = ServiceBuilder::new().option_layer(Some(bearer(tokens))).map_err(BoxError::from);
        over(service.service(hyper_client()), get)
    }),
    ("two of ours", 100, |tokens| over(layer(tokens.clone()).layer(bearer(tokens)).service(hyper_client()), get)),
];

fn bearer(tokens: TokenCache) -> BearerAuthLayer<TryClone> {
    BearerAuthLayer::new(tokens).with_replay(TryClone)
}

fn layer(
    tokens: TokenCache,
) -> ServiceBuilder<tower::layer::util::Stack<BearerAuthLayer<TryClone>, tower::layer::util::Identity>> {
    ServiceBuilder::new().layer(bearer(tokens))
}

fn reqwest_get(url: &str) -> reqwest::Request {
    reqwest::Request::new(http::Method::GET, url.parse().expect("a URL"))
}

/// Bodies that are not `Clone` can still be known to be empty.
fn copy_of_a_get<B>(request: &Request<B>, empty: B) -> Option<Request<B>> {
    let mut copy = Request::new(empty);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    (request.method() == http::Method::GET).then_some(copy)
}

trait Status {
    fn status(&self) -> StatusCode;
}

impl<B> Status for Response<B> {
    fn status(&self) -> StatusCode {
        self.status()
    }
}

impl Status for reqwest::Response {
    fn status(&self) -> StatusCode {
        self.status()
    }
}

fn over<S, Req>(service: S, request: fn(&str) -> Req) -> Send
where
    S: Service<Req> + Clone + Sync + std::marker::Send + 'static,
    S::Response: Status,
    S::Error: Into<BoxError>,
    S::Future: std::marker::Send,
    Req: std::marker::Send + 'static,
{
    Arc::new(move |url| {
        let service = service.clone();
        Box::pin(async move { Ok(service.oneshot(request(&url)).await.map_err(Into::into)?.status()) })
    })
}

/// Three attempts in all where the response is a server error.
#[derive(Clone)]
struct OnServerErrors {
    left: usize,
}

impl<B: Clone, Res> Policy<Request<B>, Response<Res>, BoxError> for OnServerErrors {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut Request<B>, result: &mut Result<Response<Res>, BoxError>) -> Option<Self::Future> {
        let again = result.as_ref().is_ok_and(|response| response.status().is_server_error()) && self.left > 1;
        self.left -= 1;
        again.then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}

fn cache(auth: &AuthorizationServer, api: &str) -> TokenCache {
    ClientCredentials::builder(auth.token_url(), "abcde", "12345").origin(api).build().expect("a source").into()
}

/// Revokes its token at the first request to `/work`. The 401s of the first `together` requests take a while, so that
/// all of them are in flight before the first is rejected.
async fn revoking_api(auth: &AuthorizationServer, together: usize) -> MockServer {
    let (auth, rejected) = (auth.clone(), AtomicUsize::new(0));
    responding(move |request: &wiremock::Request| {
        if request.url.path() == "/work" && token_of(&request.headers) == Some("token-1") {
            auth.revoke("token-1");
            let is_early = rejected.fetch_add(1, Ordering::SeqCst) < together;
            let delay = if is_early { Duration::from_millis(200) } else { Duration::ZERO };
            return checked_by(&auth)(request).set_delay(delay);
        }
        checked_by(&auth)(request)
    })
    .await
}

async fn over_every_stack<F: Future<Output = ()> + std::marker::Send + 'static>(test: fn(Stack) -> F) {
    // A few at a time: a hundred connections with both their ends in this process are many files to have open.
    for some in STACKS.chunks(4) {
        let running: Vec<_> = some.iter().map(|stack| (stack.0, tokio::spawn(test(*stack)))).collect();
        for (name, task) in running {
            tokio::time::timeout(Duration::from_secs(60), task).await.expect(name).expect(name);
        }
    }
}

#[tokio::test]
async fn a_hundred_requests_in_flight_while_their_token_is_revoked_succeed_after_one_token_request() {
    over_every_stack(|(_, together, build)| async move {
        let auth = AuthorizationServer::start().await;
        let api = revoking_api(&auth, together).await;
        let send = build(cache(&auth, &api.uri()));
        assert_eq!(send(api.uri()).await.expect("a response"), StatusCode::OK);
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            callers.spawn(send(format!("{}/work", api.uri())));
        }
        while let Some(status) = callers.join_next().await {
            assert_eq!(status.expect("no panic").expect("a response"), StatusCode::OK);
        }
        assert_eq!(auth.token_requests().len(), 2, "the first token, and one for all");
    })
    .await;
}

/// Many at a time, of one service that is not cloned for each of them.
#[tokio::test]
async fn a_stream_of_requests_through_one_service_succeeds_across_a_revocation() {
    let auth = AuthorizationServer::start().await;
    let api = protected_api(&auth).await;
    let service = layer(cache(&auth, &api.uri())).concurrency_limit(3).service(hyper_client());
    for _ in 0..2 {
        let url = api.uri();
        let requests = tokio_stream::iter((0..50).map(move |_| get(&url)));
        let mut responses = service.clone().call_all(requests).unordered();
        while let Some(response) = tokio_stream::StreamExt::next(&mut responses).await {
            assert_eq!(response.expect("a response").status(), StatusCode::OK);
        }
        auth.revoke_all();
    }
    assert_eq!(auth.token_requests().len(), 2);
}

/// An application under test, without a socket: its requests have no authority.
#[tokio::test]
async fn axums_router_is_a_service_like_any_other() {
    let auth = AuthorizationServer::start().await;
    let application = axum::Router::new().fallback({
        let auth = auth.clone();
        move |headers: http::HeaderMap| {
            let is_accepted = token_of(&headers).is_some_and(|token| auth.accepts(token));
            async move { if is_accepted { StatusCode::OK } else { StatusCode::UNAUTHORIZED } }
        }
    });
    let layer = bearer(cache(&auth, "https://api.example.com")).for_origin("https://api.example.com");
    let service = layer.expect("an origin").layer(application.into_service());
    for _ in 0..2 {
        assert_eq!(service.clone().oneshot(get("/stats")).await.expect("a response").status(), StatusCode::OK);
        auth.revoke_all();
    }
    assert_eq!(auth.token_requests().len(), 2);
}

#[tokio::test]
async fn why_there_is_no_token_is_found_in_the_error_of_every_stack() {
    over_every_stack(|(_, _, build)| async move {
        let auth = AuthorizationServer::start().await;
        auth.respond_always(MockResponse::oauth_error("invalid_client"));
        let send = build(cache(&auth, "https://api.example.com"));
        let error = send("https://api.example.com".into()).await.expect_err("no token");
        let error = Error::find(&*error).expect("ours");
        assert_eq!(error.kind(), ErrorKind::ErrorResponse);
        assert_eq!(error.response().expect("a response").error, "invalid_client");
        assert!(!error.is_transient());
    })
    .await;
}
