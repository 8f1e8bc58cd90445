//! The token requests, one for each way of authentication, until one is accepted.

use client_credentials::{
    AccessToken, ClientCredentials, ClientCredentialsBuilder, Error, ErrorKind, TokenRequest, TokenSource,
};
use http::StatusCode;
use serde_json::{Map, Value};

use super::{
    exchange::{Exchange, Seen},
    methods,
};
use crate::{
    failure::{Failure, whole},
    settings::Settings,
    streams::say,
};

/// A token, and how it was obtained.
pub(super) struct Obtained {
    pub token: AccessToken,
    pub method: &'static str,
    pub source: ClientCredentials,
    pub seen: Option<Seen>,
}

pub(super) async fn run(settings: &Settings) -> Result<Obtained, Failure> {
    let exchange = Exchange::default();
    let is_open = settings.has("issuer") && !settings.has("authentication");
    let metadata = if is_open { look_up(settings, &exchange).await? } else { None };
    let mut left = methods::to_try(settings, metadata.as_ref()).into_iter().peekable();
    while let Some(method) = left.next() {
        let source = client(settings.builder(Some(method))?, &exchange, Some(method))?;
        match source.token(&TokenRequest::default()).await {
            Ok(token) => return Ok(Obtained { token, method, source, seen: exchange.seen() }),
            Err(error) if left.peek().is_some() && may_be_authentication(&error) => {
                say(format!("  {}", whole(&error)));
            }
            Err(error) => return Err(Failure::token(&error)),
        }
    }
    // The one that is set is unknown.
    client(settings.builder(None)?, &exchange, None)?;
    Err(Failure::usage("authentication: no way of authentication is left"))
}

/// The issuer's metadata, checked by the library.
async fn look_up(settings: &Settings, exchange: &Exchange) -> Result<Option<Map<String, Value>>, Failure> {
    let method = methods::to_try(settings, None).first().copied();
    let source = client(settings.builder(method)?, exchange, None)?;
    match source.token(&TokenRequest::default()).await {
        // The exchange refuses to send the token request.
        Err(error) if error.kind() != ErrorKind::Refused => Err(Failure::token(&error)),
        _ => Ok(exchange.metadata()),
    }
}

fn client(
    builder: ClientCredentialsBuilder,
    exchange: &Exchange,
    method: Option<&'static str>,
) -> Result<ClientCredentials, Failure> {
    let exchange = exchange.clone();
    let builder = builder.map_http_client(move |client| exchange.wrap(client, method));
    builder.build().map_err(|error| Failure::settings(&error))
}

/// Whether another way of authentication may be accepted: servers have several codes for that.
fn may_be_authentication(error: &Error) -> bool {
    let code = error.response().map(|response| response.error.as_str());
    let by_code = matches!(code, Some("invalid_client" | "unauthorized_client" | "invalid_request"));
    let by_status = matches!(error.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN));
    !error.is_transient() && (by_code || by_status)
}
