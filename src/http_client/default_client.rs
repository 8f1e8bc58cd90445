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
            ErrorKind::Tls => match advice(&error) {
                Some(advice) => error.or_advice(advice),
                None => error,
            },
            _ if is_connection_failure(&error) && !loopback => {
                error.or_advice(format!("if a proxy is required, set `{variable}`"))
            }
            _ => error,
        })
    }
}

const AUTHORITY: &str =
    "to trust a private certificate authority, set `http.ca_file`, or pass a client to `.http_client(..)`";
const DATES: &str = "check the dates of the server's certificate, and this machine's clock";

/// What to do, in view of the words of rustls and of OpenSSL. `None`: the certificate is of another host.
fn advice(error: &Error) -> Option<&'static str> {
    let says = |words: &[&str]| {
        chain(error).map(ToString::to_string).any(|cause| words.iter().any(|word| cause.contains(word)))
    };
    if says(&["certificate expired", "certificate has expired", "not valid yet", "not yet valid"]) {
        return Some(DATES);
    }
    (!says(&["not valid for name", "mismatch"])).then_some(AUTHORITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_fits_what_is_wrong_with_the_certificate() {
        for (said, expected) in [
            ("invalid peer certificate: certificate expired: verification time 1795649227 (UNIX)", Some(DATES)),
            ("invalid peer certificate: certificate not valid yet: verification time 1795649227 (UNIX)", Some(DATES)),
            ("certificate verify failed:../ssl/statem/statem_clnt.c:1889: (certificate has expired)", Some(DATES)),
            ("certificate verify failed:../ssl/statem/statem_clnt.c:1889: (certificate is not yet valid)", Some(DATES)),
            ("invalid peer certificate: UnknownIssuer", Some(AUTHORITY)),
            ("invalid peer certificate: certificate not valid for name \"localhost\"", None),
            ("certificate verify failed: (hostname mismatch)", None),
        ] {
            assert_eq!(advice(&Error::new(ErrorKind::Tls, said)), expected, "{said}");
        }
    }
}
