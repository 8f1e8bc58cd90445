//! Tokens from a source of your own instead of a token endpoint: here a service with its own kind of request. The cache
//! shares and renews its tokens like any others. On loopback: `cargo run --example custom_source`.

use std::time::Duration;

use client_credentials::{
    AccessToken, BearerAuthMiddleware, Error, TokenCache, TokenRequest, TokenSource, async_trait,
    testing::{AuthorizationServer, ProtectedApi},
};

struct Service {
    url: String,
    client: reqwest::Client,
}

#[derive(serde::Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: u64,
}

impl Service {
    async fn request(&self) -> Result<TokenResponse, reqwest::Error> {
        self.client.post(&self.url).body("grant_type=client_credentials").send().await?.error_for_status()?.json().await
    }
}

#[async_trait]
impl TokenSource for Service {
    async fn token(&self, _request: &TokenRequest) -> Result<AccessToken, Error> {
        let response = self.request().await.map_err(Error::transient)?;
        Ok(AccessToken::new(response.access_token)?.with_expires_in(Duration::from_secs(response.expires_in)))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = AuthorizationServer::start().await;
    let api = ProtectedApi::start(&service).await;

    let source = Service { url: service.token_url(), client: reqwest::Client::new() };
    let tokens = TokenCache::builder(source).origin(api.origin()).build()?;
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(BearerAuthMiddleware::new(tokens.clone()))
        .build();
    for _ in 0..10 {
        client.get(api.origin()).send().await?.error_for_status()?;
    }
    println!("10 requests, {} token request", service.token_requests().len());

    // For code that attaches the token itself.
    let token = tokens.token().await?;
    println!("the cached token lives for {:?}", token.expires_in().unwrap_or_default());
    if service.token_requests().len() != 1 {
        return Err("an unexpected result".into());
    }
    Ok(())
}
