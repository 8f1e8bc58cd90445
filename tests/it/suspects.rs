//! A token that an API rejected while its renewal cannot start, hangs, or brings nothing new; and one whose end comes
//! before the next attempt is due.

use std::time::Duration;

use client_credentials::{BearerAuthLayer, Clock, Error, TokenCache, replay_fn};
use http::{Request, StatusCode};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::{Layer, ServiceExt};

use crate::support::{
    api::{Api, Body},
    get,
    source::{Outcome, Source, hours, millis, minutes, seconds},
    tenants::{Asked, Reply, Tenants, call, call_steadily},
};

const URL: &str = "https://api.example.com/stats";
const EXPLICIT: Option<&str> = Some("Bearer error=\"invalid_token\"");

async fn token(tokens: &TokenCache) -> String {
    tokens.token().await.expect("a token").expose_secret().to_owned()
}

async fn waiting(tokens: &TokenCache) -> (String, Duration) {
    let came = Instant::now();
    (token(tokens).await, came.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_rejection_within_a_second_of_the_tokens_issue_holds_until_another_was_asked_for() {
    for quiet in [millis(1), millis(900), seconds(6), minutes(10)] {
        let source = Source::new();
        source.delay(millis(50));
        let tokens = source.cache();
        let first = tokens.token().await.expect("a token");
        tokens.reject(&first);
        sleep(quiet).await;
        let (token, waited) = waiting(&tokens).await;
        assert_eq!(token, "token-2", "asked for {quiet:?} later");
        assert!(waited <= millis(1050), "{waited:?}");
        assert_eq!(source.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_while_token_requests_are_held_back_holds_until_another_was_asked_for() {
    let source = Source::new();
    let tokens = source.cache();
    let first = tokens.token().await.expect("a token");
    sleep(minutes(46)).await;
    source.respond(Outcome::Fails(Error::permanent("no such client")));
    assert_eq!(token(&tokens).await, "token-1");
    sleep(seconds(1)).await;
    source.respond(Outcome::Lives(hours(1)));
    source.delay(millis(50));
    tokens.reject(&first);
    assert_eq!(waiting(&tokens).await, ("token-1".to_owned(), Duration::ZERO), "no other can be had");
    // The hold of ten seconds ends, and so would a wait that began with the rejection.
    sleep(seconds(10)).await;
    assert_eq!(waiting(&tokens).await, ("token-3".to_owned(), millis(50)));
}

/// The clocks are moved by hand: outside of a runtime, tokio's cannot be paused.
#[test]
fn a_rejection_from_a_thread_without_a_runtime_holds_until_another_was_asked_for() {
    let (source, clock) = (Source::new(), Clock::tokio());
    let tokens = source.builder().clock(clock.clone()).build().expect("complete");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let first = runtime.block_on(tokens.token()).expect("a token");
    clock.jump_wall_clock(60_000);
    let at_hand = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            tokens.reject(&first);
            tokens.try_token().map(|token| token.expose_secret().to_owned())
        });
        other.join().expect("no panic")
    });
    assert_eq!(at_hand.as_deref(), Some("token-1"), "no other can be had there");
    clock.jump_wall_clock(6_000);
    assert_eq!(runtime.block_on(token(&tokens)), "token-2");
}

/// Callers that come in a row after a rejection, with a server that hangs from then on.
#[tokio::test(start_paused = true)]
async fn whoever_comes_to_a_rejected_token_waits_at_most_five_seconds_from_the_first_token_request() {
    let source = Source::new();
    let tokens = source.cache();
    let first = tokens.token().await.expect("a token");
    source.respond(Outcome::Hangs);
    sleep(millis(400)).await;
    // The renewal may not start before a second has passed since the last token request.
    tokens.reject(&first);
    let (start, mut callers) = (Instant::now(), JoinSet::new());
    for _ in 0..100 {
        let tokens = tokens.clone();
        callers.spawn(async move { (start.elapsed(), waiting(&tokens).await) });
        sleep(millis(100)).await;
    }
    for (came, (token, waited)) in callers.join_all().await {
        assert_eq!(token, "token-1", "other APIs may still accept it");
        assert_eq!(waited, millis(5600).saturating_sub(came), "for who came at {came:?}");
    }
}

/// Without a copy of the request, nothing is gained by holding the 401 back.
#[tokio::test(start_paused = true)]
async fn while_the_renewal_hangs_a_401_is_returned_at_once_or_after_five_seconds_where_there_is_a_copy() {
    for (challenge, replays) in [(EXPLICIT, true), (None, true), (EXPLICIT, false), (None, false)] {
        let source = Source::new();
        let tokens = source.cache();
        tokens.token().await.expect("a token");
        sleep(minutes(1)).await;
        source.respond(Outcome::Hangs);
        let api = Api::accepting("token-2", challenge);
        let copy = replay_fn(move |request: &Request<Body>| replays.then(|| request.clone()));
        let service = BearerAuthLayer::new(tokens.clone()).with_replay(copy).layer(api.clone());
        let sent = Instant::now();
        let response = service.oneshot(get(URL)).await.expect("a response");
        let held = if replays { seconds(5) } else { Duration::ZERO };
        assert_eq!((response.status(), sent.elapsed()), (StatusCode::UNAUTHORIZED, held), "{challenge:?}");
        sleep(millis(1)).await;
        assert_eq!((api.count(), source.count()), (1, 2), "the renewal runs beside it");
    }
}

/// However the waits between attempts grow: after a verdict, and after what may pass by itself.
#[tokio::test(start_paused = true)]
async fn one_attempt_is_made_in_the_last_six_seconds_of_a_token() {
    for fails in [Reply::OAuth("unauthorized_client"), Reply::Status(503), Reply::RetryAfter(503, 3600)] {
        for lifetime in [60_u16, 300, 3600] {
            let expires = Duration::from_secs_f64(f64::from(lifetime) - (f64::from(lifetime) / 20.0).min(10.0));
            let mended = expires - millis(6_000);
            let endpoint = Tenants::new(move |Asked { at, times, .. }| {
                (if times == 1 || at >= mended { Reply::Token } else { fails }, Duration::ZERO)
            });
            let endpoint = endpoint.with_expires_in(lifetime.into());
            let end = expires + seconds(2);
            let calls = call_steadily(&endpoint, &endpoint.cache(), 1, millis(500), end).await;
            assert!(endpoint.count_within(seconds(1), mended) > 0, "it failed");
            let lost = calls.iter().find(|call| call.outcome.is_err() || !call.waited.is_zero());
            assert!(lost.is_none(), "{fails:?}, {lifetime} s: {lost:?} after {:?}", endpoint.asked());
        }
    }
}

/// The last second of a token is stated as none, which on its own would mean that the server does not say.
#[tokio::test(start_paused = true)]
async fn a_server_that_counts_one_token_down_to_zero_loses_nobody() {
    for takes in [0, 20, 300] {
        let endpoint = Tenants::new(move |Asked { at, .. }| {
            let second = at.as_secs();
            (Reply::Known("t", second / 6, 5 - second % 6), millis(takes))
        });
        let calls = call_steadily(&endpoint, &endpoint.cache(), 1, millis(50), minutes(10)).await;
        for call in &calls {
            let token = call.outcome.as_ref().unwrap_or_else(|error| panic!("{call:?}: {error}"));
            let number: u64 = token.expose_secret().trim_start_matches("t-").parse().expect("a number");
            // The server took it for good when it sent it, or when the caller came.
            let sent = call.came.max(seconds(6 * number));
            assert!(seconds(6 * number + 6) > sent, "{call:?}");
        }
        assert!(endpoint.most_within(seconds(1)) <= 3, "{} in a second", endpoint.most_within(seconds(1)));
    }
}

/// What it says to the first caller of a server that hangs: its own time limit ends before the caller's.
#[tokio::test(start_paused = true)]
async fn the_first_caller_of_a_server_that_hangs_gets_the_failure_of_its_token_request() {
    let endpoint = Tenants::new(|_| (Reply::Hangs, Duration::ZERO));
    let call = call(&endpoint, &endpoint.cache(), 0).await;
    let error = call.outcome.expect_err("it hangs");
    assert_eq!(call.waited, seconds(28));
    assert!(error.to_string().contains("auth.example.com"), "{error}");
}
