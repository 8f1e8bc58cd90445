//! A source and an API without a network, for tests on tokio's paused clock.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use client_credentials::{AccessToken, Clock, Error, TokenCache, TokenCacheBuilder, TokenRequest, token_fn};
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::Full;
use tower::Service;

pub type Body = Full<Bytes>;

/// How many tokens were asked for.
#[derive(Clone, Default)]
pub struct Count(Arc<AtomicUsize>);

impl Count {
    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// Tokens `token-1`, `token-2` … that take 50 ms to get and live for an hour.
pub fn tokens() -> (TokenCacheBuilder, Count) {
    tokens_by(|number| Ok(format!("token-{number}")))
}

/// What `issue` makes of the number of the token request.
pub fn tokens_by(issue: impl Fn(usize) -> Result<String, Error> + Send + Sync + 'static) -> (TokenCacheBuilder, Count) {
    let count = Count::default();
    let counter = count.clone();
    let source = token_fn(move |_: TokenRequest| {
        let token = issue(counter.next());
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(AccessToken::new(token?)?.with_expires_in(Duration::from_secs(3600)))
        }
    });
    (TokenCache::builder(source).clock(Clock::tokio()), count)
}

/// For `https://api.example.com` alone.
pub fn api_tokens() -> (TokenCache, Count) {
    let (builder, count) = tokens();
    (builder.origin("https://api.example.com").build().expect("the settings are complete"), count)
}

/// A service that remembers what it was asked, and answers at once.
#[derive(Clone)]
pub struct Api {
    seen: Arc<Mutex<Vec<Request<Body>>>>,
    answer: Arc<Answer>,
}

type Answer = dyn Fn(&Request<Body>) -> Response<Body> + Send + Sync;

impl Api {
    pub fn new(answer: impl Fn(&Request<Body>) -> Response<Body> + Send + Sync + 'static) -> Self {
        Self { seen: Arc::default(), answer: Arc::new(answer) }
    }

    /// Answers 200 to everything.
    pub fn open() -> Self {
        Self::new(|_| Response::default())
    }

    /// Answers 401 with this challenge (none: without one) to every token but this one.
    pub fn accepting(token: &'static str, challenge: Option<&'static str>) -> Self {
        Self::new(
            move |request| if bearer(request) == Some(token) { Response::default() } else { rejection(challenge) },
        )
    }

    pub fn seen(&self) -> Vec<Request<Body>> {
        self.seen.lock().expect("no panic").clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }

    pub fn forget(&self) {
        self.seen.lock().expect("no panic").clear();
    }
}

impl Service<Request<Body>> for Api {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = (self.answer)(&request);
        self.seen.lock().expect("no panic").push(request);
        ready(Ok(response))
    }
}

/// The bearer token of a request.
pub fn bearer<B>(request: &Request<B>) -> Option<&str> {
    request.headers().get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

pub fn rejection(challenge: Option<&str>) -> Response<Body> {
    let builder = Response::builder().status(401);
    let builder = match challenge {
        Some(challenge) => builder.header("www-authenticate", challenge),
        None => builder,
    };
    builder.body(Full::from("who are you?")).expect("a response")
}
