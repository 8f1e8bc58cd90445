//! What a readiness probe gets from `status()`.

use crate::support::source::{Outcome, Source, down, hours, minutes, seconds};
use client_credentials::{ErrorKind, TokenCache, TokenRequest};
use tokio::time::{advance, sleep};

fn ready(tokens: &TokenCache) -> bool {
    tokens.status().is_ready()
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_a_token_yet_is_ready_and_its_status_starts_no_token_request() {
    let source = Source::new();
    let tokens = source.cache();
    for _ in 0..10 {
        assert!(ready(&tokens));
        sleep(seconds(10)).await;
    }
    let status = tokens.status();
    assert!(status.usable_for().is_none() && status.held_back_for().is_none() && !status.is_failing());
    assert_eq!(source.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expired_without_traffic_leaves_the_instance_ready() {
    let source = Source::new();
    let tokens = source.cache();
    tokens.token().await.expect("a token");
    assert_eq!(tokens.status().usable_for(), Some(hours(1) - seconds(10)), "until the leeway before its end");
    advance(hours(2)).await;
    let status = tokens.status();
    assert!(status.is_ready() && status.usable_for().is_none() && status.last_error().is_none());
    assert_eq!(source.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failing_renewal_leaves_an_instance_ready_as_long_as_its_token_lives() {
    let source = Source::new();
    let tokens = source.cache();
    tokens.token().await.expect("a token");
    source.respond(down());
    advance(minutes(50)).await;
    tokens.token().await.expect("the old token");
    sleep(seconds(1)).await;
    let status = tokens.status();
    assert!(status.is_ready() && status.is_failing());
    assert_eq!(status.last_error().map(client_credentials::Error::kind), Some(ErrorKind::Transport));
    advance(minutes(10)).await;
    assert!(!ready(&tokens));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_brings_the_same_token_again_shows_as_a_failure() {
    for (rejected, expected) in [(true, "after an API rejected it"), (false, "without extending its lifetime")] {
        let source = Source::new();
        source.respond(Outcome::Named("the-same", hours(1)));
        let tokens = source.cache();
        let first = tokens.token().await.expect("a token");
        advance(minutes(46)).await;
        source.respond(Outcome::Named("the-same", minutes(14)));
        if rejected {
            tokens.reject(&first);
        }
        tokens.token().await.expect("the old token");
        sleep(seconds(1)).await;
        assert_eq!(source.count(), 2);
        let status = tokens.status();
        let error = status.last_error().expect("a failure").to_string();
        assert!(status.is_ready() && error.contains(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn probes_alone_bring_a_failed_instance_back_with_no_more_token_requests_than_traffic() {
    let source = Source::new();
    source.respond(down());
    let tokens = source.cache();
    tokens.token().await.expect_err("down");
    let status = tokens.status();
    assert!(!status.is_ready());
    let wait = status.held_back_for().expect("held back");
    assert!(wait > seconds(0) && wait <= seconds(1), "{wait:?}");
    for _ in 0..600 {
        assert!(!ready(&tokens));
        sleep(seconds(1)).await;
    }
    assert!(source.count() > 20 && source.count() <= 10 + 9 * 4, "{} token requests in ten minutes", source.count());
    source.respond(Outcome::Lives(hours(1)));
    sleep(seconds(31)).await;
    tokens.status();
    sleep(seconds(1)).await;
    assert!(ready(&tokens) && !tokens.status().is_failing());
}

#[tokio::test(start_paused = true)]
async fn what_the_endpoint_said_to_three_other_keys_shows() {
    let source = Source::new();
    let wait = seconds(60);
    source.respond(Outcome::Fails(client_credentials::Error::transient("busy").with_retry_after(wait)));
    let tokens = source.cache();
    for (key, ready) in [("a", true), ("b", true), ("c", false)] {
        let other = TokenRequest::builder().scope(key).build().expect("a scope");
        tokens.token_for(&other).await.expect_err("busy");
        assert_eq!(tokens.status().is_ready(), ready, "after {key}");
    }
    let status = tokens.status();
    assert!(status.held_back_for().is_some_and(|held| held >= wait), "{status:?}");
}
