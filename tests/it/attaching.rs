//! Which requests carry a token, and which one.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::support::{
    api::{Api, api_tokens, bearer, tokens},
    get,
};
use bytes::Bytes;
use client_credentials::{
    AccessToken, BearerAuth, BearerAuthLayer, ClientCredentials, Clock, Error, ErrorKind, HttpClient, SecretBody,
    TokenCache, TokenRequest, TowerClient, WithoutToken, async_trait, token_fn,
};
use http::{Method, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};

const URL: &str = "https://api.example.com/stats";

#[tokio::test(start_paused = true)]
async fn every_request_carries_one_authorization_header_marked_sensitive() {
    let (tokens, source) = api_tokens();
    let api = Api::open();
    let service = BearerAuthLayer::new(tokens).layer(api.clone());
    for _ in 0..3 {
        service.clone().oneshot(get(URL)).await.expect("a response");
    }
    for request in api.seen() {
        let values: Vec<_> = request.headers().get_all(AUTHORIZATION).iter().collect();
        assert_eq!(values, ["Bearer token-1"]);
        assert!(values[0].is_sensitive());
        assert!(!format!("{request:?}").contains("token-1"), "the token is visible in the request's Debug");
    }
    assert_eq!(source.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn headers_that_the_caller_set_are_unchanged_and_no_token_is_requested() {
    let (tokens, source) = api_tokens();
    let api = Api::open();
    for cached in [false, true] {
        for own in [&["Basic YTpi"][..], &["Basic YTpi", "Bearer mine"]] {
            let mut request = get(URL);
            for value in own {
                request.headers_mut().append(AUTHORIZATION, value.parse().expect("a value"));
            }
            let service = BearerAuthLayer::new(tokens.clone()).layer(api.clone());
            service.oneshot(request).await.expect("a response");
            let seen = api.seen().pop().expect("a request");
            assert_eq!(seen.headers().get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), own);
        }
        assert_eq!(source.count(), usize::from(cached));
        tokens.token().await.expect("a token");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_request_is_not_sent_and_the_caller_gets_the_cause() {
    let withdrawn = token_fn(|_| async { Err(Error::permanent("the secret was withdrawn")) });
    let builder = TokenCache::builder(withdrawn).clock(Clock::tokio());
    let api = Api::open();
    let service = BearerAuthLayer::new(builder.any_origin().build().expect("a cache")).layer(api.clone());
    let error = service.oneshot(get(URL)).await.expect_err("no token");
    let error = Error::find(&*error).expect("ours");
    assert!(!error.is_transient());
    assert_eq!(std::error::Error::source(error).expect("a cause").to_string(), "the secret was withdrawn");
    assert_eq!(api.count(), 0);
}

/// Without a scheme it speaks to a proxy, which is not whom the token is for; with one it is an extended CONNECT (RFC
/// 8441), such as opens a WebSocket over HTTP/2.
#[tokio::test(start_paused = true)]
async fn a_connect_request_gets_a_token_where_it_speaks_to_the_origin_and_none_where_it_speaks_to_a_proxy() {
    let connect = |uri: &str| Request::builder().method(Method::CONNECT).uri(uri).body(Full::default());
    let table = [
        ("api.example.com:443", None),
        ("/", None),
        ("https://api.example.com/chat", Some("token-1")),
        ("https://elsewhere.example.com/chat", None),
    ];
    for fetched in [false, true] {
        let (tokens, source) = api_tokens();
        if fetched {
            tokens.token().await.expect("a token");
        }
        for (uri, expected) in table {
            let api = Api::open();
            let layer = BearerAuthLayer::new(tokens.clone()).for_origin("https://api.example.com").expect("an origin");
            layer.layer(api.clone()).oneshot(connect(uri).expect("a request")).await.expect("a response");
            assert_eq!(bearer(&api.seen()[0]), expected, "{uri}");
        }
        assert_eq!(source.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_marked_without_token_is_sent_without_one_and_none_is_requested() {
    let (tokens, source) = api_tokens();
    let api = Api::open();
    let service = BearerAuthLayer::new(tokens.clone()).layer(api.clone());
    // Not even one that names no host: there is nothing to check.
    for url in [URL, "/healthz"] {
        let mut request = get(url);
        request.extensions_mut().insert(WithoutToken);
        service.clone().oneshot(request).await.expect("a response");
    }
    assert_eq!(source.count(), 0);
    tokens.token().await.expect("a token");
    let mut request = get(URL);
    request.extensions_mut().insert(WithoutToken);
    service.clone().oneshot(request).await.expect("a response");
    service.oneshot(get(URL)).await.expect("a response");
    let seen = api.seen();
    assert_eq!(seen.iter().map(bearer).collect::<Vec<_>>(), [None, None, None, Some("token-1")]);
}

/// The user's own client serves both, so that the token request goes through the adapter that waits for its token.
#[tokio::test]
async fn a_token_request_through_the_same_stack_does_not_wait_for_itself() {
    let api = Api::new(|request| match request.uri().path() {
        "/oauth2/token" => Response::new(Full::from(r#"{"access_token":"abcde","token_type":"Bearer"}"#)),
        _ => Response::default(),
    });
    let client = Late::default();
    let source = ClientCredentials::builder("https://api.example.com/oauth2/token", "abcde", "12345")
        .origin("https://api.example.com")
        .http_client(client.clone())
        .build()
        .expect("a source");
    let service = BearerAuthLayer::new(TokenCache::from(source)).layer(api.clone());
    assert!(client.0.set(TowerClient::new(service.clone())).is_ok());
    let response = tokio::time::timeout(Duration::from_secs(5), service.oneshot(get(URL))).await.expect("no deadlock");
    assert_eq!(response.expect("a response").status(), StatusCode::OK);
    let seen = api.seen();
    assert_eq!(seen.iter().map(bearer).collect::<Vec<_>>(), [None, Some("abcde")]);
}

type Stack = TowerClient<BearerAuth<Api>, Full<Bytes>>;

#[derive(Clone, Default)]
struct Late(Arc<OnceLock<Stack>>);

#[async_trait]
impl HttpClient for Late {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        self.0.get().expect("it was set").send(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_request_of_another_source_is_sent_without_a_token() {
    let (builder, other) = tokens();
    let endpoint = Api::new(|_| Response::new(Full::from(r#"{"access_token":"abcde","token_type":"Bearer"}"#)));
    let client = BearerAuthLayer::new(builder.any_origin().build().expect("a cache")).layer(endpoint.clone());
    let source = ClientCredentials::builder("https://auth.example.com/token", "abcde", "12345")
        .any_origin()
        .http_client(TowerClient::<_, Full<Bytes>>::new(client))
        .build()
        .expect("a source");
    assert_eq!(TokenCache::from(source).token().await.expect("a token").expose_secret(), "abcde");
    assert_eq!(bearer(&endpoint.seen()[0]), None);
    assert_eq!(other.count(), 0);
}

/// A source of one's own has no marker for its requests.
#[tokio::test(start_paused = true)]
async fn a_source_that_sends_through_the_stack_that_waits_for_it_fails_at_once() {
    let stack = Arc::<OnceLock<BearerAuth<Api>>>::default();
    let late = Arc::clone(&stack);
    let source = token_fn(move |_| {
        let stack = late.get().expect("it was set").clone();
        async move {
            stack.oneshot(get("https://auth.example.com/token")).await.map_err(Error::transient)?;
            AccessToken::new("abcde")
        }
    });
    let api = Api::open();
    let tokens = TokenCache::builder(source).any_origin().clock(Clock::tokio()).build().expect("a cache");
    let service = BearerAuthLayer::new(tokens.clone()).layer(api.clone());
    assert!(stack.set(service.clone()).is_ok());
    let sent = tokio::time::Instant::now();
    let error = service.oneshot(get(URL)).await.expect_err("no token");
    assert_eq!((sent.elapsed(), api.count()), (Duration::ZERO, 0));
    let error = Error::find(&*error).expect("ours");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let cause = std::error::Error::source(error).expect("a cause").to_string();
    assert!(cause.contains("wait for itself") && cause.contains("a client of its own"), "{cause}");

    // Another token of the same cache is no circle, such as one that is exchanged for it.
    let within = Arc::<OnceLock<TokenCache>>::default();
    let late = Arc::clone(&within);
    let source = token_fn(move |request: TokenRequest| {
        let tokens = late.get().expect("it was set").clone();
        async move {
            match request.scope() {
                Some(scope) => AccessToken::new(format!("{}-for-{scope}", tokens.token().await?.expose_secret())),
                None => AccessToken::new("first"),
            }
        }
    });
    let tokens = TokenCache::builder(source).any_origin().clock(Clock::tokio()).build().expect("a cache");
    assert!(within.set(tokens.clone()).is_ok());
    let orders = TokenRequest::builder().scope("orders").build().expect("a token request");
    assert_eq!(tokens.token_for(&orders).await.expect("a token").expose_secret(), "first-for-orders");
}

/// Promise of the hot path: a cached token is attached in `call` itself.
#[test]
fn a_cached_token_is_attached_outside_of_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let source = AccessToken::new("abcde").expect("a token");
    let tokens = TokenCache::builder(source).any_origin().build().expect("a cache");
    runtime.block_on(tokens.token()).expect("a token");
    drop(runtime);
    let api = Api::open();
    let mut service = BearerAuthLayer::new(tokens).layer(api.clone());
    let future = service.call(get(URL));
    assert_eq!(bearer(&api.seen()[0]), Some("abcde"));
    assert!(futures_now(future).expect("ready at once").is_ok());
}

fn futures_now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_room_for_its_token_is_sent_without_it_and_its_401_rejects_no_token() {
    let (tokens, source) = api_tokens();
    let api = Api::accepting("none", Some("Bearer error=\"invalid_token\""));
    let service = BearerAuthLayer::new(tokens).layer(api.clone());
    // The first waits for its token, which is cached for the second.
    for number in 0..2 {
        let response = service.clone().oneshot(with_all_headers_used(get(URL))).await.expect("a response");
        assert_eq!((response.status(), bearer(&api.seen()[number])), (StatusCode::UNAUTHORIZED, None));
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(source.count(), 1);
}

fn with_all_headers_used<B>(mut request: Request<B>) -> Request<B> {
    for number in 0.. {
        let name = http::HeaderName::try_from(format!("x-{number}")).expect("a name");
        if request.headers_mut().try_insert(name, http::HeaderValue::from_static("x")).is_err() {
            break;
        }
    }
    request
}
