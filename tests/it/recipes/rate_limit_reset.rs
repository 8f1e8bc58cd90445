//! A rate limit that is stated otherwise than by `Retry-After`.

use std::time::{SystemTime, UNIX_EPOCH};

use client_credentials::{Error, HttpClient, SecretBody, async_trait};
use http::{HeaderValue, Request, Response, StatusCode, header::RETRY_AFTER};

/// Okta says in `X-Rate-Limit-Reset` when its limit is over, in seconds since 1970.
struct RateLimitReset<C>(C);

#[async_trait]
impl<C: HttpClient> HttpClient for RateLimitReset<C> {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let mut response = self.0.send(request).await?;
        let reset = response.headers().get("x-rate-limit-reset").and_then(|value| value.to_str().ok()?.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let wait = reset.map_or(0, |reset: u64| reset.saturating_sub(now));
        if response.status() == StatusCode::TOO_MANY_REQUESTS && wait > 0 {
            response.headers_mut().entry(RETRY_AFTER).or_insert(HeaderValue::from(wait));
        }
        Ok(response)
    }
}

mod tests {
    use client_credentials::ClientCredentials;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    use crate::support::endpoint::obtain;

    #[tokio::test]
    async fn the_error_says_when_the_limit_is_over() {
        let server = MockServer::start().await;
        let reset = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 100;
        let limited = ResponseTemplate::new(429).insert_header("x-rate-limit-reset", reset.to_string());
        Mock::given(any()).respond_with(limited).mount(&server).await;
        let source = ClientCredentials::builder(server.uri(), "abcde", "12345").any_origin();
        let source = source.http_client(RateLimitReset(reqwest::Client::new()));
        let wait = obtain(source).await.expect_err("limited").retry_after().expect("stated");
        assert!((1..=100).contains(&wait.as_secs()), "{wait:?}");
    }
}
