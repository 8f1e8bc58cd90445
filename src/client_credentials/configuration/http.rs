//! The connection to the token endpoint: proxy, certificates and connect timeout.

use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::{ClientBuilder, Proxy};

use super::{
    certificates::Certificates,
    table::{Table, refuse},
};
use crate::{
    error::Error,
    http_client::{DefaultClient, HttpClient},
};

#[derive(Clone)]
pub(in crate::client_credentials) struct HttpSettings {
    /// In place of the proxies of the environment.
    proxy: Option<Proxy>,
    certificates: Certificates,
    connect_timeout: Option<Duration>,
}

pub(super) fn read(table: &mut Table) -> Result<HttpSettings, Error> {
    let settings = HttpSettings {
        proxy: proxy(table)?,
        certificates: Certificates {
            authorities: table.text("http.ca_file")?.map(PathBuf::from),
            only_those: table.flag("http.ca_only")?,
            client: table.text("http.client_certificate_file")?.map(PathBuf::from),
            key: table.text("http.client_key_file")?.map(PathBuf::from),
        },
        connect_timeout: table.seconds("http.connect_timeout")?,
    };
    if settings.connect_timeout.is_some_and(|limit| limit.is_zero()) {
        return Err(refuse("http.connect_timeout", "zero; every connection would time out"));
    }
    Ok(settings)
}

fn proxy(table: &mut Table) -> Result<Option<Proxy>, Error> {
    let Some(url) = table.secret("http.proxy")? else { return Ok(None) };
    let url = url.trim();
    if url == "none" {
        return Ok(Some(Proxy::custom(|_| None::<&str>)));
    }
    // The cause is omitted, because it quotes the URL, which may contain a password.
    let what = "is not the URL of a proxy; write it as `http://proxy.example.com:3128`, or `none`";
    // reqwest ignores a proxy of any other scheme.
    let known = url.split_once("://").is_none_or(|(scheme, _)| {
        ["http", "https", "socks4", "socks4a", "socks5", "socks5h"].contains(&&*scheme.to_ascii_lowercase())
    });
    match Proxy::all(url) {
        Ok(proxy) if known => Ok(Some(proxy)),
        _ => Err(refuse("http.proxy", what)),
    }
}

impl HttpSettings {
    pub(in crate::client_credentials) fn has_client_certificate(&self) -> bool {
        self.certificates.client.is_some()
    }

    pub(in crate::client_credentials) fn client(self) -> Result<Arc<dyn HttpClient>, Error> {
        let with_certificates = self.certificates.load()?;
        let client = DefaultClient::new(move |builder: ClientBuilder| {
            let builder = with_certificates(builder);
            let builder = match &self.proxy {
                Some(proxy) => builder.proxy(proxy.clone()),
                None => builder,
            };
            match self.connect_timeout {
                Some(limit) => builder.connect_timeout(limit),
                None => builder,
            }
        });
        Ok(Arc::new(client?))
    }
}
