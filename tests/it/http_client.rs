//! The seam to the token endpoint: redirects, limits of size and time, connections; with every kind of client.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::support::{
    endpoint::{TOKEN, ask, auth_responding, clients, obtain, source, token_response, with_client},
    received, responding, sockets,
};
use client_credentials::{
    ClientAuthentication, ClientCredentials, Error, ErrorKind, HttpClient, IntoHttpClient, SecretBody, TokenCache,
    async_trait,
    testing::{AuthorizationServer, MockResponse},
};
use http::{Request, Response, header};
use tokio::io::AsyncWriteExt;
use wiremock::ResponseTemplate;

const MEBIBYTE: usize = 1024 * 1024;

fn redirect(status: u16, location: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("location", location)
}

#[tokio::test]
async fn no_redirect_is_followed_with_the_secret() {
    for (name, client) in clients() {
        for status in [301, 302, 303, 307, 308] {
            let target = responding(token_response()).await;
            let asked = responding(redirect(status, &format!("{}/elsewhere", target.uri()))).await;
            let url = format!("{}/token", asked.uri());
            for authentication in [
                ClientAuthentication::client_secret_post("s3cr3t"),
                ClientAuthentication::client_secret_basic("s3cr3t"),
            ] {
                let builder = ClientCredentials::builder(&url, "abcde", authentication).any_origin();
                let error = obtain(with_client(builder, client.clone())).await.expect_err(name);
                assert_eq!(error.kind(), ErrorKind::Redirect, "{name}, {status}: {error}");
                assert!(error.to_string().contains(&target.uri()), "{name}, {status}: {error}");
                assert!(error.to_string().contains(&url), "{name}, {status}: {error}");
            }
            // A finished reqwest client cannot be kept from asking where a 301, 302 or 303 leads, but it takes no
            // secret along.
            let finished = ["a reqwest client", "a client with middleware"].contains(&name) && status < 307;
            let followed = received(&target).await;
            assert!(finished || followed.is_empty(), "{name}, {status}");
            for request in followed {
                assert!(request.body.is_empty(), "{name}, {status}");
                assert!(!request.headers.contains_key(header::AUTHORIZATION), "{name}, {status}");
            }
        }
    }
}

/// Without redirects, or not yet finished. With `Referer` and a policy of its own, which count for nothing.
fn careful() -> [Arc<dyn HttpClient>; 3] {
    let follows = || reqwest::redirect::Policy::limited(3);
    let finished = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    [
        Arc::new(finished.clone()),
        Arc::new(reqwest_middleware::ClientBuilder::new(finished).build()),
        reqwest::Client::builder().referer(true).redirect(follows()).into_http_client().expect("a client"),
    ]
}

#[tokio::test]
async fn nothing_goes_along_with_a_redirect_that_is_not_followed() {
    let target = responding(token_response()).await;
    for status in [301, 302, 303, 307, 308] {
        let asked = responding(redirect(status, &target.uri())).await;
        for client in careful() {
            let builder = source(format!("{}/token?apikey=K3Y", asked.uri())).header("x-api-key", "H34D3R");
            let error = obtain(builder.http_client(client)).await.expect_err("redirected");
            assert_eq!(error.kind(), ErrorKind::Redirect, "{status}: {error}");
        }
    }
    assert!(received(&target).await.is_empty());
}

#[cfg(feature = "tracing")]
#[test]
fn a_client_that_may_follow_redirects_is_warned_about() {
    let (log, _guard) = crate::support::log::Log::start();
    let warned = |client: Arc<dyn HttpClient>| {
        source("https://auth.example.com/token?apikey=K3Y").http_client(client).build().expect("complete");
        log.take(tracing::Level::WARN)
    };
    for client in careful() {
        assert_eq!(warned(client), [""; 0]);
    }
    let custom = reqwest::Client::builder().redirect(reqwest::redirect::Policy::limited(2));
    let following: [Arc<dyn HttpClient>; 3] = [
        Arc::new(reqwest::Client::new()),
        Arc::new(reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).build()),
        Arc::new(custom.build().expect("a client")),
    ];
    for client in following {
        let said = warned(client);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("the HTTP client may follow redirects"), "{said:?}");
        assert!(said[0].contains("https://auth.example.com/token\"") && !said[0].contains("K3Y"), "{said:?}");
    }
}

