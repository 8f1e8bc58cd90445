//! What many services have.

use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode};
use tokio::sync::Mutex;

pub struct Stats {
    http: Client,
    api: String,
    token_url: String,
    client_id: String,
    client_secret: String,
    token: Mutex<Option<Token>>,
}

struct Token {
    value: String,
    expires_at: Instant,
}

#[derive(serde::Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: u64,
}

impl Stats {
    pub fn new(http: Client, api: &str, token_url: &str, client_id: &str, client_secret: &str) -> Self {
        Self {
            http,
            api: api.to_owned(),
            token_url: token_url.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            token: Mutex::new(None),
        }
    }

    async fn token(&self) -> reqwest::Result<String> {
        let mut cached = self.token.lock().await;
        if let Some(token) = cached.as_ref().filter(|token| token.expires_at > Instant::now()) {
            return Ok(token.value.clone());
        }
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("scope", "stats"),
        ];
        let response = self.http.post(&self.token_url).form(&form).send().await?.error_for_status()?;
        let response: TokenResponse = response.json().await?;
        let lifetime = Duration::from_secs(response.expires_in.saturating_sub(60));
        let token = Token { value: response.access_token, expires_at: Instant::now() + lifetime };
        Ok(cached.insert(token).value.clone())
    }

    pub async fn get(&self, path: &str) -> reqwest::Result<Response> {
        let url = format!("{}/{path}", self.api);
        let response = self.http.get(&url).bearer_auth(self.token().await?).send().await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        *self.token.lock().await = None;
        self.http.get(&url).bearer_auth(self.token().await?).send().await
    }
}
