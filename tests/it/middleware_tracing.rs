//! reqwest-tracing around the middleware and within it.

use crate::support::{log::Log, protected_api};
use client_credentials::{BearerAuthMiddleware, ClientCredentials, testing::AuthorizationServer};
use http::StatusCode;
use reqwest_middleware::ClientBuilder;
use reqwest_tracing::TracingMiddleware;

#[tokio::test]
async fn tracing_inside_and_outside_shows_requests_and_no_tokens() {
    for outside in [true, false] {
        let (log, _guard) = Log::of_every_crate();
        let auth = AuthorizationServer::start().await;
        let api = protected_api(&auth).await;
        let source = ClientCredentials::builder(auth.token_url(), "abcde", "s3cr3t").origin(api.uri()).build();
        let bearer = BearerAuthMiddleware::new(source.expect("a source").into());
        let builder = ClientBuilder::new(reqwest::Client::new());
        let client = if outside {
            builder.with(TracingMiddleware::default()).with(bearer)
        } else {
            builder.with(bearer).with(TracingMiddleware::default())
        }
        .build();
        for _ in 0..2 {
            assert_eq!(client.get(api.uri()).send().await.expect("a response").status(), StatusCode::OK);
            auth.revoke_all();
        }
        assert_eq!(auth.token_requests().len(), 2);
        let text = log.text();
        assert!(text.contains("http.response.status_code") && text.contains("access token renewed"), "{text}");
        assert!(!text.contains("token-1") && !text.contains("token-2") && !text.contains("s3cr3t"), "{text}");
    }
}
