//! What is not ours to touch: upgrades, proxies, responses without an end, uploads that have not ended.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{bearer, get, hyper_client, sockets};
use bytes::Bytes;
use client_credentials::{
    BearerAuthLayer, BearerAuthMiddleware, ClientCredentials, TokenCache, TryClone, testing::AuthorizationServer,
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
    time::{sleep, timeout},
};
use tower::{Layer, ServiceExt};

/// So that a test that hangs fails; no machine takes as long otherwise.
const SOON: Duration = Duration::from_secs(60);

async fn cache(auth: &AuthorizationServer, origin: &str) -> TokenCache {
    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").http_client(auth.clone());
    let tokens = TokenCache::from(source.origin(origin).build().expect("a source"));
    tokens.token().await.expect("a token");
    tokens
}

async fn echoes(origin: &str, io: impl AsyncReadExt + AsyncWriteExt) {
    let mut io = std::pin::pin!(io);
    io.write_all(b"hello").await.expect("it is open");
    let mut response = [0; 5];
    io.read_exact(&mut response).await.expect("it is open");
    assert_eq!(&response, b"hello", "{origin}");
}

#[tokio::test]
async fn an_upgrade_gets_its_token_and_becomes_the_callers_connection() {
    let auth = AuthorizationServer::in_memory();
    let origin = sockets::after_head(|head, mut stream| async move {
        assert!(head.contains("authorization: bearer token-1\r\n") && head.contains("upgrade: websocket\r\n"));
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await?;
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.map(|_| ())
    })
    .await
    .origin();
    let tokens = cache(&auth, &origin).await;

    let mut request = get(&origin);
    request.headers_mut().insert("connection", "upgrade".parse().expect("a value"));
    request.headers_mut().insert("upgrade", "websocket".parse().expect("a value"));
    let service = BearerAuthLayer::new(tokens.clone()).with_replay(TryClone).layer(hyper_client());
    let response = service.oneshot(request).await.expect("a response");
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    echoes("hyper", TokioIo::new(hyper::upgrade::on(response).await.expect("an upgrade"))).await;

    let client =
        reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(BearerAuthMiddleware::new(tokens)).build();
    let request = client.get(&origin).header("connection", "upgrade").header("upgrade", "websocket");
    let response = request.send().await.expect("a response");
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    echoes("reqwest", response.upgrade().await.expect("an upgrade")).await;
}

/// Sends this request by hyper's client through the layer, or by reqwest through the middleware.
async fn send(by_middleware: bool, tokens: TokenCache, request: Request<Full<Bytes>>) -> StatusCode {
    let sent = async move {
        if by_middleware {
            let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new());
            let client = client.with(BearerAuthMiddleware::new(tokens)).build();
            let body = request.body().clone().collect().await.expect("a body").to_bytes();
            let request = reqwest::Request::try_from(request.map(|_| body)).expect("a request");
            client.execute(request).await.expect("a response").status()
        } else {
            let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(hyper_client());
            service.oneshot(request).await.expect("a response").status()
        }
    };
    timeout(SOON, sent).await.expect("in time")
}

/// What comes in, connection by connection, up to the end of a body of five bytes. The first token gets a 401.
async fn bytes_server(seen: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let origin = format!("http://{}", listener.local_addr().expect("a bound address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"\r\n\r\nhello") {
                bytes.push(stream.read_u8().await.expect("a byte"));
            }
            let text = String::from_utf8(bytes).expect("ASCII");
            let status = if text.contains("token-1") { "401 Unauthorized" } else { "200 OK" };
            seen.lock().expect("no panic").push(text);
            let response = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(response.as_bytes()).await.expect("it is open");
        }
    });
    origin
}

#[tokio::test]
async fn the_second_attempt_is_the_first_one_to_the_byte_but_for_the_token() {
    for middleware in [false, true] {
        let auth = AuthorizationServer::in_memory();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let origin = bytes_server(Arc::clone(&seen)).await;
        let tokens = cache(&auth, &origin).await;
        let request = Request::put(format!("{origin}/a%20b/?q=1&q=2&empty=&%C3%BC"));
        let request = request.header("X-Two", "first").header("x-one", "1").header("X-Two", "second");
        let status = send(middleware, tokens, request.body(Full::from("hello")).expect("a request")).await;
        assert_eq!(status, StatusCode::OK);
        let seen = seen.lock().expect("no panic").clone();
        let [first, second] = &seen[..] else { panic!("{} attempts", seen.len()) };
        assert_eq!(first.replace("Bearer token-1", "Bearer token-2"), *second);
        assert_eq!(second.matches("authorization:").count(), 1, "{second}");
    }
}

