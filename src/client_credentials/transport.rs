//! The HTTP client that sends token requests.

use std::sync::Arc;

use super::ClientAuthentication;
#[cfg(all(feature = "serde", feature = "reqwest"))]
use super::configuration::HttpSettings;
use crate::{error::Error, http_client::HttpClient};

#[derive(Clone)]
pub(super) enum Transport {
    Default,
    Own(Arc<dyn HttpClient>),
    /// The default client, with these settings.
    #[cfg(all(feature = "serde", feature = "reqwest"))]
    Configured(Box<HttpSettings>),
}

impl Transport {
    pub(super) fn client(self, authentication: &ClientAuthentication) -> Result<Arc<dyn HttpClient>, Error> {
        let (has_certificate, client) = match self {
            Self::Default => (false, default_client()),
            Self::Own(client) => (true, Ok(client)),
            #[cfg(all(feature = "serde", feature = "reqwest"))]
            Self::Configured(settings) => (settings.has_client_certificate(), settings.client()),
        };
        if authentication.uses_tls_certificate() && !has_certificate {
            return Err(Error::configuration(format!(
                "http_client: missing; {authentication:?} needs an HTTP client that presents the client's certificate, or `http.client_certificate_file`"
            )));
        }
        client
    }
}

#[cfg(feature = "reqwest")]
fn default_client() -> Result<Arc<dyn HttpClient>, Error> {
    Ok(Arc::new(crate::http_client::DefaultClient::new(|builder| builder)?))
}

#[cfg(not(feature = "reqwest"))]
fn default_client() -> Result<Arc<dyn HttpClient>, Error> {
    Err(Error::configuration("http_client: missing; pass one to `.http_client(..)`, or enable the feature `reqwest`"))
}
