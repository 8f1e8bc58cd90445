//! What tower expects of a middleware, driven by hand.

use crate::support;
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::support::{
    api::{Body, api_tokens, bearer, rejection},
    get,
    source::{Outcome, Source},
};
use client_credentials::{BearerAuthLayer, Error, TryClone};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

const URL: &str = "https://api.example.com/stats";

fn now<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A cached token: the request is with the inner service when `call` returns, as with every layer of tower.
#[tokio::test(start_paused = true)]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    let (tokens, _) = api_tokens();
    let layer = BearerAuthLayer::new(tokens.clone());
    let (mut service, mut handle) = mock::spawn_layer::<Request<Body>, Response<Body>, _>(layer);
    // `Mock` panics where it is called without having been polled ready.
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    // Without a token: the ready service waits along.
    let waiting = tokio::spawn(service.call(get(URL)));
    let (request, response) = handle.next_request().await.expect("a request");
    assert_eq!(bearer(&request), Some("token-1"));
    response.send_response(Response::default());
    waiting.await.expect("no panic").expect("a response");
    // The one that stayed must be polled again, and with a token it is called at once.
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let _sent = service.call(get(URL));
    let (request, _response) = handle.next_request().await.expect("a request");
    assert_eq!(bearer(&request), Some("token-1"));
}

#[tokio::test(start_paused = true)]
async fn readiness_is_polled_again_before_a_replay() {
    let (tokens, _) = api_tokens();
    let layer = BearerAuthLayer::new(tokens).with_replay(TryClone);
    let (mut service, mut handle) = mock::spawn_layer::<Request<Body>, Response<Body>, _>(layer);
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let sent = tokio::spawn(service.call(get(URL)));
    let (_, response) = handle.next_request().await.expect("a request");
    response.send_response(rejection(None));
    tokio::time::sleep(Duration::from_secs(5)).await;
    // The new token is there long since, but nobody was allowed to send again.
    assert!(!sent.is_finished());
    handle.allow(1);
    let (request, response) = handle.next_request().await.expect("the replay");
    assert_eq!(bearer(&request), Some("token-2"));
    response.send_response(Response::default());
    assert_eq!(sent.await.expect("no panic").expect("a response").status(), StatusCode::OK);
}

/// A client in whose pool there is one connection: an unread response holds it.
#[tokio::test(start_paused = true)]
async fn the_rejected_response_is_dropped_before_readiness_is_polled() {
    let (tokens, _) = api_tokens();
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let inner = tower::service_fn({
        let permits = std::sync::Arc::clone(&permits);
        move |request: Request<Body>| {
            let permits = std::sync::Arc::clone(&permits);
            async move {
                let permit = permits.acquire_owned().await.expect("not closed");
                let status = if bearer(&request) == Some("token-2") { 200 } else { 401 };
                Ok::<_, std::convert::Infallible>(
                    Response::builder().status(status).body(Some(permit)).expect("a response"),
                )
            }
        }
    });
    let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(inner);
    let response = tokio::time::timeout(Duration::from_secs(60), service.oneshot(get(URL))).await;
    assert_eq!(response.expect("no deadlock").expect("a response").status(), StatusCode::OK);
}

#[derive(Debug, PartialEq)]
struct Broken(u8);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_service_passes_through_unchanged() {
    let (tokens, _) = api_tokens();
    let inner = tower::service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>(Broken(7)) });
    let service = BearerAuthLayer::new(tokens.clone()).layer(inner);
    for round in ["with a wait for the token", "with a cached token"] {
        let error = service.clone().oneshot(get(URL)).await.expect_err("it is broken");
        assert_eq!(error.downcast_ref(), Some(&Broken(7)), "{round}");
        assert!(Error::find(&*error).is_none());
    }
    // One that is boxed already is not boxed again.
    let boxed = BearerAuthLayer::new(tokens).layer(inner.map_err(tower::BoxError::from));
    let error = boxed.oneshot(get(URL)).await.expect_err("it is broken");
    assert_eq!(error.downcast_ref(), Some(&Broken(7)));
}

