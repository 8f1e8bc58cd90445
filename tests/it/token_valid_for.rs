//! Tokens that are handed to somebody who cannot renew them.

use crate::support::source::{Outcome, Source, down, hours, minutes, seconds};
#[cfg(feature = "store")]
use client_credentials::{Clock, testing::MemoryStore};
use client_credentials::{ErrorKind, TokenCache};
use std::time::Duration;
use tokio::time::{advance, sleep};

async fn lasting(tokens: &TokenCache, time: Duration) -> String {
    tokens.token_valid_for(time).await.expect("a token").expose_secret().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_is_enough_while_it_lasts() {
    let source = Source::new();
    let tokens = source.cache();
    assert_eq!(lasting(&tokens, minutes(20)).await, "token-1");
    advance(minutes(30)).await;
    assert_eq!(lasting(&tokens, minutes(20)).await, "token-1");
    assert_eq!(source.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_earlier_is_replaced_and_serves_the_others_meanwhile() {
    let source = Source::new();
    let tokens = source.cache();
    lasting(&tokens, minutes(20)).await;
    advance(minutes(41)).await;
    source.delay(seconds(3));
    let handle = tokens.clone();
    let job = tokio::spawn(async move { lasting(&handle, minutes(20)).await });
    sleep(seconds(1)).await;
    assert_eq!(tokens.try_token().expect("the cached one").expose_secret(), "token-1");
    assert_eq!(job.await.expect("no panic"), "token-2");
    assert_eq!((tokens.token().await.expect("a token").expose_secret(), source.count()), ("token-2", 2));
}

/// `token` returns it and starts the renewal; here it would not outlive a job of unknown length.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_due_for_renewal_is_never_handed_out() {
    let source = Source::new();
    let tokens = source.cache();
    lasting(&tokens, Duration::ZERO).await;
    advance(minutes(50)).await;
    assert_eq!(lasting(&tokens, Duration::ZERO).await, "token-2");
    advance(minutes(50)).await;
    source.respond(down());
    let error = tokens.token_valid_for(Duration::ZERO).await.expect_err("the server is down");
    assert!(error.is_transient(), "{error}");
    assert_eq!(tokens.token().await.expect("it can still be used").expose_secret(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_longer_time_than_a_new_token_has_is_an_error() {
    let source = Source::new();
    source.respond(Outcome::Lives(hours(1)));
    let tokens = source.cache();
    let error = tokens.token_valid_for(hours(2)).await.expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(error.to_string(), "a new token can be used for 3590 s, and 7200 s are wanted");
    assert_eq!(source.count(), 1);
    sleep(minutes(1)).await;
    tokens.token_valid_for(hours(2)).await.expect_err("too long");
    assert_eq!((tokens.token().await.expect("a token").expose_secret(), source.count()), ("token-2", 2));
}

#[tokio::test(start_paused = true)]
async fn many_callers_share_the_one_token_request() {
    let source = Source::new();
    let tokens = source.cache();
    lasting(&tokens, minutes(20)).await;
    advance(minutes(41)).await;
    let jobs: Vec<_> = (0..20).map(|_| tokens.clone()).collect();
    let jobs: Vec<_> =
        jobs.into_iter().map(|tokens| tokio::spawn(async move { lasting(&tokens, minutes(20)).await })).collect();
    for job in jobs {
        assert_eq!(job.await.expect("no panic"), "token-2");
    }
    assert_eq!(source.count(), 2);
}

/// A renewal is postponed where the store is down, unless somebody waits for it.
#[cfg(feature = "store")]
#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_does_not_matter() {
    let (source, store) = (Source::new(), MemoryStore::new());
    let builder = || source.builder().namespace("it").clock(Clock::tokio()).shared_in_the_clear(store.clone());
    let tokens = builder().build().expect("complete");
    assert_eq!(lasting(&tokens, minutes(20)).await, "token-1");
    let other = builder().build().expect("complete");
    assert_eq!(lasting(&other, minutes(20)).await, "token-1");
    advance(minutes(41)).await;
    store.fail();
    assert_eq!(lasting(&other, minutes(20)).await, "token-2");
    store.restore();
    sleep(minutes(2)).await;
    assert_eq!((lasting(&tokens, minutes(20)).await, source.count()), ("token-3".to_owned(), 3));
}

/// Another instance may have a younger one.
#[cfg(feature = "store")]
#[tokio::test(start_paused = true)]
async fn a_stored_token_that_lasts_is_taken() {
    let (source, store) = (Source::new(), MemoryStore::new());
    let builder = || source.builder().namespace("it").clock(Clock::tokio()).shared_in_the_clear(store.clone());
    let tokens = builder().build().expect("complete");
    lasting(&tokens, minutes(20)).await;
    advance(minutes(41)).await;
    let other = builder().build().expect("complete");
    assert_eq!(lasting(&other, minutes(20)).await, "token-2");
    assert_eq!((lasting(&tokens, minutes(20)).await, source.count()), ("token-2".to_owned(), 2));
}
