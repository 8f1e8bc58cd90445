//! HTTP servers on loopback: wiremock's, and one by hand for responses that wait for something.
#![allow(dead_code, unreachable_pub)]

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};
use wiremock::{Mock, MockServer, Respond, matchers::any};

/// A server that gives this response to every request.
pub async fn responding(response: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(response).mount(&server).await;
    server
}

/// All that this server was asked, in order.
pub async fn received(server: &MockServer) -> Vec<wiremock::Request> {
    server.received_requests().await.expect("wiremock records unless it is told not to")
}

/// An address where nobody listens. The port is bound as long as this is kept, so that no other test gets it.
pub struct Nobody(tokio::net::TcpSocket);

impl Nobody {
    pub fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a loopback port");
        Self(socket)
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("a bound address"))
    }
}

/// A server of bytes, by hand: what becomes of a connection once the head of its first request has been read, which is
/// given in lower case.
pub async fn head_server<F, Fut>(handle: F) -> String
where
    F: Fn(String, TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let origin = format!("http://{}", listener.local_addr().expect("a bound address"));
    let handle = Arc::new(handle);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let handle = Arc::clone(&handle);
            tokio::spawn(async move {
                let head = head(&mut stream).await;
                handle(head, stream).await
            });
        }
    });
    origin
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).to_ascii_lowercase()
}

type Answer = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

/// A server whose responses may wait, which those of wiremock cannot. It ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start<F, Fut>(handler: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let handler: Arc<dyn Fn(Request<Bytes>) -> Answer + Send + Sync> =
            Arc::new(move |request| Box::pin(handler(request)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (handler, record) = (Arc::clone(&handler), Arc::clone(&record));
                let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (handler, record) = (Arc::clone(&handler), Arc::clone(&record));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                        let request = Request::from_parts(parts, body);
                        lock(&record).push(request.clone());
                        Ok::<_, Infallible>(handler(request).await.map(Full::new))
                    }
                });
                connections.spawn(async move {
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen, task }
    }

    /// Such as `http://127.0.0.1:4000`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request that came in, in order.
    pub fn seen(&self) -> Vec<Request<Bytes>> {
        lock(&self.seen).clone()
    }

    pub fn count(&self) -> usize {
        lock(&self.seen).len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
}

pub fn json(body: &str) -> Response<Bytes> {
    let mut response = answer(StatusCode::OK, body.to_owned());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

pub fn challenge(value: &str) -> Response<Bytes> {
    let mut response = answer(StatusCode::UNAUTHORIZED, "who are you?");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, value.parse().expect("a header value"));
    response
}

/// hyper-util's client, over plain http.
pub fn hyper_client()
-> hyper_util::client::legacy::Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>> {
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http()
}

pub fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).expect("a request")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
