//! Sends a request again and again, and neither builds nor allocates anything, so that only the layer is counted.

use std::{
    cell::RefCell,
    collections::VecDeque,
    convert::Infallible,
    fmt::Debug,
    hint::black_box,
    pin::{Pin, pin},
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
pub type Response = http::Response<()>;

thread_local! {
    /// The requests that this thread sends in turn. One that was sent goes to the end.
    static REQUESTS: RefCell<VecDeque<Request>> = const { RefCell::new(VecDeque::new()) };
}

/// Sends one request. It belongs to the thread that made it, and replaces the one made there before.
pub type Sender = Box<dyn FnMut()>;

/// A POST with three headers.
pub fn request() -> Request {
    http::Request::post("https://api.example.com/v1/things?page=2")
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(USER_AGENT, HeaderValue::from_static("benches"))
        .body(Bytes::from_static(br#"{"name":"a thing"}"#))
        .expect("a request")
}

/// A client that is always ready, and responds at once.
#[derive(Clone)]
pub struct Echo;

impl Service<Request> for Echo {
    type Response = Response;
    type Error = Infallible;
    type Future = Respond;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        REQUESTS.with_borrow_mut(|requests| requests.push_back(request));
        Respond
    }
}

/// Makes the response when it is polled, so that little is copied.
pub struct Respond;

impl Future for Respond {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(Response::new(())))
    }
}

/// The outcome of a future that never waits.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it was to be ready at once"),
    }
}

/// Sends these requests in turn, through one service.
pub fn through<S>(mut service: S, requests: Vec<Request>) -> Sender
where
    S: Service<Request, Response = Response, Error: Debug> + 'static,
{
    REQUESTS.set(requests.into());
    Box::new(move || send(&mut service))
}

/// The same through a clone of the service for each request.
pub fn through_clones<S>(service: S, requests: Vec<Request>) -> Sender
where
    S: Service<Request, Response = Response, Error: Debug> + Clone + 'static,
{
    REQUESTS.set(requests.into());
    Box::new(move || send(&mut service.clone()))
}

fn send<S>(service: &mut S)
where
    S: Service<Request, Response = Response, Error: Debug>,
{
    let mut request = REQUESTS.with_borrow_mut(VecDeque::pop_front).expect("the one that was sent");
    request.headers_mut().remove(AUTHORIZATION);
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    // By reference: otherwise the compiler copies the response in some builds only.
    let response = pin!(service.call(request)).poll(&mut context);
    assert!(matches!(black_box(&response), Poll::Ready(Ok(_))));
}
