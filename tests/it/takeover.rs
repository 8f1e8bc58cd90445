//! What goes on in another runtime when one stands still or ends, on a paused clock for each.

use std::time::Duration;

use client_credentials::{BearerAuthLayer, Clock, Error, TokenCache};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep},
};
use tower::{Layer, ServiceExt};

use crate::support::{
    api::Api,
    get,
    source::{Outcome, Source, hours, millis, minutes, seconds},
    tenants::{Asked, Reply, Tenants, call, tenant},
};

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

/// Its token request was started in a runtime that nobody drives: before it was sent, or after.
#[test]
fn the_first_caller_beside_a_frozen_runtime_is_served_within_its_thirty_seconds() {
    for is_sent in [false, true] {
        let (frozen, driven) = (paused(), paused());
        let endpoint = driven.block_on(async {
            Tenants::new(move |Asked { times, .. }| match times {
                1 if is_sent => (Reply::Hangs, Duration::ZERO),
                _ => (Reply::Token, Duration::ZERO),
            })
        });
        let tokens = driven.block_on(async { endpoint.cache() });
        let of_one = tokens.with_request(&tenant(1));
        {
            let _entered = frozen.enter();
            assert!(of_one.try_token().is_none());
        }
        if is_sent {
            frozen.block_on(tokio::task::yield_now());
        }
        assert_eq!(endpoint.asked().len(), usize::from(is_sent));
        let call = driven.block_on(call(&endpoint, &tokens, 1));
        assert!(call.outcome.is_ok(), "{call:?}");
        assert!((seconds(27)..seconds(30)).contains(&call.waited), "{:?}", call.waited);
    }
}

/// Its runtime ends in the middle of the second token request, which waited for a `Retry-After`.
#[test]
fn a_second_lies_between_the_last_token_request_of_a_runtime_that_ended_and_the_next_one() {
    let (first, next) = (paused(), paused());
    let source = Source::new();
    let tokens = source.cache();
    source.respond(Outcome::Fails(Error::transient("busy").with_retry_after(seconds(2))));
    first.block_on(async {
        assert!(tokens.try_token().is_none());
        sleep(seconds(1)).await;
        source.respond(Outcome::Hangs);
        sleep(seconds(4)).await;
    });
    drop(first);
    source.respond(Outcome::Lives(hours(1)));
    next.block_on(tokens.token()).expect("a token");
    let starts: Vec<_> = source.asked().iter().map(|asked| asked.at).collect();
    assert_eq!(starts.len(), 3);
    assert!(starts[1] >= seconds(2) && starts[2] >= starts[1] + seconds(1), "{starts:?}");
}

/// The renewal was started in a runtime that nobody drives any more, and the next one hangs as well.
#[test]
fn callers_wait_for_the_replacement_of_a_rejected_token_five_seconds_in_all() {
    let (frozen, driven) = (paused(), paused());
    let source = Source::new();
    let tokens = driven.block_on(async { source.cache() });
    let first = driven.block_on(tokens.token()).expect("a token");
    source.respond(Outcome::Hangs);
    driven.block_on(async { sleep(seconds(2)).await });
    frozen.block_on(async {
        sleep(seconds(2)).await;
        tokens.reject(&first);
        tokio::task::yield_now().await;
    });
    assert_eq!(source.in_flight(), 1);
    driven.block_on(async {
        for (comes_after, waits) in [(0, 4..6), (40, 0..1), (0, 0..1), (1, 0..1)] {
            sleep(seconds(comes_after)).await;
            let came = Instant::now();
            tokens.token().await.expect("a token");
            assert!(waits.contains(&came.elapsed().as_secs()), "{:?}", came.elapsed());
        }
    });
    assert_eq!(source.count(), 3, "it was taken over");
}

