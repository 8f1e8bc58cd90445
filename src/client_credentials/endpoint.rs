//! The token endpoint, and the URLs that it is found by.

use http::Uri;

use crate::{error::Error, host::is_loopback, origin::Port};

/// A token endpoint.
pub(super) struct TokenEndpoint {
    pub url: Uri,
    /// Without the query, for errors.
    pub name: String,
    /// What an assertion is meant for, unless an audience was chosen: letter by letter as it was configured.
    pub audience: String,
}

impl TokenEndpoint {
    /// As it was configured.
    pub(super) fn configured(text: &str, plain_http: bool) -> Result<Self, Error> {
        Self::read(text, plain_http).map_err(|what| {
            Error::configuration(format!("token_url: {what}; write it as `https://auth.example.com/oauth2/token`"))
        })
    }

    /// A URL that may be sent a secret, or what is wrong with it.
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
            return Err("has user info; the client's id and secret have parameters of their own");
        }
        if authority.host().is_empty() {
            return Err("has no host");
        }
        if Port::of(authority) == Port::Unreadable {
            return Err("has a port that is not a number up to 65535");
        }
        match scheme {
            "https" => {}
            "http" if plain_http || is_loopback(authority.host()) => {}
            "http" => {
                return Err(
                    "is plain http to a host that is not loopback, and would show the secret to everybody on the way; use https, or `.allow_plain_http()`",
                );
            }
            _ => return Err("has a scheme other than https"),
        }
        let name = format!("{scheme}://{authority}{}", url.path());
        Ok(Self { url, name, audience: text.to_owned() })
    }
}
