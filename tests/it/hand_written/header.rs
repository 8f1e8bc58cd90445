//! The first step: the token comes from the cache.

use client_credentials::{ClientCredentials, TokenCache};
use reqwest::{Client, Response};

#[derive(Debug)]
pub enum Error {
    Token(client_credentials::Error),
    Http(reqwest::Error),
}

impl From<client_credentials::Error> for Error {
    fn from(error: client_credentials::Error) -> Self {
        Self::Token(error)
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error)
    }
}

pub struct Stats {
    http: Client,
    api: String,
    tokens: TokenCache,
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
        Ok(Self { http, api: api.to_owned(), tokens: source.into() })
    }

    pub async fn get(&self, path: &str) -> Result<Response, Error> {
        let url = format!("{}/{path}", self.api);
        let mut header = self.tokens.header_for(url.as_str()).await?;
        loop {
            let response = self.http.get(&url).header("authorization", header.value()).send().await?;
            if !header.on_response(response.status(), response.headers().get_all("www-authenticate")) {
                return Ok(response);
            }
            header = match header.replaced().await {
                Some(header) => header,
                None => return Ok(response),
            };
        }
    }
}
