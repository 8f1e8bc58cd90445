//! Connections that fail: within a TLS handshake, by frames of HTTP/2, at a proxy.
#![allow(dead_code, unreachable_pub)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
        server::WebPkiClientVerifier,
    },
    server::TlsStream,
};

/// A server that does with each connection what it is told. Its port, and how many connections there were.
pub async fn server<F, Fut>(serve: F) -> (u16, Arc<AtomicUsize>)
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
    (port, connections)
}

/// A port that nobody listens on.
pub async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound").port()
}

pub async fn read_some(stream: &mut (impl AsyncRead + Unpin)) {
    let _ = stream.read(&mut [0; 16 * 1024]).await;
}

/// Ends a connection by a reset, whatever was read of it.
pub fn reset(stream: TcpStream) {
    let _ = stream.into_std().map(|stream| socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
}

/// A certificate for `localhost` that its own key signed.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub fn new() -> Self {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
        Self { certificate: signed.cert.der().clone(), key }
    }

    /// For servers; `demanding` a certificate of the client that nobody has.
    pub fn acceptor(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &str,
        demanding: bool,
    ) -> TlsAcceptor {
        let builder = ServerConfig::builder_with_protocol_versions(versions);
        let builder = if demanding {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.certificate.clone()).expect("a certificate");
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("roots"))
        } else {
            builder.with_no_client_auth()
        };
        let mut config =
            builder.with_single_cert(vec![self.certificate.clone()], self.key.clone_key()).expect("a configuration");
        config.alpn_protocols.push(alpn.into());
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server that speaks TLS, and does with each connection what it is told. Its port.
pub async fn tls_server<F, Fut>(acceptor: TlsAcceptor, serve: F) -> u16
where
    F: Fn(TlsStream<TcpStream>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let accept = move |stream| {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream).await;
            }
        }
    };
    server(accept).await.0
}

/// How a server of HTTP/2 fails, after it has read a request.
#[derive(Clone, Copy, Debug)]
pub enum Http2 {
    /// Another reason than `NO_ERROR` has debug data that repeats the request's body.
    GoAway(u32),
    ResetStream(u32),
    Closes,
    /// Says nothing any more, not even to pings.
    Hangs,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// Of SETTINGS.
const ACK: u8 = 1;
/// Of HEADERS and DATA.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One connection of HTTP/2: reads a request, begins to respond if it fails `within` the response, and fails.
pub async fn fail_http2(stream: impl AsyncRead + AsyncWrite + Unpin, fault: Http2, within: bool) {
    // The client may be gone before.
    let _ = serve(stream, fault, within).await;
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, fault: Http2, within: bool) -> std::io::Result<()> {
    stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let body = read_request(&mut stream).await?;
    if within {
        // `:status: 200`, of HPACK's static table.
        stream.write_all(&frame(HEADERS, END_HEADERS, 1, &[0x88])).await?;
        stream.write_all(&frame(DATA, 0, 1, b"{\"access_token\":\"abc")).await?;
        stream.flush().await?;
        // So that the response has begun for the client, too.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    match fault {
        Http2::ResetStream(reason) => stream.write_all(&frame(RST_STREAM, 0, 1, &reason.to_be_bytes())).await?,
        Http2::GoAway(reason) => {
            let mut payload = [u32::from(within).to_be_bytes(), reason.to_be_bytes()].concat();
            if reason != 0 {
                payload.extend_from_slice(&body);
            }
            stream.write_all(&frame(GOAWAY, 0, 0, &payload)).await?;
        }
        Http2::Closes | Http2::Hangs => {}
    }
    stream.flush().await?;
    if let Http2::ResetStream(_) | Http2::Hangs = fault {
        while stream.read(&mut [0; 1024]).await? > 0 {}
    }
    stream.shutdown().await
}

/// Reads frames up to the end of the first request, whose body it is.
async fn read_request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await?;
        match (head[3], head[4]) {
            (SETTINGS, 0) => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
            (DATA, flags) => {
                body.extend_from_slice(&payload);
                if flags & END_STREAM != 0 {
                    return Ok(body);
                }
            }
            (HEADERS, flags) if flags & END_STREAM != 0 => return Ok(body),
            _ => {}
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