/// Responds with 401 and a body that never ends, until somebody hangs up, to every token but the second.
async fn endless(hung_up: Arc<Notify>) -> String {
    sockets::after_head(move |head, mut stream| {
        let hung_up = Arc::clone(&hung_up);
        async move {
            if head.contains("bearer token-2\r\n") {
                return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
            stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            while stream.write_all(b"5\r\nhello\r\n").await.is_ok() {
                sleep(Duration::from_millis(1)).await;
            }
            hung_up.notify_one();
            Ok(())
        }
    })
    .await
    .origin()
}

#[tokio::test]
async fn a_401_without_an_end_is_hung_up_on_and_sent_again() {
    for middleware in [false, true] {
        let auth = AuthorizationServer::in_memory();
        let hung_up = Arc::new(Notify::new());
        let origin = endless(Arc::clone(&hung_up)).await;
        let tokens = cache(&auth, &origin).await;
        assert_eq!(send(middleware, tokens, get(&origin)).await, StatusCode::OK);
        timeout(SOON, hung_up.notified()).await.expect("the first connection is closed");
    }
}

#[tokio::test]
async fn a_401_without_an_end_reaches_the_caller_where_nothing_is_sent_again() {
    let auth = AuthorizationServer::in_memory();
    let origin = endless(Arc::default()).await;
    let service = BearerAuthLayer::new(cache(&auth, &origin).await).layer(hyper_client());
    let mut response = timeout(SOON, service.oneshot(get(&origin))).await.expect("in time").expect("a response");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let frame = response.body_mut().frame().await.expect("a frame").expect("no error");
    assert!(frame.into_data().expect("data").starts_with(b"hello"));
}

/// Responds with 401 to the head of a request, and reads the body only of those with the second token.
async fn hasty() -> String {
    sockets::after_head(|head, mut stream| async move {
        if !head.contains("bearer token-2\r\n") {
            stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await?;
            // Open, but unread.
            sleep(Duration::from_secs(3600)).await;
            return Ok(());
        }
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let mut left: usize = length.expect("a length").parse().expect("a number");
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            left -= stream.read(&mut buffer).await?;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
    })
    .await
    .origin()
}

#[tokio::test]
async fn a_401_before_the_upload_has_ended_is_sent_again_from_the_beginning() {
    let large = Bytes::from(vec![b'x'; 32 * 1024 * 1024]);
    for middleware in [false, true] {
        let auth = AuthorizationServer::in_memory();
        let origin = hasty().await;
        let tokens = cache(&auth, &origin).await;
        let request = Request::post(&origin).body(Full::new(large.clone())).expect("a request");
        assert_eq!(send(middleware, tokens, request).await, StatusCode::OK, "middleware: {middleware}");
    }
}

/// The streams share a connection, and those with an early response are reset.
#[tokio::test]
async fn a_401_before_the_upload_has_ended_is_sent_again_over_http_2_as_well() {
    let auth = AuthorizationServer::in_memory();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let origin = format!("http://{}", listener.local_addr().expect("a bound address"));
    let issuer = auth.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let issuer = issuer.clone();
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let good = issuer.accepts(bearer(request.headers()).expect("a token"));
                async move {
                    let read = if good { request.into_body().collect().await?.to_bytes().len() } else { 0 };
                    let mut response = http::Response::new(Full::new(Bytes::from(read.to_string())));
                    *response.status_mut() = if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
                    Ok::<_, hyper::Error>(response)
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    let tokens = cache(&auth, &origin).await;
    auth.revoke_all();
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(client);
    let large = Bytes::from(vec![b'x'; 4 * 1024 * 1024]);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let request = Request::post(&origin).body(Full::new(large.clone())).expect("a request");
        callers.spawn(service.clone().oneshot(request));
    }
    while let Some(response) = timeout(SOON, callers.join_next()).await.expect("in time") {
        let response = response.expect("no panic").expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), large.len().to_string());
    }
    assert_eq!(auth.token_requests().len(), 2);
}

#[tokio::test]
async fn a_401_before_an_endless_upload_has_ended_reaches_the_caller() {
    let auth = AuthorizationServer::in_memory();
    let origin = hasty().await;
    let first = tokio_stream::once(Ok::<_, std::io::Error>(hyper::body::Frame::data(Bytes::from_static(b"first"))));
    let endless = tokio_stream::StreamExt::chain(first, tokio_stream::pending());
    let request = Request::post(&origin).body(BoxBody::new(StreamBody::new(endless))).expect("a request");
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
    let service = BearerAuthLayer::new(cache(&auth, &origin).await).layer(client);
    let response = timeout(SOON, service.oneshot(request)).await.expect("in time").expect("a response");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}
