//! One request to an API, through the same middleware as in an application.

use std::{fs, time::Duration};

use client_credentials::{
    AccessToken, BearerAuthMiddleware, Error, Origins, TokenCache, TokenRequest, TokenSource, async_trait,
};
use http::{StatusCode, header::WWW_AUTHENTICATE};
use reqwest::{Certificate, Identity, Url};

use super::{
    attempts::Obtained,
    report::{line, quoted},
};
use crate::{
    explain,
    failure::{Failure, whole},
    settings::Settings,
};

const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The token that was obtained, for the origins of the settings.
struct OneToken(AccessToken, Option<Origins>);

#[async_trait]
impl TokenSource for OneToken {
    async fn token(&self, _: &TokenRequest) -> Result<AccessToken, Error> {
        Ok(self.0.clone())
    }

    fn origins(&self) -> Option<Origins> {
        self.1.clone()
    }
}

pub(super) async fn call(settings: &Settings, obtained: &Obtained, url: &Url) -> Result<(), Failure> {
    let source = OneToken(obtained.token.clone(), obtained.source.origins());
    let tokens = TokenCache::builder(source).build().map_err(|error| Failure::settings(&error))?;
    // The middleware would send the request without a token, as it should for other APIs.
    tokens.header_for(url.as_str()).await.map_err(|error| {
        Failure::usage(format!("--api: {error}\n\nHere, `--origins` names an origin, or `origins` in the file."))
    })?;
    let client = reqwest_middleware::ClientBuilder::new(client(settings, url)?)
        .with(BearerAuthMiddleware::new(tokens).without_replay())
        .build();
    let shown = format!("GET {}{}", url.origin().ascii_serialization(), url.path());
    let response = client.get(url.clone()).send().await.map_err(|error| {
        let cause = whole(&error.without_url());
        Failure::api(format!("{shown}: no response: {cause}"), true)
    })?;
    let status = response.status();
    let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|challenge| challenge.to_str().ok());
    let challenge = challenge.filter(|challenge| !challenge.contains(obtained.token.expose_secret()));
    let challenge = challenge.map(|challenge| format!(", {}", quoted(challenge))).unwrap_or_default();
    let said = format!("{shown}: HTTP {}{challenge}", status.as_u16());
    verdict(status, &said)
}

fn verdict(status: StatusCode, said: &str) -> Result<(), Failure> {
    let refused = |what: &str, may_pass| Err(Failure::api(format!("{said}: {what}"), may_pass));
    let meaning = match status {
        StatusCode::UNAUTHORIZED => {
            return refused(&format!("the API rejects the token{}", explain::rejection()), false);
        }
        StatusCode::FORBIDDEN => {
            return refused("the API knows the client, and refuses this request; a scope may be missing", false);
        }
        StatusCode::TOO_MANY_REQUESTS => return refused("the API limits requests", true),
        _ if status.is_server_error() => return refused("the API is down", true),
        _ if status.is_client_error() => "not about the token",
        // APIs with a login page redirect there instead of a 401.
        _ if status.is_redirection() => "a redirect, which is not followed; try the URL that it leads to",
        _ => "the token is accepted",
    };
    line("API", &format!("{said}; {meaning}"));
    Ok(())
}

/// With the certificates of the connection to the token endpoint.
fn client(settings: &Settings, url: &Url) -> Result<reqwest::Client, Failure> {
    let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(TIME_LIMIT);
    if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        builder = builder.no_proxy();
    }
    if let Some(path) = settings.http("ca_file") {
        let authorities = Certificate::from_pem_bundle(&read(path)?);
        builder = builder.tls_certs_merge(authorities.map_err(|error| Failure::usage(format!("{path}: {error}")))?);
    }
    if let Some(path) = settings.http("client_certificate_file") {
        let mut pem = read(path)?;
        if let Some(key) = settings.http("client_key_file") {
            pem.extend([b"\n".to_vec(), read(key)?].concat());
        }
        // The cause is omitted, because it may quote a line of the key.
        let identity = Identity::from_pem(&pem);
        builder =
            builder.identity(identity.map_err(|_| Failure::usage(format!("{path}: has no certificate with its key")))?);
    }
    builder.build().map_err(|error| Failure::usage(whole(&error)))
}

fn read(path: &str) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::usage(format!("{path}: {error}")))
}
