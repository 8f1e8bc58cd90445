//! Servers on loopback that answer what a test says, and HTTP/2 too.
#![allow(dead_code, unreachable_pub)]

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

type Answer = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

/// An HTTP server (HTTP/1 and HTTP/2) on loopback; it ends when it is dropped.
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

/// An authorization server and the memory of what it issued.
pub struct AuthorizationServer {
    pub server: Server,
    issued: Issued,
}

/// Which tokens are good, shared by the authorization server and the APIs that check them.
#[derive(Clone, Default)]
pub struct Issued(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lifetime: Duration,
    delay: Duration,
    count: usize,
    good: HashMap<String, Instant>,
    down: bool,
    refused: usize,
}

impl AuthorizationServer {
    /// Issues `token-1`, `token-2` … with this lifetime.
    pub async fn start(lifetime: Duration) -> Self {
        let issued = Issued::default();
        issued.lock().lifetime = lifetime;
        let issuing = issued.clone();
        let server = Server::start(move |_request| {
            let issuing = issuing.clone();
            async move {
                let delay = issuing.lock().delay;
                tokio::time::sleep(delay).await;
                issuing.issue()
            }
        })
        .await;
        Self { server, issued }
    }

    pub fn token_url(&self) -> String {
        format!("{}/oauth2/token", self.server.origin())
    }

    /// Token requests so far.
    pub fn token_requests(&self) -> usize {
        self.server.count()
    }

    /// Answers 503 to every token request, until told otherwise.
    pub fn set_down(&self, down: bool) {
        self.issued.lock().down = down;
    }

    /// Token requests that were answered with 503.
    pub fn refused(&self) -> usize {
        self.issued.lock().refused
    }

    /// How long a token request takes.
    pub fn set_delay(&self, delay: Duration) {
        self.issued.lock().delay = delay;
    }

    /// Makes every token worthless that was issued so far.
    pub fn revoke_all(&self) {
        self.issued.lock().good.clear();
    }

    pub fn issued(&self) -> Issued {
        self.issued.clone()
    }

    /// An API that answers 200 to a good token and 401 with a challenge (RFC 6750) to anything else.
    pub async fn protected_api(&self) -> Server {
        let issued = self.issued();
        Server::start(move |request| {
            let answer = issued.check(&request);
            async move { answer }
        })
        .await
    }
}

impl Issued {
    pub fn check(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match header {
            Some(authorization) if self.is_good(authorization) => answer(StatusCode::OK, request.body().clone()),
            Some(_) => challenge("Bearer realm=\"api\", error=\"invalid_token\""),
            None => challenge("Bearer realm=\"api\""),
        }
    }

    /// Whether the value of an `Authorization` header has a token that is good now.
    pub fn is_good(&self, authorization: &str) -> bool {
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        self.lock().good.get(token).is_some_and(|until| Instant::now() < *until)
    }

    fn issue(&self) -> Response<Bytes> {
        let mut state = self.lock();
        if state.down {
            state.refused += 1;
            return answer(StatusCode::SERVICE_UNAVAILABLE, "down for maintenance");
        }
        state.count += 1;
        let token = format!("token-{}", state.count);
        let (until, seconds) = (Instant::now() + state.lifetime, state.lifetime.as_secs());
        state.good.insert(token.clone(), until);
        json(&format!(r#"{{"access_token":"{token}","expires_in":{seconds},"token_type":"Bearer"}}"#))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
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
