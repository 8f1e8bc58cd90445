//! What callers are told when the failures of some tokens are about all of a source's. How many are requested at once,
//! and what a failure of some means for the others, is in the scenarios `many-scopes-…` and `scopes-…`.

use std::ops::Range;

use client_credentials::{
    ClientCredentials, Clock, ErrorKind, TokenCache, TokenRequest,
    testing::{AuthorizationServer, MockResponse},
};
use tokio::time::{Instant, sleep};

use crate::support::source::{Source, down, millis, seconds};

fn scope(scope: impl AsRef<str>) -> TokenRequest {
    TokenRequest::builder().scope(scope).build().expect("a token request")
}

fn of_a_server() -> (AuthorizationServer, TokenCache) {
    let auth = AuthorizationServer::in_memory();
    let client = ClientCredentials::builder(auth.token_url(), "abcde", "12345").http_client(auth.clone());
    let client = client.any_origin().build().expect("complete");
    let tokens = TokenCache::builder(client).clock(Clock::tokio()).build().expect("complete");
    (auth, tokens)
}

/// These keys fail, one after the other.
async fn fail(tokens: &TokenCache, keys: Range<usize>) {
    for key in keys {
        tokens.token_for(&scope(format!("s{key}"))).await.expect_err("it fails");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_turn_in_an_outage_is_told_of_the_outage() {
    let source = Source::new();
    let tokens = source.builder().clock(Clock::tokio()).wait_limit(millis(100)).build().expect("complete");
    source.respond(down());
    fail(&tokens, 0..3).await;
    let error = tokens.token_for(&scope("another")).await.expect_err("its turn comes after a second");
    assert!(error.is_timeout(), "{error}");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("fail for several tokens in a row"), "{cause}");
}

/// They may name somebody else's tenant.
#[tokio::test(start_paused = true)]
async fn who_is_held_back_by_the_failures_of_others_is_not_told_in_their_words() {
    let (auth, tokens) = of_a_server();
    let refusal = r#"{"error":"invalid_client","error_description":"tenant 7 is closed"}"#;
    auth.respond_always(MockResponse::status(401).with_body(refusal));
    fail(&tokens, 0..3).await;
    let error = tokens.token_for(&scope("another")).await.expect_err("held back");
    assert_eq!((error.kind(), error.status().map(|status| status.as_u16())), (ErrorKind::ErrorResponse, Some(401)));
    assert!(!format!("{error} {error:?} {:?}", error.response()).contains("tenant 7"), "{error:?}");
    assert_eq!(auth.token_requests().len(), 3);
}

/// At its very end, callers wait for the end of a verdict, and not for that of a `Retry-After`.
#[tokio::test(start_paused = true)]
async fn what_holds_back_all_keys_is_waited_for_in_its_last_second_unless_the_server_said_when() {
    for (response, waits) in [
        (MockResponse::oauth_error("invalid_client"), true),
        (MockResponse::status(429).with_retry_after(seconds(10)), false),
    ] {
        let (auth, tokens) = of_a_server();
        (0..3).for_each(|_| auth.respond_next(response.clone()));
        fail(&tokens, 0..3).await;
        let held_back = tokens.status().held_back_for().expect("all keys are held back");
        sleep(held_back - millis(500)).await;
        let came = Instant::now();
        assert_eq!(tokens.token_for(&scope("another")).await.is_ok(), waits, "{response:?}");
        // It may go on to wait for a second for its turn.
        assert_eq!(came.elapsed() >= millis(500), waits, "{response:?}: {:?}", came.elapsed());
    }
}
