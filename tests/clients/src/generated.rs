//! A client as progenitor generates it, of an API with one operation.

use client_credentials::TokenCache;
use progenitor_client::{ClientHooks, ClientInfo, Error, OperationInfo};

pub struct Client {
    baseurl: String,
    client: reqwest::Client,
    inner: TokenCache,
}

impl Client {
    pub fn new(baseurl: &str, inner: TokenCache) -> Self {
        Self { baseurl: baseurl.to_owned(), client: reqwest::Client::new(), inner }
    }

    pub async fn stats(&self) -> Result<reqwest::StatusCode, Error> {
        let request = self.client.get(format!("{}/stats", self.baseurl)).build();
        let mut request = request.map_err(Error::CommunicationError)?;
        let info = OperationInfo { operation_id: "stats" };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        Ok(result.map_err(Error::CommunicationError)?.status())
    }
}

impl ClientInfo<TokenCache> for Client {
    fn api_version() -> &'static str {
        "1"
    }

    fn baseurl(&self) -> &str {
        &self.baseurl
    }

    fn client(&self) -> &reqwest::Client {
        &self.client
    }

    fn inner(&self) -> &TokenCache {
        &self.inner
    }
}
