//! The call for clients that no adapter reaches: the same checks, the same reading of the response.

use std::time::Duration;

use client_credentials::{BearerHeader, Error, ErrorKind, TokenCache};
use http::{HeaderValue, StatusCode, Uri};
use tokio::time::{advance, sleep};
use tracing::Level;

use crate::support::{
    api::api_tokens,
    log::Log,
    source::{Outcome, Source},
};

const URL: &str = "https://api.example.com/stats";
const EXPLICIT: &str = "Bearer error=\"invalid_token\"";

async fn header(tokens: &TokenCache) -> BearerHeader {
    tokens.header_for(URL).await.expect("a header")
}

#[tokio::test(start_paused = true)]
async fn a_request_to_a_named_origin_has_a_header_marked_sensitive() {
    let (tokens, source) = api_tokens();
    for header in [
        tokens.header_for(URL).await,
        tokens.header_for(String::from("https://API.example.com:443")).await,
        tokens.header_for(&Uri::from_static(URL)).await,
    ] {
        let header = header.expect("a header");
        assert_eq!(header.value(), "Bearer token-1");
        assert!(header.value().is_sensitive());
        assert_eq!(header.token().expose_secret(), "token-1");
        assert!(!format!("{header:?}").contains("token-1"), "{header:?}");
    }
    assert_eq!(source.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_the_token_may_not_go_there_is_no_header_and_no_token_request_and_the_log_says_so_once() {
    let (log, _guard) = Log::start();
    let (tokens, source) = api_tokens();
    for (uri, kind, said) in [
        ("https://elsewhere.example.com/", ErrorKind::ForeignOrigin, "https://elsewhere.example.com"),
        ("https://api.example.com:8443/", ErrorKind::ForeignOrigin, "https://api.example.com:8443"),
        ("http://api.example.com/", ErrorKind::InsecureTransport, "http://api.example.com"),
        ("/stats", ErrorKind::Configuration, "no scheme and host"),
        ("api.example.com", ErrorKind::Configuration, "no scheme and host"),
        ("https://a b/?key=12345", ErrorKind::Configuration, "not a URI"),
    ] {
        let logged = !matches!(kind, ErrorKind::Configuration);
        for (round, outcome) in
            [tokens.header_for(uri).await.map(Some), tokens.try_header_for(uri)].into_iter().enumerate()
        {
            let error = outcome.expect_err(uri);
            assert_eq!((error.kind(), error.is_transient()), (kind, false), "{uri}");
            let text = error.to_string();
            assert!(text.contains(said) && !text.contains("12345"), "{text}");
            assert!(round == 1 || log.take(Level::WARN).len() == usize::from(logged), "{uri}: not said");
        }
        assert_eq!(log.take(Level::WARN), [""; 0], "{uri}: said twice");
    }
    assert_eq!(source.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_waiting_the_first_call_starts_the_token_request_and_a_failure_is_returned() {
    let source = Source::new();
    source.delay(Duration::from_millis(50));
    let tokens = source.cache();
    assert!(tokens.try_header_for(URL).expect("no failure").is_none());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(tokens.try_header_for(URL).expect("no failure").expect("a token").value(), "Bearer token-1");
    source.respond(Outcome::Fails(Error::permanent("the secret was withdrawn")));
    advance(Duration::from_secs(2 * 3600)).await;
    assert!(tokens.try_header_for(URL).expect("no failure yet").is_none());
    sleep(Duration::from_secs(1)).await;
    let text = tokens.try_header_for(URL).expect_err("held back").to_string();
    assert!(text.starts_with("the token source refused: the secret was withdrawn; next attempt in "), "{text}");
    assert_eq!(source.count(), 2);
}

#[test]
fn without_waiting_and_without_a_runtime_a_missing_token_is_an_error() {
    let (tokens, _) = api_tokens();
    let error = tokens.try_header_for(URL).expect_err("nobody to fetch it");
    assert_eq!(error.kind(), ErrorKind::Runtime);
}

/// Whatever types a client has for statuses and headers.
#[tokio::test(start_paused = true)]
async fn a_response_that_rejects_the_token_renews_it_once_for_all() {
    let of_http = |header: &BearerHeader| {
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response.headers_mut().append("www-authenticate", HeaderValue::from_static("Basic realm=\"a\""));
        response.headers_mut().append("www-authenticate", HeaderValue::from_static(EXPLICIT));
        header.on_response(response.status(), response.headers().get_all("www-authenticate"))
    };
    let reports: [fn(&BearerHeader) -> bool; 5] = [
        of_http,
        |header| header.on_response(401_u16, [EXPLICIT]),
        |header| header.on_response(401_u16, Some(EXPLICIT.as_bytes())),
        |header| header.on_response(401_u16, vec![EXPLICIT.to_owned()]),
        |header| header.on_response(401_u16, None::<&str>),
    ];
    for report in reports {
        let (tokens, source) = api_tokens();
        let headers = [header(&tokens).await, header(&tokens).await];
        for header in headers {
            assert!(report(&header));
            let replaced = header.replaced().await.expect("another token");
            assert_eq!(replaced.value(), "Bearer token-2");
        }
        assert_eq!(header(&tokens).await.value(), "Bearer token-2");
        assert_eq!(source.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_about_something_else_renews_nothing() {
    let (tokens, source) = api_tokens();
    for (status, challenge) in [
        (200_u16, EXPLICIT),
        (403, EXPLICIT),
        (407, EXPLICIT),
        (500, EXPLICIT),
        (401, "Bearer error=\"insufficient_scope\""),
        (401, "Basic realm=\"a\""),
    ] {
        let header = header(&tokens).await;
        assert!(!header.on_response(status, [challenge]), "{status} {challenge}");
        assert!(header.replaced().await.is_none());
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!((header(&tokens).await.value().as_bytes(), source.count()), (&b"Bearer token-1"[..], 1));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_other_than_a_401_is_reported_by_hand() {
    let (tokens, source) = api_tokens();
    let first = header(&tokens).await;
    first.reject();
    assert_eq!(first.replaced().await.expect("another token").value(), "Bearer token-2");
    assert_eq!(source.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_sent_again_once() {
    let (tokens, source) = api_tokens();
    let first = header(&tokens).await;
    assert!(first.on_response(401_u16, [EXPLICIT]));
    let second = first.replaced().await.expect("another token");
    assert!(second.on_response(401_u16, [EXPLICIT]));
    assert!(second.replaced().await.is_none());
    assert_eq!(source.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_token_that_the_api_accepts_lets_the_next_rejection_renew_at_once() {
    for accepted in [true, false] {
        let (tokens, source) = api_tokens();
        for expected in 2..5 {
            let first = header(&tokens).await;
            assert!(first.on_response(401_u16, [EXPLICIT]));
            let Some(second) = first.replaced().await else {
                assert!(!accepted, "no token {expected}");
                return;
            };
            assert_eq!(source.count(), expected);
            // A server error says nothing about the token.
            second.on_response(if accepted { 204_u16 } else { 503 }, None::<&str>);
            sleep(Duration::from_secs(2)).await;
        }
        assert!(accepted, "rejections in a row are spaced out");
    }
}

/// Nobody sends anything again: the good responses say that the newer token is accepted.
#[tokio::test(start_paused = true)]
async fn good_responses_end_the_spacing_of_renewals_too() {
    for good in [true, false] {
        let (tokens, source) = api_tokens();
        header(&tokens).await.on_response(401_u16, [EXPLICIT]);
        for _ in 0..15 {
            sleep(Duration::from_secs(1)).await;
            let header = header(&tokens).await;
            if good {
                header.on_response(204_u16, None::<&str>);
            }
        }
        // Without good responses this is the second in a row, and the third has to wait.
        header(&tokens).await.on_response(401_u16, [EXPLICIT]);
        sleep(Duration::from_secs(12)).await;
        header(&tokens).await.on_response(401_u16, [EXPLICIT]);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(source.count(), if good { 4 } else { 3 });
    }
}
