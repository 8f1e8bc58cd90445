//! Tokens from somewhere else than a token endpoint: a source of one's own, here one that asks a service in its own
//! way. The cache shares and renews its tokens like any other. On loopback: `cargo run --example custom_source`.

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
struct Answer {
    access_token: String,
    expires_in: u64,
}

impl Service {
    async fn ask(&self) -> Result<Answer, reqwest::Error> {
        self.client.post(&self.url).body("grant_type=client_credentials").send().await?.error_for_status()?.json().await
    }
}

#[async_trait]
impl TokenSource for Service {
    async fn token(&self, _request: &TokenRequest) -> Result<AccessToken, Error> {
        let answer = self.ask().await.map_err(Error::transient)?;
        Ok(AccessToken::new(answer.access_token)?.with_expires_in(Duration::from_secs(answer.expires_in)))
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
    println!("10 requests, the service was asked {} time", service.token_requests().len());

    // For those who carry the token themselves.
    let token = tokens.token().await?;
    println!("the token at hand lives for {:?}", token.expires_in().unwrap_or_default());
    if service.token_requests().len() != 1 {
        return Err("not what was expected".into());
    }
    Ok(())
}
