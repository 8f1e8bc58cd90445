//! A bearer token by another name.

use client_credentials::{ClientCredentials, ClientCredentialsBuilder};

/// Apigee's `token_type` is `BearerToken`. In a file: `token_types = ["BearerToken"]`.
fn apigee(token_url: &str) -> ClientCredentialsBuilder {
    ClientCredentials::builder(token_url, "abcde", "12345").accept_token_type("BearerToken")
}

mod tests {
    use serde_json::json;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    use crate::support::endpoint::obtain;

    #[tokio::test]
    async fn the_token_of_apigee_is_sent_as_bearer() {
        let server = MockServer::start().await;
        let members = json!({"access_token": "abcde12345", "token_type": "BearerToken", "expires_in": "3599"});
        let issued = ResponseTemplate::new(200).set_body_json(members);
        Mock::given(any()).respond_with(issued).mount(&server).await;
        let source = apigee(&server.uri()).any_origin();
        assert_eq!(obtain(source).await.expect("a token").authorization(), "Bearer abcde12345");
    }
}