#[test]
fn a_builder_that_reqwest_cannot_build_is_refused_by_name() {
    let builder = reqwest::Client::builder().user_agent("\n");
    let error = source("https://auth.example.com/token").http_client(builder).build().expect_err("no user agent");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().starts_with("http_client: "), "{error}");
}

#[tokio::test]
async fn an_error_names_the_origin_that_a_redirect_wanted() {
    for (location, wanted) in [
        (Some("https://login.example.com/token?session=7"), "https://login.example.com;"),
        (Some("http://auth.example.com/token"), "http://auth.example.com;"),
        (Some("//cdn.example.com/token"), "https://cdn.example.com;"),
        (Some("/signin"), "another path on the same origin"),
        (Some("signin"), "another path on the same origin"),
        (None, "a redirect to nowhere (it has no Location header); it"),
        (Some("https://12345.example.com/"), "a redirect to [redacted]; it"),
    ] {
        let response = MockResponse::status(302);
        let auth = auth_responding(location.iter().fold(response, |response, to| response.with_header("location", to)));
        let error = obtain(source("https://auth.example.com/token").http_client(auth)).await.expect_err("redirected");
        assert_eq!((error.kind(), error.status().map(|status| status.as_u16())), (ErrorKind::Redirect, Some(302)));
        let text = error.to_string();
        assert!(text.contains(wanted) && !text.contains("session"), "{location:?}: {text}");
    }
}

/// Writes until the client has had enough, and counts what it took.
async fn flood(head: &'static str, chunk: &'static [u8], written: Arc<AtomicUsize>) -> sockets::Listening {
    sockets::server(move |mut stream| {
        let written = Arc::clone(&written);
        async move {
            sockets::read_some(&mut stream).await;
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(chunk).await.is_ok() {
                written.fetch_add(chunk.len(), Ordering::SeqCst);
                if written.load(Ordering::SeqCst) > 64 * MEBIBYTE {
                    return;
                }
            }
        }
    })
    .await
}

static CHUNK: [u8; 16 * 1024] = [b'x'; 16 * 1024];

#[tokio::test]
async fn a_flood_is_cut_off_while_it_is_read() {
    let mut chunked = format!("{:x}\r\n", CHUNK.len()).into_bytes();
    chunked.extend_from_slice(&CHUNK);
    chunked.extend_from_slice(b"\r\n");
    let chunked: &'static [u8] = chunked.leak();
    for (head, chunk) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n", &CHUNK[..]),
        ("HTTP/1.1 200 OK\r\n\r\n", &CHUNK[..]),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunked),
        ("HTTP/1.1 500 Oops\r\n\r\n", &CHUNK[..]),
    ] {
        for (name, client) in clients() {
            let written = Arc::new(AtomicUsize::new(0));
            let server = flood(head, chunk, Arc::clone(&written)).await;
            let error = obtain(with_client(source(server.origin()), client)).await.expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{name}, {head}: {error}");
            assert!(error.to_string().contains("1048576 bytes"), "{name}, {head}: {error}");
            // What the sockets held on top.
            assert!(written.load(Ordering::SeqCst) < 32 * MEBIBYTE, "{name}, {head}");
        }
    }
}

#[tokio::test]
async fn the_bound_is_a_mebibyte_of_the_body_or_of_what_was_compressed() {
    let blank = MEBIBYTE - TOKEN.len();
    for (blank, good) in [(blank, true), (blank + 1, false), (20 * MEBIBYTE, false)] {
        let body = format!("{}{}", " ".repeat(blank), TOKEN);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body.as_bytes()).expect("memory");
        let compressed = ResponseTemplate::new(200).insert_header("content-encoding", "gzip");
        let compressed = responding(compressed.set_body_bytes(encoder.finish().expect("memory"))).await;
        let plain = responding(ResponseTemplate::new(200).set_body_string(body)).await;
        for (name, client) in clients() {
            // It does not decode.
            let server = if name == "hyper-util's client" { &plain } else { &compressed };
            let outcome = obtain(with_client(source(server.uri()), client)).await;
            assert_eq!(outcome.is_ok(), good, "{name}, {blank}: {outcome:?}");
            assert!(good || outcome.expect_err("too large").to_string().contains("1048576 bytes"));
        }
    }
}

