//! reqwest-tracing around the middleware and within it. A binary of its own, since a log belongs to a whole process.
#![cfg(all(feature = "reqwest-middleware", feature = "tracing"))]

#[path = "it/support/mod.rs"]
mod support;

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use client_credentials::{BearerAuthMiddleware, ClientCredentials};
use http::StatusCode;
use reqwest_middleware::ClientBuilder;
use reqwest_tracing::TracingMiddleware;
use support::AuthorizationServer;
use tracing_subscriber::fmt::format::FmtSpan;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.0.lock().expect("no panic"))).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn tracing_inside_and_outside_shows_requests_and_no_tokens() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .init();
    for outside in [true, false] {
        let auth = AuthorizationServer::start(Duration::from_secs(3600)).await;
        let api = auth.protected_api().await;
        let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").origin(api.origin()).build();
        let bearer = BearerAuthMiddleware::new(source.expect("a source").into());
        let builder = ClientBuilder::new(reqwest::Client::new());
        let client = if outside {
            builder.with(TracingMiddleware::default()).with(bearer)
        } else {
            builder.with(bearer).with(TracingMiddleware::default())
        }
        .build();
        for _ in 0..2 {
            assert_eq!(client.get(api.origin()).send().await.expect("an answer").status(), StatusCode::OK);
            auth.revoke_all();
        }
        assert_eq!(auth.token_requests(), 2);
        let text = log.take();
        assert!(text.contains("http.response.status_code") && text.contains("access token renewed"), "{text}");
        assert!(!text.contains("token-1") && !text.contains("token-2") && !text.contains("12345"), "{text}");
    }
}
