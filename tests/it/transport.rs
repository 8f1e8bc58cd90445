//! How failures of the connection are told apart, over real sockets and with every kind of client.

use std::{error::Error as _, io, sync::Arc};

use bytes::Bytes;
use client_credentials::{Error, ErrorKind, HttpClient, IntoHttpClient, TokenCache, TowerClient};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::io::AsyncWriteExt;

use crate::support::{
    Nobody,
    endpoint::{self, Failing, clients, obtain, source, with_client},
    sockets::{
        self,
        http2::{Http2, fail_http2},
        server,
    },
};

type Clients = Vec<(&'static str, Option<Arc<dyn HttpClient>>)>;

async fn failure(name: &str, url: &str, client: Option<Arc<dyn HttpClient>>) -> Error {
    obtain(with_client(source(url).allow_plain_http(), client)).await.expect_err(name)
}

/// All that is said, by `Display` of the error and of each of its causes, and by `Debug`.
fn said(error: &Error) -> String {
    let mut text = format!("{error:?} {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[tokio::test]
async fn a_refused_connection_has_an_error_kind_of_its_own() {
    let nobody = Nobody::new();
    for (name, client) in clients() {
        let error = failure(name, &format!("{}/token?secret=no", nobody.origin()), client).await;
        assert_eq!(error.kind(), ErrorKind::Connect, "{name}: {error:?}");
        assert!(error.is_transient(), "{name}");
        // No proxy leads to loopback.
        assert!(!error.to_string().contains("proxy"), "{name}: {error}");
        let said = said(&error);
        assert!(said.contains("refused") && !said.contains("secret"), "{name}: {said}");
    }
}

#[tokio::test]
async fn a_reset_has_an_error_kind_of_its_own() {
    let reset = server(|mut stream| async move {
        sockets::read_some(&mut stream).await;
        sockets::reset(stream);
    })
    .await;
    let closed = sockets::closing().await;
    let short = server(|mut stream| async move {
        sockets::read_some(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access").await;
    })
    .await;
    for (server, began) in [(&reset, false), (&closed, false), (&short, true)] {
        let url = &server.origin();
        for (name, client) in clients() {
            let error = failure(name, url, client).await;
            assert_eq!(error.kind(), ErrorKind::Reset, "{name}, {url}: {error:?}");
            // A port of TLS does so, too, unless it has begun to respond.
            assert_eq!(error.to_string().contains("write the URL with `https`"), !began, "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn a_host_without_an_address_has_an_error_kind_of_its_own() {
    for (name, client) in clients() {
        let error = failure(name, "http://tls-handshake-certificate.invalid/token", client).await;
        assert_eq!(error.kind(), ErrorKind::Dns, "{name}: {error:?}");
    }
}

#[tokio::test]
async fn garbage_instead_of_http_is_a_failure_of_the_transport() {
    // Of a mail server, and the alert of one that speaks TLS.
    for garbage in [&b"220 mail.example.com ESMTP\r\n"[..], &[0x15, 3, 1, 0, 2, 2, 70]] {
        let server = server(move |mut stream| async move {
            sockets::read_some(&mut stream).await;
            let _ = stream.write_all(garbage).await;
        })
        .await;
        for (name, client) in clients() {
            let error = failure(name, &server.origin(), client).await;
            assert_eq!(error.kind(), ErrorKind::Transport, "{name}: {error:?}");
            assert!(error.is_transient());
            let says = "the response is not HTTP (if the port speaks TLS, write the URL with `https`)";
            assert!(error.to_string().ends_with(says), "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn a_client_without_tls_has_an_error_kind_of_its_own() {
    let error = failure("no TLS", "https://127.0.0.1:1/token", Some(Arc::new(endpoint::tower_client()))).await;
    assert_eq!(error.kind(), ErrorKind::TlsMissing, "{error:?}");
    assert!(!error.is_transient());
    for advice in ["`rustls` or `native-tls` of client-credentials", ".http_client(..)"] {
        assert!(error.to_string().contains(advice), "{error}");
    }
}

/// Clients that speak HTTP/2 without asking.
fn http2_clients() -> Clients {
    let hyper = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let reqwest = reqwest::Client::builder().http2_prior_knowledge();
    vec![
        ("reqwest", Some(reqwest.into_http_client().expect("a client"))),
        ("hyper-util", Some(Arc::new(TowerClient::<_, Full<Bytes>>::new(hyper)))),
    ]
}

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

const HTTP2_FAULTS: [Http2; 6] = [
    Http2::GoAway(NO_ERROR),
    Http2::GoAway(INTERNAL_ERROR),
    Http2::ResetStream(REFUSED_STREAM),
    Http2::ResetStream(INTERNAL_ERROR),
    Http2::ResetStream(CANCEL),
    Http2::Closes,
];

#[tokio::test]
async fn a_stream_or_a_connection_that_http2_ends_is_a_reset() {
    for fault in HTTP2_FAULTS {
        for within in [false, true] {
            let server = server(move |stream| async move { fail_http2(stream, fault, within).await }).await;
            for (name, client) in http2_clients() {
                let error = failure(name, &server.origin(), client).await;
                assert_eq!(error.kind(), ErrorKind::Reset, "{name}, {fault:?}, {within}: {error:?}");
                // What a server says with GOAWAY may be what it was sent.
                assert!(!said(&error).contains("12345"), "{name}, {fault:?}: {error:?}");
            }
        }
    }
}

/// With pings, as the documents want them.
#[tokio::test]
async fn a_dead_connection_of_http2_is_a_reset() {
    let server = server(|stream| fail_http2(stream, Http2::Hangs, false)).await;
    let ping = std::time::Duration::from_millis(50);
    let client = reqwest::Client::builder().http2_prior_knowledge();
    let client = client.http2_keep_alive_interval(ping).http2_keep_alive_timeout(ping);
    let client = client.into_http_client().expect("a client");
    let error = failure("dead", &server.origin(), Some(client)).await;
    assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");
}

#[tokio::test]
async fn a_client_of_ones_own_that_fails_is_named_and_its_failure_classified() {
    for (cause, transient, kind, says) in [
        (
            (|| io::ErrorKind::ConnectionReset.into()) as fn() -> io::Error,
            true,
            ErrorKind::Reset,
            "failed: the connection was closed",
        ),
        (|| io::Error::other("dns error"), true, ErrorKind::Dns, "failed: the host name could not be resolved"),
        (
            || io::Error::other("received fatal alert: CertificateRequired"),
            true,
            ErrorKind::Tls,
            "none that it accepts (pass",
        ),
        (
            || io::Error::other("connection error received: not a result of an error (b\"client_secret=12345\")"),
            true,
            ErrorKind::Reset,
            "failed: the connection was closed",
        ),
        // The words of a URL are nobody's failure.
        (
            || io::Error::other("error sending request for url (https://tls-handshake.example.com/)"),
            true,
            ErrorKind::Transport,
            "`Failing` failed",
        ),
        (|| io::Error::other("out of luck"), true, ErrorKind::Transport, "`Failing` failed"),
        (|| io::ErrorKind::ConnectionReset.into(), false, ErrorKind::Refused, "`Failing` refused"),
    ] {
        for shared in [false, true] {
            let client = Failing(move || {
                let cause = io::Error::other(cause());
                if transient { Error::transient(cause) } else { Error::permanent(cause) }
            });
            let builder = source("https://auth.example.com/token");
            let builder = if shared {
                builder.http_client(Arc::new(client) as Arc<dyn HttpClient>)
            } else {
                builder.http_client(client)
            };
            let error = obtain(builder).await.expect_err("failing");
            assert_eq!((error.kind(), error.is_transient()), (kind, transient), "{error:?}");
            let text = error.to_string();
            assert!(text.contains("failed: the HTTP client `Failing` ") && text.contains(says), "{text}");
            assert!(!said(&error).contains("12345"), "{error:?}");
        }
    }
}

#[cfg(feature = "rustls")]
mod tls {
    use tokio_rustls::rustls::{
        self,
        version::{TLS12, TLS13},
    };

    use super::*;
    use crate::support::{
        endpoint::token_response,
        responding,
        sockets::{
            Listening,
            tls::{Identity, tls_server},
        },
    };

    fn https(server: &Listening) -> String {
        format!("https://localhost:{}/token", server.port)
    }

    /// Every client that has TLS, and trusts `identity`.
    fn tls_clients(identity: &Identity) -> Clients {
        let certificate = || reqwest::Certificate::from_der(&identity.certificate).expect("a certificate");
        let rustls = reqwest::Client::builder().tls_backend_rustls().tls_certs_only([certificate()]);
        let mut clients: Clients = vec![
            ("reqwest with rustls", Some(rustls.into_http_client().expect("a client"))),
            ("hyper-util's with rustls", Some(Arc::new(hyper_rustls_client(identity)))),
        ];
        #[cfg(feature = "native-tls")]
        {
            let native = reqwest::Client::builder().tls_backend_native().tls_certs_only([certificate()]);
            clients.push(("reqwest with native-tls", Some(native.into_http_client().expect("a client"))));
        }
        clients
    }

    fn hyper_rustls_client(identity: &Identity) -> impl HttpClient + use<> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(identity.certificate.clone()).expect("a certificate");
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_all_versions()
            .build();
        TowerClient::<_, Full<Bytes>>::new(Client::builder(TokioExecutor::new()).build(connector))
    }

    fn with_default(mut clients: Clients) -> Clients {
        clients.push(("the default client", None));
        clients
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_within_the_handshake_is_a_reset() {
        let at_once = server(|stream| async move { drop(stream) }).await;
        let after_hello = sockets::closing().await;
        let reset = server(|mut stream| async move {
            sockets::read_some(&mut stream).await;
            sockets::reset(stream);
        })
        .await;
        for (how, server) in [("at once", at_once), ("after its hello", after_hello), ("by a reset", reset)] {
            for (name, client) in with_default(tls_clients(&Identity::new())) {
                let error = failure(name, &https(&server), client).await;
                assert_eq!(error.kind(), ErrorKind::Reset, "{name}, {how}: {error:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_port_that_does_not_speak_tls_is_named() {
        let http = responding(token_response()).await;
        let mail = server(|mut stream| async move {
            let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n").await;
            sockets::read_some(&mut stream).await;
        })
        .await;
        for url in [http.uri().replace("http://", "https://"), https(&mail)] {
            for (name, client) in with_default(tls_clients(&Identity::new())) {
                let error = failure(name, &url, client).await;
                assert_eq!(error.kind(), ErrorKind::Tls, "{name}, {url}: {error:?}");
                let says = "the server's port does not speak TLS (check the scheme and the port of the URL)";
                assert!(error.to_string().ends_with(says), "{name}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn plain_http_to_a_port_of_tls_is_named() {
        let server = tls_server(Identity::new().acceptor(&[&TLS13, &TLS12], "http/1.1", false), |_| async {}).await;
        for (name, client) in clients() {
            let error = failure(name, &server.origin(), client).await;
            assert_eq!(error.kind(), ErrorKind::Transport, "{name}: {error:?}");
            assert!(error.to_string().contains("write the URL with `https`"), "{name}: {error}");
        }
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_signed_is_a_failure_of_tls() {
        let server = tls_server(Identity::new().acceptor(&[&TLS13, &TLS12], "http/1.1", false), |_| async {}).await;
        for (name, client) in with_default(tls_clients(&Identity::new())) {
            let own = client.is_none();
            let error = failure(name, &https(&server), client).await;
            assert_eq!(error.kind(), ErrorKind::Tls, "{name}: {error:?}");
            assert!(error.to_string().contains("the TLS connection failed"), "{name}: {error}");
            assert_eq!(error.to_string().contains(".http_client(..)"), own, "{name}: {error}");
        }
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_decrypted_is_a_failure_of_tls() {
        let identity = Identity::new();
        let server = tls_server(identity.acceptor(&[&TLS13], "http/1.1", false), |mut stream| async move {
            sockets::read_some(&mut stream).await;
            let _ = stream.get_mut().0.write_all(&[&[23, 3, 3, 0, 20][..], &[7; 20]].concat()).await;
        })
        .await;
        for (name, client) in tls_clients(&identity) {
            let error = failure(name, &https(&server), client).await;
            assert_eq!(error.kind(), ErrorKind::Tls, "{name}: {error:?}");
        }
    }

    /// With TLS 1.3 the server's alert comes after the client's side of the handshake is done, and hyper may lose it.
    #[tokio::test]
    async fn a_demanded_certificate_of_the_client_is_always_a_matter_of_tls() {
        let identity = Identity::new();
        for (versions, alpn) in [(&TLS13, "http/1.1"), (&TLS13, "h2"), (&TLS12, "http/1.1"), (&TLS12, "h2")] {
            let server = tls_server(identity.acceptor(&[versions], alpn, true), |_| async {}).await;
            for (name, client) in tls_clients(&identity) {
                for _ in 0..10 {
                    let error = failure(name, &https(&server), client.clone()).await;
                    assert_eq!(error.kind(), ErrorKind::Tls, "{name}, {versions:?}, {alpn}: {error:?}");
                    let text = error.to_string();
                    assert!(text.contains("client certificate") && text.contains(".http_client(..)"), "{text}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_fault_of_http2_is_a_reset_over_tls_too() {
        let identity = Identity::new();
        for fault in HTTP2_FAULTS {
            let acceptor = identity.acceptor(&[&TLS13], "h2", false);
            let server = tls_server(acceptor, move |stream| async move { fail_http2(stream, fault, true).await }).await;
            for (name, client) in tls_clients(&identity) {
                let error = failure(name, &https(&server), client).await;
                assert_eq!(error.kind(), ErrorKind::Reset, "{name}, {fault:?}: {error:?}");
            }
        }
    }

    /// As a server does that is being restarted: the request was not sent, and is sent again.
    #[tokio::test]
    async fn a_connection_that_is_closed_after_the_handshake_is_tried_again_at_once() {
        let identity = Identity::new();
        let acceptor = identity.acceptor(&[&TLS13], "http/1.1", false);
        let connections = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let server = tls_server(acceptor, move |mut stream| {
            let first = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            async move {
                if !first {
                    sockets::read_some(&mut stream).await;
                    let _ = stream.write_all(sockets::response(endpoint::TOKEN).as_bytes()).await;
                }
                let _ = stream.shutdown().await;
            }
        })
        .await;
        for (name, client) in tls_clients(&identity) {
            connections.store(0, std::sync::atomic::Ordering::SeqCst);
            let source = with_client(source(https(&server)), client).build().expect("complete");
            TokenCache::from(source).token().await.expect(name);
        }
    }
}