#[test]
fn the_next_caller_starts_the_renewal_again_that_ended_with_its_runtime() {
    let (first, next) = (paused(), paused());
    let (source, clock) = (Source::new(), Clock::tokio());
    let tokens = source.builder().clock(clock.clone()).build().expect("complete");
    first.block_on(tokens.token()).expect("a token");
    source.respond(Outcome::Hangs);
    clock.jump_wall_clock(50 * 60 * 1_000);
    first.block_on(async {
        assert_eq!(try_token(&tokens), "token-1");
        tokio::task::yield_now().await;
        assert_eq!(try_token(&tokens), "token-1", "meanwhile");
    });
    assert_eq!(source.in_flight(), 1);
    drop(first);
    source.respond(Outcome::Lives(hours(1)));
    clock.jump_wall_clock(2_000);
    next.block_on(async {
        assert_eq!(try_token(&tokens), "token-1");
        tokio::task::yield_now().await;
        assert_eq!(try_token(&tokens), "token-3");
    });
}

#[test]
fn fetches_that_nobody_drives_keep_no_other_from_the_endpoint() {
    let (frozen, driven) = (paused(), paused());
    let source = Source::new().with_time_limit(millis(100));
    let tokens = source.cache();
    source.respond(Outcome::Hangs);
    {
        let _entered = frozen.enter();
        for key in 0..40 {
            assert!(tokens.with_request(&tenant(key)).try_token().is_none());
        }
    }
    frozen.block_on(tokio::task::yield_now());
    assert_eq!(source.in_flight(), 16);
    source.respond(Outcome::Lives(hours(1)));
    driven.block_on(async {
        let begun = Instant::now();
        for key in 30..50 {
            tokens.token_for(&tenant(key)).await.expect("a token");
        }
        assert!(begun.elapsed() < seconds(20), "{:?}", begun.elapsed());
    });
    drop(frozen);
}

#[test]
fn keep_warm_goes_on_in_the_next_runtime_while_the_old_token_lives() {
    let (first, next) = (paused(), paused());
    let source = Source::new();
    let tokens = source.builder().clock(Clock::tokio()).keep_warm().build().expect("complete");
    first.block_on(tokens.token()).expect("a token");
    drop(first);
    next.block_on(async {
        assert_eq!(try_token(&tokens), "token-1");
        sleep(minutes(50)).await;
        assert_eq!(source.count(), 2, "nobody asked");
        assert_eq!(try_token(&tokens), "token-2");
        sleep(hours(2)).await;
        assert!(source.count() >= 4, "and so it goes on: {}", source.count());
    });
}

#[test]
fn keep_warm_takes_over_a_renewal_that_nobody_drives() {
    let (frozen, driven) = (paused(), paused());
    let (source, clock) = (Source::new().with_time_limit(seconds(10)), Clock::tokio());
    let tokens = source.builder().clock(clock.clone()).keep_warm().build().expect("complete");
    let first = driven.block_on(tokens.token()).expect("a token");
    {
        let _entered = frozen.enter();
        clock.jump_wall_clock(2_000);
        tokens.reject(&first);
    }
    driven.block_on(async {
        sleep(minutes(2)).await;
        assert_eq!(source.count(), 2, "nobody asked");
        assert_eq!(try_token(&tokens), "token-2");
    });
}

#[test]
fn a_request_through_an_adapter_lets_keep_warm_go_on_as_well() {
    let (first, next) = (paused(), paused());
    let source = Source::new();
    let builder = source.builder().origin("https://api.example.com").clock(Clock::tokio());
    let tokens = builder.keep_warm().build().expect("complete");
    first.block_on(tokens.token()).expect("a token");
    drop(first);
    next.block_on(async {
        let service = BearerAuthLayer::new(tokens.clone()).layer(Api::open());
        service.oneshot(get("https://api.example.com")).await.expect("a response");
        sleep(minutes(50)).await;
        assert_eq!(source.count(), 2, "nobody asked");
    });
}

fn try_token(tokens: &TokenCache) -> String {
    tokens.try_token().expect("a token").expose_secret().to_owned()
}
