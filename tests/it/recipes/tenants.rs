//! A token URL for each tenant.

use std::collections::HashMap;

use client_credentials::{AccessToken, ClientCredentials, Error, TokenRequest, TokenSource, async_trait};

/// One source for all tenants. The parameter `tenant` of a request says whose token it wants.
struct Tenants(HashMap<String, ClientCredentials>);

#[async_trait]
impl TokenSource for Tenants {
    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        let tenant = request.parameters().find(|(name, _)| *name == "tenant");
        let source = tenant.and_then(|(_, tenant)| self.0.get(tenant));
        let source = source.ok_or_else(|| Error::permanent("no such tenant"))?;
        // The parameter is for this source, and not for the server.
        source.token(&TokenRequest::default()).await
    }
}

mod tests {
    use client_credentials::TokenCache;
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{body_string_contains, path},
    };

    use super::*;

    fn of(tenant: &str) -> TokenRequest {
        TokenRequest::builder().parameter("tenant", tenant).build().expect("a token request")
    }

    #[tokio::test]
    async fn each_tenant_has_a_token_of_its_own_server() {
        let server = MockServer::start().await;
        let mut sources = HashMap::new();
        for tenant in ["a", "b"] {
            let body = format!(r#"{{"access_token":"token-of-{tenant}"}}"#);
            Mock::given(path(format!("/{tenant}/token")))
                .and(body_string_contains(format!("secret-of-{tenant}")))
                .respond_with(ResponseTemplate::new(200).set_body_string(body))
                .expect(1)
                .mount(&server)
                .await;
            let url = format!("{}/{tenant}/token", server.uri());
            let source = ClientCredentials::builder(url, "abcde", format!("secret-of-{tenant}")).any_origin();
            sources.insert(tenant.to_owned(), source.build().expect("complete"));
        }
        let tokens = TokenCache::builder(Tenants(sources)).any_origin().build().expect("complete");
        for _ in 0..2 {
            for tenant in ["a", "b"] {
                let token = tokens.token_for(&of(tenant)).await.expect("a token");
                assert_eq!(token.expose_secret(), format!("token-of-{tenant}"));
            }
        }
        tokens.token_for(&of("c")).await.expect_err("nobody's");
        for request in server.received_requests().await.expect("recorded") {
            assert!(!String::from_utf8_lossy(&request.body).contains("tenant"));
        }
    }
}
