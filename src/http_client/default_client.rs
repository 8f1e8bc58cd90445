//! The client that sends the token requests where the application brings none.

use std::{sync::OnceLock, time::Duration};

use async_trait::async_trait;
use http::{Request, Response, uri::Scheme};
use reqwest::ClientBuilder;

use super::{
    HttpClient,
    body::SecretBody,
    reqwest_client::{build, is_about_the_way},
};
use crate::{
    error::{Error, ErrorKind},
    host::is_loopback,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Goes through the proxies of the environment, but never to loopback: plain http is allowed there because nobody is on
/// the way.
pub(crate) struct DefaultClient {
    client: reqwest::Client,
    direct: OnceLock<reqwest::Client>,
    further: Box<Further>,
}

type Further = dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync;

impl DefaultClient {
    /// `further` adds what the application's settings say.
    pub(crate) fn new(further: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static) -> Result<Self, Error> {
        Ok(Self { client: build(further(settings()))?, direct: OnceLock::new(), further: Box::new(further) })
    }

    fn direct(&self) -> Result<&reqwest::Client, Error> {
        if let Some(client) = self.direct.get() {
            return Ok(client);
        }
        let client = build((self.further)(settings()).no_proxy())?;
        Ok(self.direct.get_or_init(|| client))
    }
}

fn settings() -> ClientBuilder {
    // An idle connection that died unnoticed is the classic failure at a renewal; one handshake an hour costs nothing.
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
                error.or_advice("to trust a private certificate authority, bring a client with `.http_client(..)`")
            }
            _ if is_about_the_way(&error) && !loopback => error.or_advice(format!(
                "if a proxy is on the way, set `{variable}`, or bring a client with `.http_client(..)`"
            )),
            _ => error,
        })
    }
}