#[tokio::test]
async fn a_client_of_ones_own_that_reads_too_much_is_noticed() {
    let auth = auth_responding(MockResponse::status(200).with_body(vec![b' '; MEBIBYTE + 1]));
    let source = source("https://auth.example.com/token").http_client(auth);
    assert_eq!(obtain(source).await.expect_err("too large").kind(), ErrorKind::InvalidResponse);
}

#[tokio::test]
async fn the_time_limit_covers_the_whole_exchange() {
    for server in [sockets::silent().await, sockets::dripping().await] {
        let url = server.origin();
        for (name, client) in clients() {
            let limit = Duration::from_millis(300);
            let source = with_client(source(&url), client).timeout(limit).build().expect("complete");
            let start = Instant::now();
            let error = ask(&source).await.expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Timeout, "{name}: {error}");
            assert!(error.is_timeout() && error.is_transient());
            assert!(error.to_string().contains("300ms") && error.to_string().contains(&url), "{name}: {error}");
            assert!(start.elapsed() >= limit, "{name}");
        }
    }
}

#[tokio::test]
async fn a_time_limit_may_be_longer_than_any_clock() {
    let server = responding(token_response()).await;
    let source = source(server.uri()).timeout(Duration::MAX).build().expect("complete");
    TokenCache::from(source).token().await.expect("a token");
}

#[tokio::test]
async fn a_client_s_own_time_limit_is_a_time_out_too() {
    let client = reqwest::Client::builder().timeout(Duration::from_millis(200)).build().expect("a client");
    let server = sockets::silent().await;
    let error = obtain(source(server.origin()).http_client(client)).await.expect_err("a time-out");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[test]
fn without_a_runtime_or_its_timer_the_error_says_so() {
    let source = source("https://auth.example.com/token")
        .http_client(AuthorizationServer::in_memory())
        .build()
        .expect("complete");
    let mut asked = std::pin::pin!(ask(&source));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outcome) = asked.as_mut().poll(&mut cx) else { panic!("nothing to wait for") };
    assert_eq!(outcome.expect_err("no runtime").kind(), ErrorKind::Runtime);

    let timerless = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let error = timerless.block_on(ask(&source)).expect_err("no timer");
    assert_eq!(error.kind(), ErrorKind::Runtime);
}

#[tokio::test]
async fn the_default_client_keeps_no_connection() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let server = sockets::server(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            sockets::read_some(&mut stream).await;
            let _ = stream.write_all(sockets::response(TOKEN).as_bytes()).await;
            // Until the client closes.
            sockets::read_some(&mut stream).await;
            count.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let source = source(server.origin()).build().expect("complete");
    for _ in 0..3 {
        ask(&source).await.expect("a token");
    }
    let give_up = Instant::now() + Duration::from_secs(10);
    while open.load(Ordering::SeqCst) > 0 {
        assert!(Instant::now() < give_up, "a connection is still open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_source_can_move_between_runtimes() {
    let server = tokio::runtime::Runtime::new().expect("a runtime").block_on(responding(token_response()));
    let source = source(server.uri()).build().expect("complete");
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(ask(&source)).expect("a token");
    }
}

/// Whatever client it wraps, also one that the settings of a file configure.
#[tokio::test]
async fn a_wrapped_client_sees_each_request_and_its_response() {
    struct Watched(Arc<dyn HttpClient>, Arc<std::sync::Mutex<Vec<String>>>);

    #[async_trait]
    impl HttpClient for Watched {
        async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
            let sent = format!("{} {}", request.method(), request.uri());
            let outcome = self.0.send(request).await;
            let came = outcome.as_ref().map(|response| response.status().as_u16()).unwrap_or_default();
            self.1.lock().expect("no panic").push(format!("{sent} {came}"));
            outcome
        }
    }

    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let to = Arc::clone(&seen);
    let client = ClientCredentials::builder("https://auth.test/t", "abcde", "12345")
        .any_origin()
        .http_client(AuthorizationServer::in_memory())
        .map_http_client(move |client| Watched(client, Arc::clone(&to)))
        .build()
        .expect("complete");
    TokenCache::from(client).token().await.expect("a token");
    assert_eq!(*seen.lock().expect("no panic"), ["POST https://auth.test/t 200"]);
}
