//! The cache, on a paused clock, over a source that is a closure.
#![cfg(feature = "test-util")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use client_credentials::{AccessToken, Clock, Error, TokenCache, TokenRequest, token_fn};

fn counted(lifetime: u64, delay: Duration) -> (TokenCache, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let source = token_fn(move |_: TokenRequest| {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            tokio::time::sleep(delay).await;
            Ok::<_, Error>(AccessToken::new(format!("token-{number}"))?.with_expires_in(Duration::from_secs(lifetime)))
        }
    });
    let tokens =
        TokenCache::builder(source).any_origin().clock(Clock::tokio()).build().expect("the settings are complete");
    (tokens, count)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_callers_make_one_token_request() {
    let (tokens, count) = counted(3600, Duration::from_millis(50));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        let tokens = tokens.clone();
        callers.spawn(async move { tokens.token().await });
    }
    while let Some(token) = callers.join_next().await {
        assert_eq!(token.expect("no panic").expect("a token").expose_secret(), "token-1");
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_aging_token_is_renewed_beside_the_traffic() {
    let (tokens, count) = counted(3600, Duration::from_secs(5));
    tokens.token().await.expect("a token");
    tokio::time::advance(Duration::from_secs(2800)).await;
    for _ in 0..100 {
        assert_eq!(tokens.token().await.expect("a token").expose_secret(), "token-1");
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(tokens.token().await.expect("a token").expose_secret(), "token-2");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_replaced_once() {
    let (tokens, count) = counted(3600, Duration::from_millis(50));
    let first = tokens.token().await.expect("a token");
    tokio::time::advance(Duration::from_secs(10)).await;
    for _ in 0..100 {
        tokens.reject(&first);
    }
    assert_eq!(tokens.token().await.expect("a token").expose_secret(), "token-2");
    tokens.reject(&first);
    assert_eq!(tokens.token().await.expect("a token").expose_secret(), "token-2");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}
