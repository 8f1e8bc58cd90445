//! The default HTTP client for token requests.

use std::{sync::OnceLock, time::Duration};

use async_trait::async_trait;
use http::{Request, Response, uri::Scheme};
use reqwest::ClientBuilder;

use super::{
    HttpClient,
    body::SecretBody,
    reqwest_client::{build, is_connection_failure},
};
use crate::{
    error::{Error, ErrorKind},
    fault::chain,
    host::is_loopback,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// It uses the proxies of the environment, but never for loopback: plain http is allowed there because the request does
/// not leave the machine.
pub(crate) struct DefaultClient {
    client: reqwest::Client,
    direct: OnceLock<reqwest::Client>,
    customize: Box<Customize>,
}

type Customize = dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync;

impl DefaultClient {
    /// `customize` applies the settings of the application.
    pub(crate) fn new(
        customize: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Ok(Self { client: build(customize(settings()))?, direct: OnceLock::new(), customize: Box::new(customize) })
    }

    fn direct(&self) -> Result<&reqwest::Client, Error> {
        if let Some(client) = self.direct.get() {
            return Ok(client);
        }
        let client = build((self.customize)(settings()).no_proxy())?;
        Ok(self.direct.get_or_init(|| client))
    }
}

fn settings() -> ClientBuilder {
    // No idle connections: one that has died unnoticed would make a renewal fail, and a handshake an hour is cheap.
    reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).pool_max_idle_per_host(0)
}

#[async_trait]
impl HttpClient for DefaultClient {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let loopback = is_loopback(request.uri().host().unwrap_or_default());
        let variable = if request.uri().scheme() == Some(&Scheme::HTTP) { "HTTP_PROXY" } else { "HTTPS_PROXY" };
        let client = if loopback { self.direct()? } else { &self.client };
        client.send(request).await.map_err(|error| match error.kind() {
            ErrorKind::Tls if may_be_untrusted(&error) => error.or_advice(
                "to trust a private certificate authority, set `http.ca_file`, or pass a client to `.http_client(..)`",
            ),
            _ if is_connection_failure(&error) && !loopback => {
                error.or_advice(format!("if a proxy is required, set `{variable}`"))
            }
            _ => error,
        })
    }
}

/// Whether the server's certificate may be of an unknown authority, and is not out of date or for another host.
fn may_be_untrusted(error: &Error) -> bool {
    // In the words of rustls and of OpenSSL.
    const OTHERWISE: [&str; 4] = ["expired", "not valid", "not yet valid", "mismatch"];
    let is_otherwise = |text: String| OTHERWISE.iter().any(|words| text.contains(words));
    !chain(error).any(|cause| is_otherwise(cause.to_string()))
}
