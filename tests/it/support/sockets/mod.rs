//! Servers of bytes, written by hand, for what wiremock cannot do: faults within a connection, TLS, frames of HTTP/2,
//! and bodies that are slow or never end.
#![allow(dead_code, unreachable_pub)]

pub mod http2;
#[cfg(feature = "reqwest-middleware")]
pub mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::endpoint::TOKEN;

/// A server on a loopback port.
pub struct Listening {
    pub port: u16,
    connections: Arc<AtomicUsize>,
}

impl Listening {
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Serves each connection by this function, from its first byte on.
pub async fn server<F, Fut>(serve: F) -> Listening
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let port = listener.local_addr().expect("a bound address").port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    Listening { port, connections }
}

/// Serves each connection by this function once the head of its first request was read, which is given in lower case.
pub async fn after_head<F, Fut>(serve: F) -> Listening
where
    F: Fn(String, TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let serve = Arc::new(serve);
    server(move |mut stream| {
        let serve = Arc::clone(&serve);
        async move {
            let head = head(&mut stream).await;
            // The client may be gone.
            let _ = serve(head, stream).await;
        }
    })
    .await
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

/// Reads what there is of a request.
pub async fn read_some(stream: &mut (impl AsyncRead + Unpin)) {
    let _ = stream.read(&mut [0; 16 * 1024]).await;
}

/// Ends a connection by a reset, whatever was read of it.
pub fn reset(stream: TcpStream) {
    let _ = stream.into_std().map(|stream| socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
}

/// Reads a request and closes the connection.
pub async fn closing() -> Listening {
    server(|mut stream| async move { read_some(&mut stream).await }).await
}

/// Never responds.
pub async fn silent() -> Listening {
    server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(stream);
    })
    .await
}

/// Sends one byte of a good token response a second.
pub async fn dripping() -> Listening {
    server(|mut stream| async move {
        read_some(&mut stream).await;
        let response = response(TOKEN);
        let (head, body) = response.split_at(response.len() - TOKEN.len());
        let _ = stream.write_all(head.as_bytes()).await;
        for byte in body.as_bytes() {
            let _ = stream.write_all(&[*byte]).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await
}

/// A 200 with this body, as it is on the wire.
pub fn response(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
