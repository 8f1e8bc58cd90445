//! `WWW-Authenticate` as a hostile API writes it, read through the layer: the lines of the input are the fields of a
//! 401.
#![no_main]

use std::{
    cell::OnceCell,
    convert::Infallible,
    future::ready,
    sync::atomic::{AtomicUsize, Ordering},
};

use client_credentials::{AccessToken, BearerAuthLayer, Clock, TokenCache, TryClone, token_fn};
use http::{HeaderValue, Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt, service_fn};

thread_local! {
    /// Its clock advances on its own, so that nothing is waited for.
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

const DEAD: &[u8] = b"Bearer error=\"invalid_token\"";

fuzz_target!(|input: &[u8]| {
    let fields: Vec<_> =
        input.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    replays(&fields);
    // A challenge that rejects the token comes before whatever else there is.
    let dead = HeaderValue::from_bytes(DEAD).expect("a value");
    let first: Vec<_> = std::iter::once(dead).chain(fields.iter().cloned()).collect();
    assert!(replays(&first));
    // What another scheme quotes is no challenge.
    let quoted: Vec<u8> = fields
        .iter()
        .flat_map(|field| field.as_bytes())
        .flat_map(|byte| if matches!(byte, b'"' | b'\\') { vec![b'\\', *byte] } else { vec![*byte] })
        .take(4000)
        .collect();
    let quoted = [&b"Basic realm=\""[..], quoted.strip_suffix(b"\\").unwrap_or(&quoted), b"\""].concat();
    if let Ok(quoted) = HeaderValue::from_bytes(&quoted) {
        assert!(!replays(&[quoted]));
    }
});

/// Whether a 401 with these fields rejects the token, so that the request is sent again with the next one.
fn replays(fields: &[HeaderValue]) -> bool {
    RUNTIME.with(|runtime| {
        let runtime = runtime
            .get_or_init(|| Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime"));
        runtime.block_on(status(fields)) == StatusCode::OK
    })
}

async fn status(fields: &[HeaderValue]) -> StatusCode {
    let count = AtomicUsize::new(0);
    let source = token_fn(move |_| ready(AccessToken::new(format!("token-{}", count.fetch_add(1, Ordering::Relaxed)))));
    let tokens = TokenCache::builder(source).any_origin().clock(Clock::tokio()).build().expect("a cache");
    let api = service_fn(|request: Request<()>| {
        let mut response = Response::new(());
        if request.headers()["authorization"] == "Bearer token-0" {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            for field in fields {
                response.headers_mut().append(WWW_AUTHENTICATE, field.clone());
            }
        }
        ready(Ok::<_, Infallible>(response))
    });
    let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api);
    let request = Request::get("https://api.example.com").body(()).expect("a request");
    service.oneshot(request).await.expect("a response").status()
}
