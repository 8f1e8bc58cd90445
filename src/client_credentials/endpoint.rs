//! The URL of a token endpoint.

use http::Uri;

use crate::{
    host::is_loopback,
    origin::{Origins, host_and_port},
};

/// Where the token endpoint may be.
#[derive(Clone, Default)]
pub(super) struct EndpointConfig {
    /// Whether it is in the metadata of an issuer.
    pub is_discovered: bool,
    /// Where a discovered one may be, in addition to the issuer's host.
    pub origins: Origins,
    /// Whether to use `mtls_endpoint_aliases` (RFC 8705 section 5), for clients with a certificate.
    pub mtls_aliases: bool,
    pub plain_http: bool,
}

/// A token endpoint.
pub(super) struct TokenEndpoint {
    pub url: Uri,
    /// The URL without its query, for errors.
    pub name: String,
}

impl TokenEndpoint {
    /// Reads a URL that a secret may be sent to. `Err` is what is wrong with it.
    pub(super) fn read(text: &str, plain_http: bool) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("missing");
        }
        if text.contains('#') {
            return Err("has a fragment");
        }
        if text.starts_with('/') {
            return Err("is not absolute");
        }
        if !text.contains("://") {
            return Err("has no scheme");
        }
        let url = text.parse::<Uri>().map_err(|_| "is not a URL")?;
        let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err("is not a URL");
        };
        if authority.as_str().contains('@') {
            return Err("contains user info; configure the client's id and secret separately");
        }
        if authority.host().is_empty() {
            return Err("has no host");
        }
        if host_and_port(authority.as_str()).is_none() {
            return Err("has a port that is not a number up to 65535");
        }
        match scheme {
            "https" => {}
            "http" if plain_http || is_loopback(authority.host()) => {}
            "http" => {
                return Err(
                    "is plain http to a host other than loopback, so anyone on the network path could read the secret; use https, or set `allow_plain_http`",
                );
            }
            _ => return Err("has a scheme other than https"),
        }
        let name = format!("{scheme}://{authority}{}", url.path());
        Ok(Self { url, name })
    }
}
