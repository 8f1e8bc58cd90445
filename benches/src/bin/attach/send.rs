//! How a request is sent, over and over, so that what is counted is the layer: nothing is built, and nothing is allocated.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{
    HeaderValue,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use tower::Service;

pub const ORIGIN: &str = "https://api.example.com";

pub type Request = http::Request<Bytes>;
/// The request itself comes back, to be sent again.
pub type Response = http::Response<Request>;

/// Sends one request.
pub type Send = Box<dyn FnMut() + std::marker::Send>;

/// A POST with three headers.
pub fn request() -> Request {
    http::Request::post("https://api.example.com/v1/things?page=2")
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(USER_AGENT, HeaderValue::from_static("benches"))
        .body(Bytes::from_static(br#"{"name":"a thing"}"#))
        .expect("a request")
}

/// A client that is ready always, and answers at once.
#[derive(Clone)]
pub struct Echo;

impl Service<Request> for Echo {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        ready(Ok(Response::new(black_box(request))))
    }
}

/// The outcome of a future that never waits.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it was to be ready at once"),
    }
}

fn send<S>(service: &mut S, request: Request) -> Request
where
    S: Service<Request, Response = Response, Error: std::fmt::Debug>,
{
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    let mut request = now(service.call(request)).expect("an answer").into_body();
    request.headers_mut().remove(AUTHORIZATION);
    request
}

/// Sends these requests in turn, through one service.
pub fn through<S>(mut service: S, requests: Vec<Request>) -> Send
where
    S: Service<Request, Response = Response, Error: std::fmt::Debug> + std::marker::Send + 'static,
{
    in_turn(requests, move |request| send(&mut service, request))
}

/// The same through a clone of the service for each request.
pub fn through_clones<S>(service: S, requests: Vec<Request>) -> Send
where
    S: Service<Request, Response = Response, Error: std::fmt::Debug> + Clone + std::marker::Send + 'static,
{
    in_turn(requests, move |request| send(&mut service.clone(), request))
}

fn in_turn(requests: Vec<Request>, mut send: impl FnMut(Request) -> Request + std::marker::Send + 'static) -> Send {
    let mut requests: Vec<_> = requests.into_iter().map(Some).collect();
    let mut next = 0;
    Box::new(move || {
        let slot = &mut requests[next];
        *slot = slot.take().map(&mut send);
        next += 1;
        if next == requests.len() {
            next = 0;
        }
    })
}
