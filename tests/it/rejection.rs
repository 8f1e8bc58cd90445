//! A token that an API rejects before it expired: replaced once for all, and the request sent again. And what callers
//! get while no other token can be obtained.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{
    api::{Api, Body, api_tokens, bearer, rejection, tokens},
    get,
    source::{Source, down, millis},
};
use client_credentials::{BearerAuthLayer, Clock, TryClone, WithoutToken, grpc_unauthenticated, replay_fn};
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, HOST},
};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, ServiceExt};

const URL: &str = "https://api.example.com/stats";
const EXPLICIT: Option<&str> = Some("Bearer error=\"invalid_token\"");

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_renewed_and_the_request_sent_once_more() {
    for challenge in [EXPLICIT, Some("Bearer"), None] {
        let (tokens, source) = api_tokens();
        let api = Api::accepting("token-2", challenge);
        let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api.clone());
        let response = service.oneshot(get(URL)).await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK, "{challenge:?}");
        assert_eq!(source.count(), 2);
        assert_eq!(api.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_rejection_reaches_the_caller() {
    let (tokens, source) = api_tokens();
    let api = Api::accepting("none", EXPLICIT);
    let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api.clone());
    let response = service.oneshot(get(URL)).await.expect("a response");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((source.count(), api.count()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn responses_that_are_not_about_the_token_cause_neither_renewal_nor_replay() {
    let response = |status: u16, challenge: Option<&str>| {
        let mut response = rejection(challenge);
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        response
    };
    let table = [
        (401, Some("Bearer error=\"insufficient_scope\", scope=\"admin\"")),
        (401, Some("Basic realm=\"api\"")),
        (403, EXPLICIT),
        (403, None),
        (407, EXPLICIT),
        (200, EXPLICIT),
        (500, None),
    ];
    for (status, challenge) in table {
        let (tokens, source) = api_tokens();
        let api = Api::new(move |_| response(status, challenge));
        let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api.clone());
        assert_eq!(service.oneshot(get(URL)).await.expect("a response").status(), status);
        sleep(Duration::from_secs(5)).await;
        assert_eq!((source.count(), api.count()), (1, 1), "{status} {challenge:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_401_to_the_callers_own_header_rejects_no_token() {
    let (tokens, source) = api_tokens();
    tokens.token().await.expect("a token");
    let api = Api::accepting("token-2", EXPLICIT);
    let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api.clone());
    // Even where it repeats our token.
    let mut request = get(URL);
    request.headers_mut().insert(AUTHORIZATION, "Bearer token-1".parse().expect("a value"));
    assert_eq!(service.oneshot(request).await.expect("a response").status(), StatusCode::UNAUTHORIZED);
    sleep(Duration::from_secs(5)).await;
    assert_eq!((source.count(), api.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_leaves_the_401_to_the_caller_with_its_body() {
    let source = Source::new();
    let tokens = source.cache();
    tokens.token().await.expect("a token");
    source.respond(down());
    let api = Api::accepting("token-2", EXPLICIT);
    let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api.clone());
    let response = service.clone().oneshot(get(URL)).await.expect("a response, not an error");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "who are you?");
    // While renewals are held back, the rejection costs the caller nothing.
    let sent = Instant::now();
    let response = service.oneshot(get(URL)).await.expect("a response");
    assert_eq!((response.status(), sent.elapsed()), (StatusCode::UNAUTHORIZED, Duration::ZERO));
    assert_eq!(api.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_rejected_in_flight_without_replay_make_one_token_request() {
    for challenge in [EXPLICIT, None] {
        let (tokens, source) = api_tokens();
        tokens.token().await.expect("a token");
        advance(Duration::from_secs(60)).await;
        let api = Api::accepting("token-2", challenge);
        let slow = tower::ServiceBuilder::new().map_future(|response| async {
            sleep(Duration::from_millis(10)).await;
            response.await
        });
        let service = BearerAuthLayer::new(tokens).layer(slow.service(api.clone()));
        let callers: Vec<_> = (0..100).map(|_| tokio::spawn(service.clone().oneshot(get(URL)))).collect();
        for caller in callers {
            let response = caller.await.expect("no panic").expect("a response");
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "who are you?");
            // Whoever has the 401 finds the new token, whatever becomes of the others; after one that gives no reason,
            // as soon as there is one.
            sleep(Duration::from_millis(if challenge.is_some() { 0 } else { 100 })).await;
            assert_eq!(service.clone().oneshot(get(URL)).await.expect("a response").status(), StatusCode::OK);
        }
        assert_eq!((source.count(), api.count()), (2, 200));
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_function_says_which_requests_are_sent_again() {
    let (tokens, _) = api_tokens();
    let api = Api::accepting("token-2", EXPLICIT);
    let only_get = replay_fn(|request: &Request<Body>| (request.method() == Method::GET).then(|| request.clone()));
    let service = BearerAuthLayer::new(tokens).with_replay(only_get).layer(api.clone());
    let post = Request::post(URL).body(Full::from("once")).expect("a request");
    assert_eq!(service.clone().oneshot(post).await.expect("a response").status(), StatusCode::UNAUTHORIZED);
    assert_eq!(service.oneshot(get(URL)).await.expect("a response").status(), StatusCode::OK);
    assert_eq!(api.seen().iter().filter(|request| request.method() == Method::POST).count(), 1);
}

/// A copy allocates, and the function may do more than that.
#[tokio::test(start_paused = true)]
async fn only_a_request_that_gets_a_token_is_copied_and_only_once() {
    let (tokens, _) = api_tokens();
    let copies = Arc::new(AtomicUsize::new(0));
    let counted = copies.clone();
    let counting = replay_fn(move |request: &Request<Body>| {
        counted.fetch_add(1, Ordering::Relaxed);
        assert!(!request.headers().contains_key(AUTHORIZATION), "it is copied without the token");
        Some(request.clone())
    });
    let service = BearerAuthLayer::new(tokens).with_replay(counting).layer(Api::open());
    let mut public = get(URL);
    public.extensions_mut().insert(WithoutToken);
    let mut with_host = get(URL);
    with_host.headers_mut().insert(HOST, HeaderValue::from_static("api.example.com"));
    let foreign = get("https://elsewhere.example.com");
    // The first request with a token waits for it, the second one does not.
    for (request, copied) in [(foreign, false), (get(URL), true), (get(URL), true), (with_host, true), (public, false)]
    {
        copies.store(0, Ordering::Relaxed);
        let uri = request.uri().clone();
        service.clone().oneshot(request).await.expect("a response");
        assert_eq!(copies.load(Ordering::Relaxed), usize::from(copied), "{uri}");
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Mark(u8);

#[tokio::test(start_paused = true)]
async fn the_request_that_is_sent_again_is_the_original_one() {
    let (tokens, _) = api_tokens();
    let api = Api::accepting("token-2", EXPLICIT);
    let request = Request::put("https://api.example.com/a%20b/?q=1&q=2")
        .version(Version::HTTP_2)
        .header("x-one", "1")
        .header("x-two", "first")
        .header("x-two", "second")
        .extension(Mark(7))
        .body(Full::from("the body"))
        .expect("a request");
    let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api.clone());
    assert_eq!(service.oneshot(request).await.expect("a response").status(), StatusCode::OK);
    let seen = api.seen();
    assert_eq!(seen.len(), 2);
    for (request, token) in seen.into_iter().zip(["Bearer token-1", "Bearer token-2"]) {
        assert_eq!(request.method(), Method::PUT);
        assert_eq!(request.uri(), "https://api.example.com/a%20b/?q=1&q=2");
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers().len(), 4);
        assert_eq!(request.headers().get_all("x-two").iter().collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(request.headers().get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), [token]);
        assert_eq!(request.extensions().get(), Some(&Mark(7)));
        assert_eq!(request.into_body().collect().await.expect("a body").to_bytes(), "the body");
    }
}

/// Some servers respond to a dead token with a challenge of another scheme.
#[tokio::test(start_paused = true)]
async fn a_predicate_may_count_a_401_whose_challenge_is_of_another_scheme_or_gives_another_reason() {
    for challenge in ["Token", "Basic realm=\"api\"", "Bearer error=\"expired_token\""] {
        let (tokens, source) = api_tokens();
        let layer = BearerAuthLayer::new(tokens).with_replay(TryClone);
        let layer = layer.with_rejection(|status, _| status == StatusCode::UNAUTHORIZED);
        let service = layer.layer(Api::accepting("token-2", Some(challenge)));
        assert_eq!(service.oneshot(get(URL)).await.expect("a response").status(), StatusCode::OK, "{challenge}");
        assert_eq!(source.count(), 2);
    }
}

/// In HTTP/2 responses whose content type is gRPC's; in others with the predicate for it. A response with a body has
/// its status in the trailers.
#[tokio::test(start_paused = true)]
async fn grpc_status_16_without_trailers_counts_as_a_rejection() {
    const GRPC: &str = "application/grpc";
    let table = [
        (Version::HTTP_2, GRPC, Some("16"), false, true),
        (Version::HTTP_2, "application/grpc+proto", Some("16"), false, true),
        (Version::HTTP_2, GRPC, Some("7"), false, false),
        (Version::HTTP_2, GRPC, Some("0"), false, false),
        (Version::HTTP_2, "application/json", Some("16"), false, false),
        (Version::HTTP_11, GRPC, Some("16"), false, false),
        (Version::HTTP_11, GRPC, Some("16"), true, true),
        (Version::HTTP_11, GRPC, Some("7"), true, false),
        (Version::HTTP_11, GRPC, Some("0"), true, false),
        (Version::HTTP_2, GRPC, None, true, false),
    ];
    for (version, content_type, status, by_predicate, renewed) in table {
        let (tokens, source) = api_tokens();
        let api = Api::new(move |request| {
            let status = if bearer(request) == Some("token-1") { status } else { Some("0") };
            let mut response = Response::builder().version(version).header("content-type", content_type);
            if let Some(status) = status {
                response = response.header("grpc-status", status);
            }
            response.body(Full::default()).expect("a response")
        });
        let layer = BearerAuthLayer::new(tokens).with_replay(TryClone);
        let layer = if by_predicate { layer.with_rejection(grpc_unauthenticated) } else { layer };
        layer.layer(api).oneshot(get(URL)).await.expect("a response");
        sleep(Duration::from_secs(5)).await;
        assert_eq!(source.count() == 2, renewed, "{version:?} {content_type} {status:?}, predicate: {by_predicate}");
    }
}

#[tokio::test(start_paused = true)]
async fn predicates_count_other_responses_as_rejections_by_status_or_headers() {
    for (rejecting, renewed) in [(403, true), (418, true), (400, false)] {
        let (tokens, source) = api_tokens();
        let api = Api::new(move |request| {
            let status = if bearer(request) == Some("token-1") { rejecting } else { 200 };
            let response = Response::builder().status(status).header("x-reason", "expired");
            response.body(Full::default()).expect("a response")
        });
        let layer = BearerAuthLayer::new(tokens)
            .with_replay(TryClone)
            .with_rejection(|status, headers| status == StatusCode::FORBIDDEN && headers["x-reason"] == "expired")
            .with_rejection(|status, _| status == StatusCode::IM_A_TEAPOT);
        let status = layer.layer(api).oneshot(get(URL)).await.expect("a response").status();
        assert_eq!((status == StatusCode::OK, source.count() == 2), (renewed, renewed), "{rejecting}");
    }
}

/// The clocks are moved by hand: outside of a runtime, tokio's cannot be paused.
#[test]
fn a_rejection_from_a_thread_without_a_runtime_holds_until_another_was_requested() {
    let (source, clock) = (Source::new(), Clock::tokio());
    let tokens = source.builder().clock(clock.clone()).build().expect("complete");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let first = runtime.block_on(tokens.token()).expect("a token");
    clock.jump_wall_clock(60_000);
    let cached = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            tokens.reject(&first);
            tokens.try_token().map(|token| token.expose_secret().to_owned())
        });
        other.join().expect("no panic")
    });
    assert_eq!(cached.as_deref(), Some("token-1"), "no other can be obtained there");
    clock.jump_wall_clock(6_000);
    assert_eq!(runtime.block_on(tokens.token()).expect("a token").expose_secret(), "token-2");
}

/// The 65th counts together with the first.
#[tokio::test(start_paused = true)]
async fn the_rejections_of_one_named_origin_hold_back_no_other_of_64() {
    let (builder, source) = tokens();
    let builder = (0..65).fold(builder, |builder, at| builder.origin(format!("https://api-{at}.example.com")));
    let service = BearerAuthLayer::new(builder.build().expect("a cache")).layer(Api::accepting("none", EXPLICIT));
    for at in [0, 1, 63, 64, 64] {
        service.clone().oneshot(get(&format!("https://api-{at}.example.com/"))).await.expect("a response");
        sleep(millis(1100)).await;
    }
    assert_eq!(source.count(), 1 + 3);
}
