//! A request's own time limit bounds its wait for a token, and what remains of it is left to the send.

use std::time::Duration;

use crate::support::{
    api::{Api, Body, api_tokens, rejection},
    get,
    source::{Outcome, Source},
};
use client_credentials::{BearerAuthLayer, Error, ErrorKind, TokenCache, TryClone};
use http::{Request, StatusCode};
use tokio::time::{Instant, advance};
use tower::{Layer, ServiceExt};

const LIMIT: Duration = Duration::from_millis(300);

/// Over a source that hangs after its first token.
async fn with_a_token_that_is_not_renewed() -> TokenCache {
    let source = Source::new();
    let tokens = source.cache();
    tokens.token().await.expect("a token");
    source.respond(Outcome::Hangs);
    advance(Duration::from_secs(60)).await;
    tokens
}

fn without_a_token() -> TokenCache {
    let source = Source::new();
    source.respond(Outcome::Hangs);
    source.cache()
}

fn call(timeout: &str) -> Request<Body> {
    let mut request = get("https://orders.internal:50051/orders.Orders/List");
    request.headers_mut().insert("grpc-timeout", timeout.parse().expect("a value"));
    request
}

#[tokio::test(start_paused = true)]
async fn a_grpc_timeout_bounds_the_wait_for_a_first_token_and_stays_on_the_request() {
    let api = Api::open();
    let service = BearerAuthLayer::new(without_a_token()).layer(api.clone());
    let sent = Instant::now();
    let error = service.oneshot(call("300m")).await.expect_err("no token");
    let error = Error::find(&*error).expect("ours");
    assert_eq!((error.kind(), error.is_transient(), sent.elapsed()), (ErrorKind::Timeout, true, LIMIT));
    assert_eq!(api.count(), 0);

    let (tokens, _) = api_tokens();
    let service = BearerAuthLayer::new(tokens).layer(api.clone());
    let mut request = call("300m");
    *request.uri_mut() = "https://api.example.com/".parse().expect("a URI");
    service.oneshot(request).await.expect("a response");
    assert_eq!(api.seen()[0].headers()["grpc-timeout"], "300m");
}

#[tokio::test(start_paused = true)]
async fn a_grpc_timeout_bounds_the_wait_for_another_token_and_the_401_is_returned() {
    let tokens = with_a_token_that_is_not_renewed().await;
    let api = Api::new(|_| rejection(Some("Bearer error=\"invalid_token\"")));
    let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api);
    let sent = Instant::now();
    let response = service.oneshot(call("300m")).await.expect("a response");
    assert_eq!((response.status(), sent.elapsed()), (StatusCode::UNAUTHORIZED, LIMIT));
}

#[cfg(feature = "reqwest-middleware")]
mod reqwest_requests {
    use std::sync::{Arc, Mutex};

    use client_credentials::{AccessToken, BearerAuthMiddleware, async_trait};
    use http::Extensions;
    use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};

    use super::*;

    /// An API that takes so long, returns 401 to the first token, and sees which time limits are left.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<Option<Duration>>>>);

    const TAKES: Duration = Duration::from_millis(20);

    #[async_trait]
    impl Middleware for Seen {
        async fn handle(
            &self,
            request: reqwest::Request,
            _: &mut Extensions,
            _: Next<'_>,
        ) -> reqwest_middleware::Result<reqwest::Response> {
            use reqwest::ResponseBuilderExt;
            self.0.lock().expect("no panic").push(request.timeout().copied());
            tokio::time::sleep(TAKES).await;
            let good = request.headers()["authorization"] != "Bearer token-1";
            let response = http::Response::builder().status(if good { 200 } else { 401 }).url(request.url().clone());
            Ok(response.body("").expect("a response").into())
        }
    }

    fn client(tokens: TokenCache) -> (ClientWithMiddleware, Seen) {
        let seen = Seen::default();
        let client = ClientBuilder::new(reqwest::Client::new()).with(BearerAuthMiddleware::new(tokens));
        (client.with(seen.clone()).build(), seen)
    }

    #[tokio::test(start_paused = true)]
    async fn a_requests_timeout_bounds_the_wait_for_a_first_token() {
        let (client, seen) = client(without_a_token());
        let sent = Instant::now();
        let error = client.get("https://api.example.com/").timeout(LIMIT).send().await.expect_err("no token");
        assert_eq!(Error::find(&error).expect("ours").kind(), ErrorKind::Timeout);
        assert_eq!((sent.elapsed(), seen.0.lock().expect("no panic").len()), (LIMIT, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_remains_is_left_to_the_send_and_to_the_second_one() {
        let (tokens, _) = api_tokens();
        let (client, seen) = client(tokens.clone());
        let limit = Duration::from_secs(5);
        let response = client.get("https://api.example.com/").timeout(limit).send().await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        let seen = seen.0.lock().expect("no panic").clone();
        let [Some(first), Some(second)] = seen[..] else { panic!("{seen:?}") };
        // A token takes 50 ms, the second one a second after the first.
        assert_eq!(first, limit - Duration::from_millis(50));
        assert!(second <= limit - Duration::from_secs(1) && second > limit - Duration::from_secs(2), "{second:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn over_the_layer_the_first_send_counts_too() {
        use reqwest::ResponseBuilderExt;
        let seen = Seen::default();
        let left = Seen::clone(&seen);
        let api = tower::service_fn(move |request: reqwest::Request| {
            let mut seen = left.0.lock().expect("no panic");
            seen.push(request.timeout().copied());
            let response = http::Response::builder().status(if seen.len() == 1 { 401 } else { 200 });
            let response = response.url(request.url().clone()).body("").expect("a response");
            async move {
                tokio::time::sleep(Duration::from_secs(3)).await;
                Ok::<_, std::convert::Infallible>(reqwest::Response::from(response))
            }
        });
        let (tokens, _) = api_tokens();
        tokens.token().await.expect("a token");
        let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api);
        let mut request = reqwest::Request::new(http::Method::GET, "https://api.example.com/".parse().expect("a URL"));
        *request.timeout_mut() = Some(Duration::from_secs(5));
        let response = service.oneshot(request).await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        let seen = seen.0.lock().expect("no panic").clone();
        let [Some(first), Some(second)] = seen[..] else { panic!("{seen:?}") };
        assert_eq!(first, Duration::from_secs(5));
        assert!(second <= Duration::from_secs(2), "{second:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_wait_or_without_a_limit_is_unchanged() {
        let tokens = TokenCache::builder(AccessToken::new("token-2").expect("a token"));
        let tokens = tokens.any_origin().build().expect("a cache");
        tokens.token().await.expect("a token");
        let (client, seen) = client(tokens);
        client.get("https://api.example.com/").timeout(LIMIT).send().await.expect("a response");
        client.get("https://api.example.com/").send().await.expect("a response");
        // No limit is longer than what can be added to a time.
        client.get("https://api.example.com/").timeout(Duration::MAX).send().await.expect("a response");
        assert_eq!(*seen.0.lock().expect("no panic"), [Some(LIMIT), None, Some(Duration::MAX)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_requests_timeout_bounds_the_wait_for_another_token_and_the_401_is_returned() {
        let (client, _) = client(with_a_token_that_is_not_renewed().await);
        let sent = Instant::now();
        let explicit = client.get("https://api.example.com/").timeout(LIMIT).send().await.expect("a response");
        assert_eq!((explicit.status(), sent.elapsed()), (StatusCode::UNAUTHORIZED, LIMIT));
    }
}
