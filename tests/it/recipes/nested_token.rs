//! A token in another member than `access_token`.

use client_credentials::{Error, HttpClient, SecretBody, async_trait};
use http::{Request, Response};
use serde_json::{Value, json};

/// Reads `{"data":{"token":"…","ttl":3600}}`.
struct NestedToken<C>(C);

#[async_trait]
impl<C: HttpClient> HttpClient for NestedToken<C> {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let response = self.0.send(request).await?;
        Ok(response.map(|body| {
            let members: Value = serde_json::from_slice(body.as_ref()).unwrap_or_default();
            let data = &members["data"];
            match &data["token"] {
                Value::String(token) => {
                    SecretBody::from(json!({"access_token": token, "expires_in": data["ttl"]}).to_string())
                }
                // An error, which this crate reads.
                _ => body,
            }
        }))
    }
}

mod tests {
    use std::time::Duration;

    use client_credentials::{ClientCredentials, ErrorKind};
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;
    use crate::support::endpoint::ask;

    #[tokio::test]
    async fn the_nested_token_is_read_and_an_error_stays_one() {
        let server = MockServer::start().await;
        let issued = ResponseTemplate::new(200).set_body_json(json!({"data": {"token": "abcde12345", "ttl": 60}}));
        Mock::given(any()).respond_with(issued).up_to_n_times(1).mount(&server).await;
        let refused = ResponseTemplate::new(401).set_body_json(json!({"error": "invalid_client"}));
        Mock::given(any()).respond_with(refused).mount(&server).await;
        let source = ClientCredentials::builder(server.uri(), "abcde", "12345").any_origin();
        let source = source.http_client(NestedToken(reqwest::Client::new())).build().expect("complete");
        let token = ask(&source).await.expect("a token");
        assert_eq!((token.expose_secret(), token.expires_in()), ("abcde12345", Some(Duration::from_secs(60))));
        assert_eq!(ask(&source).await.expect_err("refused").kind(), ErrorKind::ErrorResponse);
    }
}
