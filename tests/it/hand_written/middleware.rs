//! The second step: the middleware attaches it.

use client_credentials::{BearerAuthMiddleware, ClientCredentials, TokenCache};
use reqwest::{Client, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

pub struct Stats {
    http: ClientWithMiddleware,
    api: String,
}

impl Stats {
    pub fn new(
        http: Client,
        api: &str,
        token_url: &str,
        client_id: &str,
        client_secret: &str,
    ) -> Result<Self, client_credentials::Error> {
        let source =
            ClientCredentials::builder(token_url, client_id, client_secret).scope("stats").origin(api).build()?;
        let http = ClientBuilder::new(http).with(BearerAuthMiddleware::new(TokenCache::from(source))).build();
        Ok(Self { http, api: api.to_owned() })
    }

    pub async fn get(&self, path: &str) -> reqwest_middleware::Result<Response> {
        self.http.get(format!("{}/{path}", self.api)).send().await
    }
}
