//! The client_credentials grant (RFC 6749 section 4.4).

mod authentication;
mod builder;
#[cfg(feature = "serde")]
mod configuration;
mod discovery;
mod endpoint;
mod escape;
mod exchange;
mod header;
mod identity;
mod lifetime;
mod mask;
mod members;
mod preset;
mod quote;
mod request;
mod response;
mod transport;

use std::{
    fmt,
    sync::{Arc, Mutex, atomic::AtomicI64},
    time::Duration,
};

use async_trait::async_trait;
use http::HeaderMap;
use tokio::time::Instant;
use zeroize::Zeroizing;

#[cfg(feature = "jwt")]
pub use self::authentication::PrivateKey;
pub use self::{
    authentication::{ClientAssertion, ClientAuthentication, Secret, Signer},
    builder::ClientCredentialsBuilder,
};
use self::{
    authentication::{History, Id},
    discovery::Discovery,
    endpoint::TokenEndpoint,
};
use crate::{
    error::{Error, ErrorKind},
    http_client::HttpClient,
    origin::Origins,
    report::Mentions,
    runtime,
    source::{Identifying, TokenSource},
    token::AccessToken,
    token_request::TokenRequest,
};

/// Requests access tokens from a token endpoint with the client_credentials grant (RFC 6749 section 4.4).
///
/// ```no_run
/// use client_credentials::{ClientCredentials, TokenCache};
///
/// let source = ClientCredentials::builder("https://auth.example.com/oauth2/token", "abcde", "12345")
///     .scope("stats")
///     .origin("https://api.example.com")
///     .build()?;
/// let tokens = TokenCache::from(source);
/// # Ok::<(), client_credentials::Error>(())
/// ```
///
/// It is not `Clone`: clone the [`TokenCache`](crate::TokenCache) that is made from it.
pub struct ClientCredentials {
    settings: ClientSettings,
    endpoint: EndpointSource,
    authentication: ClientAuthentication,
    defaults: TokenRequest,
    http_client: Arc<dyn HttpClient>,
    history: History,
    /// How many seconds the server's clock is ahead. Zero until an assertion is accepted only with the server's time.
    clock_ahead: AtomicI64,
    mentions: Mentions,
    /// What was sent in the last exchange, and the token that was received. The server may repeat it in its next
    /// response or metadata document.
    last_secrets: Mutex<Vec<Zeroizing<String>>>,
}

/// What the client uses exactly as it was set.
#[derive(Clone)]
struct ClientSettings {
    /// The token URL or the issuer. It is the default audience of assertions, too: a malicious metadata document could
    /// name the token URL of another server that the client uses.
    server: String,
    client_id: Secret,
    grant_type: String,
    comma_separated_scopes: bool,
    headers: HeaderMap,
    origins: Origins,
    timeout: Duration,
    token_types: Vec<String>,
}

enum EndpointSource {
    Configured(Arc<TokenEndpoint>),
    Discovered(Box<Discovery>),
}

#[async_trait]
impl TokenSource for ClientCredentials {
    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        let request = request.or(&self.defaults);
        if runtime::with_timer().is_none() {
            return Err(runtime::missing());
        }
        let deadline = Instant::now() + self.settings.timeout;
        tokio::time::timeout_at(deadline, self.exchange(&request, deadline)).await.unwrap_or_else(|_| {
            let error =
                Error::new(ErrorKind::Timeout, format!("no complete response within {:?}", self.settings.timeout));
            Err(error.at_endpoint(self.name()))
        })
    }

    /// Waits until the credentials differ from those that were read last. Unreadable ones count as unchanged.
    async fn credentials_changed(&self) {
        let Some(interval) = self.authentication.check_interval(&self.settings.client_id) else {
            return std::future::pending().await;
        };
        let refused = self.history.current();
        loop {
            tokio::time::sleep(interval).await;
            if self.authentication.read(&self.settings.client_id).await.is_ok_and(|read| Some(read) != refused) {
                return;
            }
        }
    }

    fn identity<'a>(&'a self, request: &'a TokenRequest) -> Option<Identifying<'a>> {
        Some(Box::pin(self.identify(request)))
    }

    fn defaults(&self) -> TokenRequest {
        self.defaults.clone()
    }

    fn origins(&self) -> Option<Origins> {
        Some(self.settings.origins.clone())
    }

    fn name(&self) -> &str {
        match &self.endpoint {
            EndpointSource::Configured(endpoint) => &endpoint.name,
            EndpointSource::Discovered(_) => &self.settings.server,
        }
    }

    fn time_limit(&self) -> Duration {
        // Slightly longer, so that the error that names the endpoint comes first.
        self.settings.timeout.saturating_add(Duration::from_millis(250))
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("server", &self.name())
            .field("client_id", &Id(&self.settings.client_id))
            .field("authentication", &self.authentication)
            .field("request", &self.defaults)
            .field("origins", &self.settings.origins)
            .finish_non_exhaustive()
    }
}