#[tokio::test(start_paused = true)]
async fn readiness_is_that_of_the_service_and_knows_nothing_of_tokens() {
    let source = Source::new();
    source.respond(Outcome::Fails(Error::permanent("no token for you")));
    let layer = BearerAuthLayer::new(source.cache());
    let (mut service, mut handle) = mock::spawn_layer::<Request<Body>, Response<Body>, _>(layer);
    handle.allow(2);
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
    assert_eq!(source.count(), 0);
    assert!(Error::find(&*service.call(get(URL)).await.expect_err("no token")).is_some());
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
    handle.send_error(Broken(1));
    assert!(matches!(service.poll_ready(), Poll::Ready(Err(_))));
}

#[tokio::test(start_paused = true)]
async fn nothing_of_ours_starts_before_the_future_is_polled() {
    let (tokens, source) = api_tokens();
    let api = support::api::Api::open();
    let mut service = BearerAuthLayer::new(tokens.clone()).layer(api.clone());
    drop(service.call(get(URL)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((source.count(), api.count()), (0, 0), "no token request, and nothing sent");
    // The same for a renewal that is due.
    tokens.token().await.expect("a token");
    tokio::time::advance(Duration::from_secs(3000)).await;
    drop(service.call(get(URL)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(source.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_future_may_be_dropped_at_any_point() {
    // Dropped after so many polls, with time passing between them: while it waits for a token, for the response, for
    // another token, for readiness, for the second response.
    for polls in 0..40 {
        let (tokens, source) = api_tokens();
        let inner = tower::service_fn(|request: Request<Body>| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let good = bearer(&request) == Some("token-2");
            Ok::<_, Broken>(if good { Response::default() } else { rejection(None) })
        });
        let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(inner);
        {
            let mut future = pin!(service.clone().oneshot(get(URL)));
            for _ in 0..polls {
                if now(future.as_mut()).is_ready() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        }
        let response = service.oneshot(get(URL)).await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK, "after {polls} polls");
        assert_eq!(source.count(), 2);
    }
}

/// What the service reserved when it was polled ready goes with the refused call, and does not stay with the service
/// that is asked next.
#[tokio::test(start_paused = true)]
async fn a_refused_call_gives_back_the_permit_that_it_was_polled_ready_with() {
    let (tokens, _) = api_tokens();
    let limited = tower::ServiceBuilder::new().concurrency_limit(1).service(support::api::Api::open());
    let mut service = BearerAuthLayer::new(tokens).layer(limited);
    let other = service.clone();
    let refused = service.ready().await.expect("ready").call(get("http://api.example.com/")).await;
    assert!(Error::find(&*refused.expect_err("plain http")).is_some());
    let response = tokio::time::timeout(Duration::from_secs(60), other.oneshot(get(URL))).await;
    assert_eq!(response.expect("the permit is free").expect("a response").status(), StatusCode::OK);
    drop(service);
}

#[tokio::test(start_paused = true)]
async fn a_service_is_made_without_a_layer_as_well() {
    let (tokens, _) = api_tokens();
    let api = support::api::Api::open();
    client_credentials::BearerAuth::new(api.clone(), tokens).oneshot(get(URL)).await.expect("a response");
    assert_eq!(bearer(&api.seen()[0]), Some("token-1"));
}

/// The first response is gone by then: its body may have held the connection that was needed.
#[tokio::test(start_paused = true)]
async fn where_the_second_attempt_fails_the_caller_gets_its_error() {
    let (tokens, source) = api_tokens();
    let inner = tower::service_fn(|request: Request<Body>| async move {
        if bearer(&request) == Some("token-1") { Ok(rejection(None)) } else { Err(Broken(7)) }
    });
    let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(inner);
    let error = service.oneshot(get(URL)).await.expect_err("the second attempt is broken");
    assert_eq!((error.downcast_ref(), source.count()), (Some(&Broken(7)), 2));
}
