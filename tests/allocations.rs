//! While there is a token, attaching it allocates nothing. A binary of its own, since it counts what the allocator
//! does.

#[path = "it/support/mod.rs"]
mod support;

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use bytes::Bytes;
use client_credentials::{AccessToken, BearerAuthLayer, Error, TokenCache, TokenHeader, TokenRequest, token_fn};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};

async fn tokens() -> TokenCache {
    let token = AccessToken::new("abcde12345").expect("a token");
    let tokens = TokenCache::builder(token).origin("https://api.example.com").build().expect("a cache");
    tokens.token().await.expect("a token");
    tokens
}

/// The allocations of one request through this service, which responds at once.
fn allocations<S: Service<Req>, Req>(service: &mut S, request: Req) -> u64 {
    let mut request = Some(request);
    let counted = measure(|| {
        let future = pin!(service.call(request.take().expect("it is measured once")));
        assert!(matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_))));
    });
    counted.count_total
}

#[tokio::test]
async fn an_http_request_gets_its_token_without_an_allocation() {
    let inner = service_fn(|_: http::Request<Full<Bytes>>| ready(Ok::<_, Infallible>(http::Response::new(()))));
    let mut service = BearerAuthLayer::new(tokens().await).layer(inner);
    let request = || {
        let request = http::Request::get("https://api.example.com/stats").header("accept", "application/json");
        request.body(Full::<Bytes>::default()).expect("a request")
    };
    let counted = measure(|| drop(request()));
    assert!(counted.count_total > 0, "the counter counts");
    for _ in 0..3 {
        assert_eq!(allocations(&mut service, request()), 0);
    }
}

/// But for the first one, which makes the header's value.
#[tokio::test]
async fn nor_does_one_in_another_header_or_for_a_service_of_one_origin_or_beside_a_host_header() {
    let inner = service_fn(|_: http::Request<()>| ready(Ok::<_, Infallible>(http::Response::new(()))));
    let layer = BearerAuthLayer::new(tokens().await).for_origin("https://api.example.com").expect("an origin");
    let header = TokenHeader::for_client_without_redirects("x-api-token", "Token").expect("a token header");
    for layer in [layer.clone(), layer.with_header(header)] {
        let mut service = layer.layer(inner);
        let request = |url: &str| {
            let request = http::Request::get(url).header("host", "api.example.com");
            request.body(()).expect("a request")
        };
        allocations(&mut service, request("/stats"));
        for url in ["/stats", "https://api.example.com/stats"] {
            assert_eq!(allocations(&mut service, request(url)), 0, "{url}");
        }
    }
}

#[tokio::test]
async fn nor_does_one_with_a_key_but_for_the_first_one_of_each_thread() {
    let inner = service_fn(|_: http::Request<()>| ready(Ok::<_, Infallible>(http::Response::new(()))));
    let tokens = tokens().await;
    let key = TokenRequest::builder().scope("a").build().expect("a token request");
    tokens.token_for(&key).await.expect("a token");
    let mut service = BearerAuthLayer::new(tokens).layer(inner);
    let request = move || {
        let request = http::Request::get("https://api.example.com/stats").header("accept", "application/json");
        request.extension(key.clone()).body(()).expect("a request")
    };
    assert_eq!(allocations(&mut service, request()), 0);
    let on_another_thread = move || {
        assert!(allocations(&mut service, request()) > 0, "it copies the token");
        (0..3).for_each(|_| assert_eq!(allocations(&mut service, request()), 0));
    };
    std::thread::spawn(on_another_thread).join().expect("no assertion failed");
}

#[test]
fn a_cache_that_is_dropped_leaves_no_token_behind() {
    let inner = service_fn(|_: http::Request<()>| ready(Ok::<_, Infallible>(http::Response::new(()))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let use_and_drop = || {
        let tokens = runtime.block_on(tokens());
        let mut service = BearerAuthLayer::new(tokens.clone()).layer(inner);
        for key in 0..100 {
            let key = TokenRequest::builder().scope(format!("tenant-{key}")).build().expect("a token request");
            runtime.block_on(tokens.token_for(&key)).expect("a token");
            let request = http::Request::get("https://api.example.com/").header("accept", "application/json");
            let request = request.extension(key).body(()).expect("a request");
            assert_eq!(allocations(&mut service, request), 0);
        }
    };
    use_and_drop();
    assert_eq!(measure(use_and_drop).bytes_current, 0);
}

#[tokio::test]
async fn a_request_of_another_origin_goes_on_without_an_allocation_of_ours_but_for_its_name() {
    let inner = service_fn(|_: http::Request<()>| ready(Ok::<_, Infallible>(http::Response::new(()))));
    let mut service = BearerAuthLayer::new(tokens().await).layer(inner);
    let request = || http::Request::get("https://elsewhere.test/").body(()).expect("a request");
    allocations(&mut service, request());
    assert!(allocations(&mut service, request()) <= 4);
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn a_reqwest_request_gets_its_token_without_an_allocation() {
    let response = std::sync::Mutex::new(None);
    let inner = service_fn(|_: reqwest::Request| {
        ready(Ok::<reqwest::Response, Infallible>(response.lock().expect("no panic").take().expect("a response")))
    });
    let mut service = BearerAuthLayer::new(tokens().await).layer(inner);
    for _ in 0..3 {
        *response.lock().expect("no panic") = Some(http::Response::new("").into());
        let mut request =
            reqwest::Request::new(http::Method::GET, "https://api.example.com/stats".parse().expect("a URL"));
        request.headers_mut().insert("accept", http::HeaderValue::from_static("application/json"));
        assert_eq!(allocations(&mut service, request), 0);
    }
}

/// Each is remembered for a while, so that it is not asked for again at once; but no more of them than the bound allows
/// for, twice.
#[test]
fn tokens_that_are_refused_keep_no_more_memory_than_the_bound_allows_for() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let source = token_fn(|_| ready(Err(Error::permanent("no such tenant"))));
    let tokens = TokenCache::builder(source).any_origin().most_keys(100).build().expect("a cache");
    let kept = |from: usize, to: usize| {
        let ask = async {
            for tenant in from..to {
                let request = TokenRequest::builder().scope(format!("tenant-{tenant}")).build().expect("a request");
                tokens.token_for(&request).await.expect_err("refused");
            }
        };
        measure(|| runtime.block_on(ask)).bytes_current
    };
    let first = kept(0, 250);
    assert!(first > 0, "the counter counts");
    let later = kept(250, 5_000);
    assert!(later < first / 4, "{later} bytes more, after {first} for those that the bound allows for");
}
