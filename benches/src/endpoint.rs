//! A token endpoint on a real socket, on loopback.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};

/// What the endpoint does with its n-th token request, counted from 1.
#[derive(Clone)]
pub enum Outcome {
    Token { token: String, seconds: u64 },
    Status(u16, &'static str),
    Hang,
}

/// A thread of its own, as a server has a machine of its own.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});

pub struct Endpoint {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Endpoint {
    /// Each token request takes so long.
    pub fn start(exchange: Duration, outcome: impl Fn(usize) -> Outcome + Send + Sync + 'static) -> Self {
        let (outcome, count) = (Arc::new(outcome), Arc::new(AtomicUsize::new(0)));
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let counter = Arc::clone(&count);
        RUNTIME.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (outcome, counter) = (Arc::clone(&outcome), Arc::clone(&counter));
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let (outcome, counter) = (Arc::clone(&outcome), Arc::clone(&counter));
                    async move {
                        let _ = request.into_body().collect().await;
                        let outcome = outcome(counter.fetch_add(1, Ordering::SeqCst) + 1);
                        sleep(exchange).await;
                        Ok::<_, Infallible>(response(outcome).await)
                    }
                });
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, count }
    }

    /// Issues one token, of so many bytes, for a day.
    pub fn of_one_token(bytes: usize) -> Self {
        Self::start(Duration::ZERO, move |_| Outcome::Token { token: "t".repeat(bytes), seconds: 24 * 3600 })
    }

    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// How many token requests came in.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

async fn response(outcome: Outcome) -> Response<Full<bytes::Bytes>> {
    let response = Response::builder();
    let response = match outcome {
        Outcome::Token { token, seconds } => {
            let body = format!(r#"{{"access_token":"{token}","expires_in":{seconds},"token_type":"Bearer"}}"#);
            response.header("content-type", "application/json").body(Full::from(body))
        }
        Outcome::Status(status, body) => response.status(status).body(Full::from(body)),
        Outcome::Hang => std::future::pending().await,
    };
    response.expect("a response")
}
