//! How long a document is used, and what becomes of discovery in an outage.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use client_credentials::{
    ClientCredentials, Clock, Error, HttpClient, SecretBody, TokenCache, TokenRequest, TokenSource, async_trait,
};
use http::{Method, Request, Response, StatusCode, header};
use serde_json::json;
use tokio::time::{advance, sleep};

use super::{ISSUER, source};
use crate::support::endpoint::{TOKEN, ask};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn response(status: u16, body: &(impl ToString + ?Sized)) -> Response<SecretBody> {
    Response::builder().status(status).body(SecretBody::from(body.to_string())).expect("a response")
}

/// A server on the paused clock, whose documents a test can take away, or never give.
#[derive(Clone)]
struct Paused(Arc<Mutex<State>>);

struct State {
    documents: usize,
    token_requests: Vec<String>,
    mood: Mood,
}

#[derive(Clone)]
enum Mood {
    Well { token_endpoint: &'static str, delay: Duration },
    Down(Response<SecretBody>),
    Silent,
}

impl Paused {
    fn start() -> Self {
        let mood = Mood::Well { token_endpoint: "https://auth.example.com/one", delay: Duration::from_millis(50) };
        Self(Arc::new(Mutex::new(State { documents: 0, token_requests: Vec::new(), mood })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    fn set(&self, mood: Mood) {
        self.state().mood = mood;
    }

    fn moved_to(&self, token_endpoint: &'static str) {
        self.set(Mood::Well { token_endpoint, delay: Duration::from_millis(50) });
    }

    fn documents(&self) -> usize {
        self.state().documents
    }

    fn token_requests(&self) -> Vec<String> {
        self.state().token_requests.clone()
    }

    fn source(&self) -> ClientCredentials {
        source(ISSUER).http_client(self.clone()).build().expect("complete")
    }

    fn cache(&self) -> TokenCache {
        TokenCache::builder(self.source()).clock(Clock::tokio()).build().expect("complete")
    }
}

#[async_trait]
impl HttpClient for Paused {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let mood = self.state().mood.clone();
        if request.method() == Method::POST {
            self.state().token_requests.push(request.uri().path().to_owned());
            return match mood {
                Mood::Well { token_endpoint, .. } if request.uri() != token_endpoint => Ok(response(404, "gone")),
                _ => Ok(response(200, TOKEN)),
            };
        }
        self.state().documents += 1;
        match mood {
            Mood::Well { token_endpoint, delay } => {
                sleep(delay).await;
                Ok(response(200, &json!({"issuer": ISSUER, "token_endpoint": token_endpoint})))
            }
            Mood::Down(response) => {
                sleep(Duration::from_millis(50)).await;
                Ok(response)
            }
            Mood::Silent => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_document_is_requested_once_a_day() {
    let server = Paused::start();
    let source = server.source();
    for _ in 0..3 {
        ask(&source).await.expect("a token");
    }
    advance(DAY - MINUTE).await;
    ask(&source).await.expect("a token");
    assert_eq!(server.documents(), 1);
    server.moved_to("https://auth.example.com/two");
    advance(MINUTE).await;
    ask(&source).await.expect("a token");
    assert_eq!(server.documents(), 2);
    assert_eq!(server.token_requests(), ["/one", "/one", "/one", "/one", "/two"]);
}

#[tokio::test(start_paused = true)]
async fn an_old_document_stays_in_use_while_there_is_no_new_one() {
    for mood in [Mood::Down(response(503, "")), Mood::Down(response(200, "{}")), Mood::Silent] {
        let server = Paused::start();
        let source = server.source();
        ask(&source).await.expect("a token");
        server.set(mood);
        advance(DAY).await;
        ask(&source).await.expect("the old one is used");
        let tried = server.documents();
        assert!(tried > 1);
        advance(MINUTE / 2).await;
        ask(&source).await.expect("the old one is used");
        assert_eq!(server.documents(), tried, "not asked for again within a minute");
        server.moved_to("https://auth.example.com/two");
        advance(MINUTE).await;
        ask(&source).await.expect("a token");
        assert_eq!(server.token_requests(), ["/one", "/one", "/one", "/two"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_moved_is_found_within_a_minute() {
    let server = Paused::start();
    let source = server.source();
    ask(&source).await.expect("a token");
    server.moved_to("https://auth.example.com/two");
    advance(MINUTE / 2).await;
    assert_eq!(ask(&source).await.expect_err("gone").status(), Some(StatusCode::NOT_FOUND));
    ask(&source).await.expect_err("gone");
    assert_eq!(server.documents(), 1, "not asked for again within a minute");
    advance(MINUTE / 2).await;
    ask(&source).await.expect("a token");
    assert_eq!(server.documents(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_time_limit_covers_discovery_and_token_request() {
    let server = Paused::start();
    server.set(Mood::Silent);
    let builder = source(ISSUER).http_client(server.clone());
    let limited = builder.clone().timeout(Duration::from_secs(7)).build().expect("complete");
    let started = tokio::time::Instant::now();
    let error = ask(&limited).await.expect_err("silence");
    assert!(error.is_timeout() && error.is_transient() && error.to_string().contains(ISSUER), "{error}");
    assert_eq!(started.elapsed().as_secs(), 7);
    server.set(Mood::Well { token_endpoint: "https://auth.example.com/one", delay: Duration::from_secs(6) });
    ask(&limited).await.expect("within the limit");
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_retried_when_its_retry_after_is_over() {
    let server = Paused::start();
    let busy = Response::builder().status(429).header(header::RETRY_AFTER, "70").body(SecretBody::default());
    server.set(Mood::Down(busy.expect("a response")));
    let error = ask(&server.source()).await.expect_err("busy");
    assert_eq!((error.status(), error.retry_after()), (Some(StatusCode::TOO_MANY_REQUESTS), Some(70 * MINUTE / 60)));
    assert_eq!(server.documents(), 1, "the second document is not tried");

    let tokens = server.cache();
    tokens.token().await.expect_err("busy");
    for _ in 0..60 {
        advance(Duration::from_secs(1)).await;
        tokens.token().await.expect_err("held back");
    }
    assert_eq!(server.documents(), 2);
    server.moved_to("https://auth.example.com/one");
    advance(2 * MINUTE).await;
    tokens.token().await.expect("a token");
}

#[tokio::test(start_paused = true)]
async fn a_discovery_that_fails_for_a_moment_is_retried_within_the_flight() {
    let server = Paused::start();
    server.set(Mood::Down(response(503, "")));
    let tokens = server.cache();
    let waiting = tokio::spawn(async move { tokens.token().await });
    sleep(Duration::from_millis(10)).await;
    assert_eq!(server.documents(), 1);
    server.moved_to("https://auth.example.com/one");
    waiting.await.expect("no panic").expect("a token");
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_flood_the_issuer() {
    let server = Paused::start();
    server.set(Mood::Down(response(404, "")));
    let tokens = server.cache();
    for _ in 0..600 {
        let _ = tokens.token().await;
        advance(Duration::from_millis(100)).await;
    }
    // Ten attempts, with two documents each.
    assert!((2..=20).contains(&server.documents()), "{} requests", server.documents());
    server.moved_to("https://auth.example.com/one");
    advance(MINUTE).await;
    tokens.token().await.expect("found without a restart");
}

fn scope(number: usize) -> TokenRequest {
    TokenRequest::builder().scope(format!("scope-{number}")).build().expect("a request")
}

#[tokio::test(start_paused = true)]
async fn many_tokens_at_once_share_one_document_and_one_failure() {
    for (well, documents) in [(true, 1), (false, 2)] {
        let server = Paused::start();
        if !well {
            server.set(Mood::Down(response(404, "")));
        }
        let source = Arc::new(server.source());
        let tasks: Vec<_> = (0..10)
            .map(|number| {
                let source = Arc::clone(&source);
                tokio::spawn(async move { source.token(&scope(number)).await.is_ok() })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.expect("no panic"), well);
        }
        assert_eq!(server.documents(), documents);
    }
}

/// As on a runtime that nobody drives any more.
#[tokio::test(start_paused = true)]
async fn a_caller_that_stands_still_in_the_middle_of_discovery_holds_up_no_other() {
    let server = Paused::start();
    let source = server.source();
    let request = scope(1);
    let mut standing_still = source.token(&request);
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(standing_still.as_mut().poll(cx))).await.is_pending());
    assert_eq!(server.documents(), 1);
    ask(&source).await.expect("a token");
    assert_eq!(server.documents(), 2);
    drop(standing_still);
}
