//! wiremock's server, an address without one, and hyper-util's client.
#![allow(dead_code, unreachable_pub)]

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use wiremock::{Mock, MockServer, Respond, matchers::any};

/// A server that gives this response to every request.
pub async fn responding(response: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(response).mount(&server).await;
    server
}

/// All requests that this server received, in order.
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

    pub fn port(&self) -> u16 {
        self.0.local_addr().expect("a bound address").port()
    }

    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }
}

/// hyper-util's client, over plain http.
pub fn hyper_client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

pub fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).expect("a request")
}
