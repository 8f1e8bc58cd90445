use std::{future::Future, io, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

/// An HTTP/1 server on a loopback port. Dropping it stops it and closes all its connections.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    task: tokio::task::AbortHandle,
}

impl Server {
    /// Where `handler` returns `None`, the connection is closed without a response.
    pub(super) async fn start<F, Fut>(handler: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Option<Response<Bytes>>> + Send,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let handler = handler.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let handler = handler.clone();
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                        let response = handler(Request::from_parts(parts, body)).await;
                        // An error makes hyper close the connection.
                        response
                            .map(|response| response.map(Full::new))
                            .ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset))
                    }
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, task: task.abort_handle() }
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
