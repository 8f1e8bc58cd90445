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
            ErrorKind::Tls => {
                let is_about_time = chain(&error).any(|cause| is_about_time(&cause.to_string()));
                error.or_advice(if is_about_time {
                    "check the dates of the server's certificate, and this machine's clock"
                } else {
                    "to trust a private certificate authority, pass a client to `.http_client(..)`"
                })
            }
            _ if is_connection_failure(&error) && !loopback => {
                error.or_advice(format!("if a proxy is required, set `{variable}`"))
            }
            _ => error,
        })
    }
}

/// Whether a TLS library says that the certificate is not valid now.
fn is_about_time(said: &str) -> bool {
    ["certificate expired", "has expired", "valid yet", "yet valid"].iter().any(|part| said.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_valid_now_is_told_from_one_that_nobody_trusts() {
        for (said, expected) in [
            ("invalid peer certificate: certificate expired: verification time 1795649227 (UNIX)", true),
            ("invalid peer certificate: certificate not valid yet: verification time 1795649227 (UNIX)", true),
            ("certificate verify failed:../ssl/statem/statem_clnt.c:1889: (certificate has expired)", true),
            ("certificate verify failed:../ssl/statem/statem_clnt.c:1889: (certificate is not yet valid)", true),
            ("invalid peer certificate: UnknownIssuer", false),
            ("invalid peer certificate: certificate not valid for name \"localhost\"", false),
        ] {
            assert_eq!(is_about_time(said), expected, "{said}");
        }
    }
}
