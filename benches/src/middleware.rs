//! The rows of reqwest-middleware. Their innermost middleware responds in place of a server, so that nothing is sent.

use std::{cell::RefCell, sync::Arc};

use async_trait::async_trait;
use client_credentials::BearerAuthMiddleware;
use http::{
    Extensions, HeaderValue,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use reqwest::{Request, Response, ResponseBuilderExt};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};

use crate::{
    rows::{Row, Senders, cache},
    send::{Sender, now},
};

pub const ROWS: &[Row] = &[
    Row::new("client", "client", "a client without a middleware", |_| through(client(None::<Nothing>))),
    Row::new("nothing", "client", "a middleware that does nothing", |_| through(client(Some(Nothing)))),
    Row::new("copying", "client", "one that copies the request", |_| through(client(Some(Copying)))),
    Row::new("middleware", "client", "`BearerAuthMiddleware`", |token| {
        through(client(Some(BearerAuthMiddleware::new(cache(token)))))
    }),
    Row::new("middleware-once", "client", "the same, `without_replay`", |token| {
        through(client(Some(BearerAuthMiddleware::new(cache(token)).without_replay())))
    }),
];

thread_local! {
    /// The request that this thread sends again and again.
    static REQUEST: RefCell<Option<Request>> = const { RefCell::new(None) };
}

fn client(middleware: Option<impl Middleware>) -> ClientWithMiddleware {
    let mut builder = ClientBuilder::new(reqwest::Client::new());
    if let Some(middleware) = middleware {
        builder = builder.with(middleware);
    }
    builder.with_arc(Arc::new(Echo)).build()
}

fn through(client: ClientWithMiddleware) -> Senders {
    Box::new(move || sender(client.clone()))
}

fn sender(client: ClientWithMiddleware) -> Sender {
    REQUEST.set(Some(request()));
    Box::new(move || {
        let mut request = REQUEST.take().expect("the one that was sent");
        request.headers_mut().remove(AUTHORIZATION);
        now(client.execute(request)).expect("a response");
    })
}

fn request() -> Request {
    let mut request =
        Request::new(reqwest::Method::POST, "https://api.example.com/v1/things?page=2".parse().expect("a URL"));
    *request.body_mut() = Some(reqwest::Body::from(r#"{"name":"a thing"}"#));
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("benches"));
    request
}

struct Echo;

#[async_trait]
impl Middleware for Echo {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> Result<Response> {
        // Without its URL, the response would look redirected.
        let response = http::Response::builder().url(request.url().clone()).body("");
        REQUEST.set(Some(request));
        Ok(response.expect("a response").into())
    }
}

struct Nothing;

#[async_trait]
impl Middleware for Nothing {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        next.run(request, extensions).await
    }
}

struct Copying;

#[async_trait]
impl Middleware for Copying {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let _copy = request.try_clone();
        next.run(request, extensions).await
    }
}
