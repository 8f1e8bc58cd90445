//! The client_credentials grant (RFC 6749 section 4.4).

mod authentication;
mod builder;
mod mask;
mod request;
mod response;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderMap, Uri};

use self::mask::Mask;
pub use self::{authentication::ClientAuthentication, builder::ClientCredentialsBuilder};
use crate::{
    error::{Error, ErrorKind},
    http_client::HttpClient,
    log,
    origin::Origins,
    runtime,
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
    comma_separated_scopes: bool,
    headers: HeaderMap,
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
        if request.scope().is_none() {
            log::scope_of_source(&self.defaults);
        }
        let request = request.or(&self.defaults);
        if runtime::with_timer().is_none() {
            return Err(runtime::missing());
        }
        let outcome = tokio::time::timeout(self.timeout, self.exchange(&request)).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, format!("no complete answer within {:?}", self.timeout)))
        });
        outcome.map_err(|error| error.at_endpoint(&self.endpoint.name))
    }

    fn origins(&self) -> Option<Origins> {
        Some(self.origins.clone())
    }

    fn name(&self) -> &str {
        &self.endpoint.name
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
        response::read(self, &response, self.mask(request))
    }
}

impl ClientCredentials {
    /// What must not be repeated in an error: secrets, and further parameters and headers, which may be some (short ones are words).
    fn mask(&self, request: &TokenRequest) -> Mask {
        let mut mask = Mask::default();
        for secret in self.authentication.secrets(&self.client_id) {
            mask.hide(&secret);
        }
        let headers = self.headers.values().filter_map(|value| value.to_str().ok());
        for value in request.parameters().map(|(_, value)| value).chain(headers).filter(|value| value.len() >= 8) {
            mask.hide(value);
        }
        mask
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
