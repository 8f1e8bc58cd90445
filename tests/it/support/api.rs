//! An API in memory, and tokens for it, for tests on tokio's paused clock.
//!
//! The API of `testing` responds as RFC 6750 says. This one responds as a test says, with any challenge to any request.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use client_credentials::{Clock, TokenCache, TokenCacheBuilder};
use http::{Request, Response};
use http_body_util::Full;
use tower::Service;

use super::source::Source;

pub type Body = Full<Bytes>;

/// Tokens `token-1`, `token-2` … that take 50 ms to get and live for an hour.
pub fn tokens() -> (TokenCacheBuilder, Source) {
    let source = Source::new();
    source.delay(Duration::from_millis(50));
    (TokenCache::builder(source.clone()).clock(Clock::tokio()), source)
}

/// For `https://api.example.com` alone.
pub fn api_tokens() -> (TokenCache, Source) {
    let (builder, source) = tokens();
    (builder.origin("https://api.example.com").build().expect("the settings are complete"), source)
}

/// A service that remembers what it was asked, and responds at once.
#[derive(Clone)]
pub struct Api {
    seen: Arc<Mutex<Vec<Request<Body>>>>,
    respond: Arc<Respond>,
}

type Respond = dyn Fn(&Request<Body>) -> Response<Body> + Send + Sync;

impl Api {
    pub fn new(respond: impl Fn(&Request<Body>) -> Response<Body> + Send + Sync + 'static) -> Self {
        Self { seen: Arc::default(), respond: Arc::new(respond) }
    }

    /// Responds with 200 to everything.
    pub fn open() -> Self {
        Self::new(|_| Response::default())
    }

    /// Responds with 401 and this challenge (`None`: without one) to every token but this one.
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
}

impl Service<Request<Body>> for Api {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = (self.respond)(&request);
        self.seen.lock().expect("no panic").push(request);
        ready(Ok(response))
    }
}

/// The bearer token of a request.
pub fn bearer<B>(request: &Request<B>) -> Option<&str> {
    super::bearer(request.headers())
}

pub fn rejection(challenge: Option<&str>) -> Response<Body> {
    let builder = Response::builder().status(401);
    let builder = match challenge {
        Some(challenge) => builder.header("www-authenticate", challenge),
        None => builder,
    };
    builder.body(Full::from("who are you?")).expect("a response")
}
