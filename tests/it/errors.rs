//! What a failure says, and how it is classified.

use crate::support;
use crate::support::endpoint;
use std::{error::Error as _, io, time::Duration};

use crate::support::endpoint::{Recorder, ask, clients, source, tcp_server, with_client};
use client_credentials::{
    BearerAuthLayer, BearerAuthMiddleware, Body, Error, ErrorKind, Secret, TokenCache, TokenRequest, token_fn,
};
use http::{Response, StatusCode};
use tokio::io::AsyncWriteExt;

const URL: &str = "https://auth.example.com/oauth2/token?tenant=7";

async fn fail(status: u16, headers: &[(&str, &str)], body: &str) -> Error {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let response = response.body(Body::from(body.to_owned())).expect("a response");
    let recorder = Recorder::new(move |_| Ok(response.clone()));
    ask(&source(URL).http_client(recorder).build().expect("complete")).await.expect_err("a failure")
}

#[tokio::test]
async fn an_error_response_is_read_as_values() {
    let body =
        r#"{"error":"invalid_scope","error_description":"no such scope","error_uri":"https://auth.example.com/help"}"#;
    let error = fail(400, &[("retry-after", "7")], body).await;
    assert_eq!(error.kind(), ErrorKind::ErrorResponse);
    assert_eq!(error.status(), Some(StatusCode::BAD_REQUEST));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let response = error.response().expect("a response");
    assert_eq!(response.error, "invalid_scope");
    assert_eq!(response.error_description.as_deref(), Some("no such scope"));
    assert_eq!(response.error_uri.as_deref(), Some("https://auth.example.com/help"));
    let text = error.to_string();
    for said in ["https://auth.example.com/oauth2/token", "invalid_scope", "400", "no such scope", "check the scopes"] {
        assert!(text.contains(said), "{text}");
    }
    assert!(!text.contains("tenant"), "the query is not shown: {text}");
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_or_as_a_date() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:30 GMT");
    for (headers, expected) in [
        (&[("retry-after", "7")][..], Some(7)),
        (&[("retry-after", " 120 ")][..], Some(120)),
        (&[date, ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")][..], Some(7)),
        (&[date, ("retry-after", "Sunday, 06-Nov-94 08:50:30 GMT")][..], Some(60)),
        (&[date, ("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT")][..], None),
        (&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")][..], None),
        (&[("retry-after", "0")][..], None),
        (&[("retry-after", "-1")][..], None),
        (&[("retry-after", "soon")][..], None),
        (&[("retry-after", "")][..], None),
        (&[("retry-after", "99999999999999999999999")][..], None),
        (&[][..], None),
    ] {
        for status in [400, 429, 503] {
            let error = fail(status, headers, "").await;
            assert_eq!(error.retry_after(), expected.map(Duration::from_secs), "{status}, {headers:?}");
        }
    }
    let far = fail(503, &[("retry-after", "18446744073709551615")], "").await;
    assert_eq!(far.retry_after(), Some(Duration::from_secs(u64::MAX)));
}

#[tokio::test]
async fn an_error_is_classified_by_its_code_and_not_by_its_status() {
    for (status, code, transient) in [
        (400, "invalid_client", false),
        (401, "invalid_client", false),
        (403, "invalid_client", false),
        (200, "invalid_client", false),
        (400, "invalid_scope", false),
        (400, "invalid_grant", false),
        (400, "unauthorized_client", false),
        (400, "unsupported_grant_type", false),
        (400, "something_else", false),
        (429, "invalid_client", true),
        (429, "slow_down", true),
        (500, "invalid_request", true),
        (503, "invalid_client", true),
        (400, "temporarily_unavailable", true),
        (400, "server_error", true),
    ] {
        let error = fail(status, &[], &format!(r#"{{"error":"{code}"}}"#)).await;
        assert_eq!(error.kind(), ErrorKind::ErrorResponse, "{status} {code}");
        assert_eq!(error.is_transient(), transient, "{status} {code}");
        assert_eq!(error.response().map(|response| response.error.as_str()), Some(code));
    }
}

#[tokio::test]
async fn a_failure_without_a_code_is_an_error_with_a_short_clean_excerpt() {
    for (body, excerpt) in [
        (r#"{"error":{"code":17,"message":"broken"}}"#, r#"{"error":{"code":17,"message":"broken"}}"#),
        (r#"{"message":"Bad request"}"#, r#"{"message":"Bad request"}"#),
        (r#"{"errors":["one","two"]}"#, r#"{"errors":["one","two"]}"#),
        (r#"["one"]"#, r#"["one"]"#),
        ("", "HTTP 502"),
        ("<html>\r\n\t<h1>Bad   gateway</h1></html>", "<html> <h1>Bad gateway</h1></html>"),
        ("a\u{1b}[31mred\u{1b}[0m\u{7}b\u{9b}1mc", "a red b c"),
        ("a\u{202e}b\u{200b}c\u{2066}d\u{61c}e\u{feff}f", "a b c d e f"),
    ] {
        let error = fail(502, &[("content-type", "text/html")], body).await;
        assert_eq!(error.kind(), ErrorKind::Status, "{body}");
        assert_eq!(error.status(), Some(StatusCode::BAD_GATEWAY));
        assert!(error.is_transient() && error.response().is_none());
        let text = error.to_string();
        assert!(text.contains("HTTP 502") && text.ends_with(excerpt), "{body:?}: {text:?}");
    }
    for long in ["x".repeat(100_000), "é".repeat(100_000), "\u{1b}[".repeat(50_000)] {
        let text = fail(500, &[], &long).await.to_string();
        assert!(text.chars().count() < 300, "{} characters", text.chars().count());
    }
    // The code and the description are as short, and as clean.
    let body =
        format!(r#"{{"error":"{}","error_description":"a\u001b[1mb\u202e{}"}}"#, "e".repeat(1000), "d".repeat(1000));
    let error = fail(400, &[], &body).await;
    let response = error.response().expect("an OAuth error");
    assert_eq!(response.error.chars().count(), 200);
    let description = response.error_description.as_deref().expect("one");
    assert!(description.starts_with("a b ddd") && description.chars().count() == 200, "{description}");
}

#[tokio::test]
async fn a_token_that_stands_in_a_failure_is_not_quoted() {
    for body in [
        r#"{"access_token":"q7w8e9r0t1"}"#,
        r#"{"data":[{"access_token":"q7w8e9r0t1","id_token":"q7w8e9r0t1"}]}"#,
        r#"{"data":{"refresh_token":["q7w8e9r0t1"]}}"#,
        "expires_in=60&access_token=q7w8e9r0t1",
        "refresh_token=q7w8e9%72%30t1&access_token=q7w8e9r0t1&again=q7w8e9r0t1",
    ] {
        for content_type in ["application/json", "application/x-www-form-urlencoded", "text/html"] {
            for status in [300, 400, 500] {
                let error = fail(status, &[("content-type", content_type)], body).await;
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains("q7w8"), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn a_proxy_that_wants_to_know_who_asks_is_no_verdict() {
    for status in [403, 404, 407, 418] {
        assert!(fail(status, &[], "<html>no</html>").await.is_transient(), "{status}");
    }
}

/// Kinds are told apart on real sockets, with every client.
#[tokio::test]
async fn a_refused_connection_is_told_apart() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    for (name, client) in clients() {
        let own = client.is_none();
        let url = format!("http://{port}/token?secret=no");
        let error = ask(&with_client(source(url), client).build().expect("complete")).await.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Connect, "{name}: {error:?}");
        assert!(error.is_transient(), "{name}");
        assert_eq!(error.to_string().contains(".http_client(..)"), own, "{name}: {error}");
        let chain = chain(&error);
        assert!(chain.contains("refused") && !chain.contains("secret"), "{name}: {chain}");
    }
}

#[tokio::test]
async fn a_reset_is_told_apart() {
    let reset = tcp_server(|stream| async move {
        let _ = stream.into_std().map(|stream| socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
    })
    .await;
    let closed = tcp_server(|stream| async move { drop(stream) }).await;
    let short = tcp_server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access").await;
    })
    .await;
    for url in [&reset, &closed, &short] {
        for (name, client) in clients() {
            let error = ask(&with_client(source(url), client).build().expect("complete")).await.expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Reset, "{name}, {url}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_host_without_an_address_is_told_apart() {
    for (name, client) in clients() {
        let builder = source("http://tls-handshake-certificate.invalid/token").allow_plain_http();
        let error = ask(&with_client(builder, client).build().expect("complete")).await.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Dns, "{name}: {error:?}");
    }
}

#[tokio::test]
async fn garbage_instead_of_http_is_a_failure_of_the_transport() {
    let url = tcp_server(|mut stream| async move {
        let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n").await;
    })
    .await;
    for (name, client) in clients() {
        let error = ask(&with_client(source(&url), client).build().expect("complete")).await.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Transport, "{name}: {error:?}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_client_without_tls_is_told_apart() {
    let error =
        ask(&source("https://127.0.0.1:1/token").http_client(endpoint::tower_client()).build().expect("complete"))
            .await
            .expect_err("no TLS");
    assert_eq!(error.kind(), ErrorKind::TlsMissing, "{error:?}");
    assert!(!error.is_transient());
    for advice in ["`rustls`", "`native-tls`", ".http_client(..)"] {
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn a_certificate_that_nobody_signed_is_told_apart() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key =
        tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
    let config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .expect("a configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(acceptor.accept(stream));
        }
    });
    let plain = support::Server::start(|_| async { support::json(endpoint::TOKEN) }).await;
    let not_tls = plain.origin().replace("http://", "https://");
    for url in [format!("https://localhost:{port}/token"), not_tls] {
        for (name, client) in clients() {
            if name == "hyper-util's client" {
                continue; // It has no TLS.
            }
            let own = client.is_none();
            let error = ask(&with_client(source(&url), client).build().expect("complete")).await.expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Tls, "{name}, {url}: {error:?}");
            assert_eq!(error.to_string().contains(".http_client(..)"), own, "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn the_cause_is_kept() {
    let recorder = Recorder::new(|_| Err(Error::transient(io::Error::from(io::ErrorKind::ConnectionReset))));
    let error = ask(&source(URL).http_client(recorder).build().expect("complete")).await.expect_err("a failure");
    assert_eq!(error.kind(), ErrorKind::Reset);
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).expect("an I/O error");
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionReset);
    // A parser's error can quote what it read.
    let unreadable = fail(200, &[], r#"{"access_token":"abcde","#).await;
    assert!(unreadable.source().is_none());
}

#[tokio::test]
async fn the_first_line_says_why() {
    let cut = || io::Error::other("the cable was cut");
    let recorder = Recorder::new(move |_| Err(Error::transient(cut())));
    let by_client = ask(&source(URL).http_client(recorder).build().expect("complete")).await.expect_err("a failure");
    let sealed = Secret::from_fn(|| std::future::ready(Err::<String, _>(Error::permanent("the vault is sealed"))));
    let sealed = source(URL).http_client(Recorder::issuing()).authentication(sealed).build().expect("complete");
    let by_secret = ask(&sealed).await.expect_err("a failure");
    for (error, kind, expected) in [
        (Error::transient(cut()), ErrorKind::Transport, "the token source failed: the cable was cut"),
        (Error::permanent("withdrawn"), ErrorKind::Refused, "the token source refused: withdrawn"),
        (
            by_client,
            ErrorKind::Transport,
            "token request to https://auth.example.com/oauth2/token failed: the cable was cut",
        ),
        (
            by_secret,
            ErrorKind::Credentials,
            "token request to https://auth.example.com/oauth2/token failed: client_secret: its function failed: \
             the vault is sealed",
        ),
    ] {
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, expected));
        assert!(error.source().is_some());
    }
    let refused = token_fn(|_| async { Err(Error::permanent("withdrawn")) });
    let tokens = TokenCache::builder(refused).origin("https://api.example.com").build().expect("a cache");
    let client =
        reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(BearerAuthMiddleware::new(tokens)).build();
    let send = async |url| client.get(url).send().await.expect_err("not sent").to_string();
    let first = send("https://api.example.com/").await;
    assert_eq!(first, "request not sent: the token source refused: withdrawn");
    let later = send("https://api.example.com/").await;
    let pause = later.strip_prefix(&format!("{first}; next attempt in ")).and_then(|rest| rest.strip_suffix(" s"));
    assert!(pause.and_then(|pause| pause.parse().ok()).is_some_and(|pause: f64| pause > 1.0), "{later}");
    let insecure = send("http://api.example.com/").await;
    assert!(insecure.starts_with("request not sent: a token would go over plain http to http://api.ex"), "{insecure}");
}

#[test]
fn a_source_of_ones_own_classifies_its_failures() {
    for (error, kind, transient) in [
        (Error::transient("down"), ErrorKind::Transport, true),
        (Error::transient(io::Error::from(io::ErrorKind::TimedOut)), ErrorKind::Timeout, true),
        (Error::transient(io::Error::from(io::ErrorKind::ConnectionRefused)), ErrorKind::Connect, true),
        (Error::transient(io::Error::other("certificate expired")), ErrorKind::Tls, true),
        (Error::permanent("revoked"), ErrorKind::Refused, false),
        (Error::permanent(io::Error::from(io::ErrorKind::TimedOut)), ErrorKind::Refused, false),
    ] {
        assert_eq!((error.kind(), error.is_transient()), (kind, transient), "{error:?}");
        assert!(error.source().is_some());
    }
    let held = Error::transient("busy").with_retry_after(Duration::from_secs(9));
    assert_eq!(held.retry_after(), Some(Duration::from_secs(9)));
}

#[test]
fn an_error_can_go_anywhere() {
    fn anywhere<T: Clone + Send + Sync + std::error::Error + 'static>() {}
    anywhere::<Error>();
}

fn failing() -> TokenCache {
    let source = token_fn(|_: TokenRequest| async {
        Err(Error::transient("the vault is sealed").with_retry_after(Duration::from_secs(60)))
    });
    TokenCache::builder(source).any_origin().build().expect("complete")
}

fn found(error: &(dyn std::error::Error + 'static)) {
    let found = Error::find(error).expect("our error is in the chain");
    assert!(found.is_transient());
    assert!(found.retry_after().is_some_and(|wait| wait > Duration::from_secs(30)), "{found:?}");
    assert!(chain(found).contains("the vault is sealed"), "{found:?}");
}

#[tokio::test]
async fn the_error_is_found_through_every_stack() {
    let error = failing().token().await.expect_err("no token");
    found(&error);

    let client = || reqwest_middleware::ClientBuilder::new(reqwest::Client::new());
    let ours = || BearerAuthMiddleware::new(failing());
    let error = client().with(ours()).build().get("https://api.example.com").send().await.expect_err("no token");
    found(&error);

    let policy = || reqwest_retry::policies::ExponentialBackoff::builder().build_with_max_retries(0);
    let retry = || reqwest_retry::RetryTransientMiddleware::new_with_policy(policy());
    let error =
        client().with(retry()).with(ours()).build().get("https://api.example.com").send().await.expect_err("no token");
    found(&error);

    let service = tower::ServiceBuilder::new()
        .timeout(Duration::from_secs(10))
        .buffer(4)
        .layer(BearerAuthLayer::new(failing()))
        .service(support::hyper_client());
    let error =
        tower::ServiceExt::oneshot(service, support::get("https://api.example.com")).await.expect_err("no token");
    found(&*error);

    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let service = tower::ServiceBuilder::new().layer(BearerAuthLayer::new(failing())).service(channel);
    let mut grpc = tonic_health::pb::health_client::HealthClient::with_origin(
        service,
        http::Uri::from_static("https://api.example.com"),
    );
    let status = grpc.check(tonic_health::pb::HealthCheckRequest::default()).await.expect_err("no token");
    found(&status);
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
