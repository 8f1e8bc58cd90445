//! The client_credentials grant (RFC 6749 section 4.4).

mod authentication;
mod builder;
mod request;
mod response;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use http::Uri;

pub use self::{authentication::ClientAuthentication, builder::ClientCredentialsBuilder};
use crate::{
    error::{Error, ErrorKind},
    http_client::HttpClient,
    origin::Origins,
    source::{TokenRequest, TokenSource},
    token::AccessToken,
};

/// Gets access tokens from a token endpoint with the client_credentials grant (RFC 6749 section 4.4).
///
/// Not `Clone`: what is shared is the [`TokenCache`](crate::TokenCache) made from it.
pub struct ClientCredentials {
    endpoint: Endpoint,
    client_id: String,
    authentication: ClientAuthentication,
    grant_type: String,
    defaults: TokenRequest,
    origins: Origins,
    http_client: Arc<dyn HttpClient>,
    timeout: Duration,
    token_types: Vec<String>,
}

struct Endpoint {
    url: Uri,
    /// Without the query, for errors.
    name: String,
}

#[async_trait]
impl TokenSource for ClientCredentials {
    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        let request = request.or(&self.defaults);
        let exchange = self.exchange(&request);
        let outcome = if tokio::runtime::Handle::try_current().is_ok() {
            tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Timeout, format!("no complete answer within {:?}", self.timeout)))
            })
        } else {
            exchange.await
        };
        outcome.map_err(|error| error.at_endpoint(&self.endpoint.name))
    }

    fn origins(&self) -> Option<Origins> {
        Some(self.origins.clone())
    }

    fn time_limit(&self) -> Duration {
        // A little more, so that the error that names the endpoint comes first.
        self.timeout + Duration::from_millis(250)
    }
}

impl ClientCredentials {
    async fn exchange(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        let http_request = request::build(self, request);
        let response = self.http_client.send(http_request).await?;
        let sent = self.authentication.secrets(&self.client_id);
        response::read(&response, &self.token_types, &sent)
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("token_url", &self.endpoint.name)
            .field("client_id", &self.client_id)
            .field("authentication", &self.authentication)
            .field("request", &self.defaults)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
