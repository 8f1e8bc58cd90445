//! The token request (RFC 6749 section 4.4.2).

use form_urlencoded::Serializer;
use http::{
    HeaderName, HeaderValue, Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use zeroize::Zeroizing;

use super::{ClientCredentials, endpoint::Endpoint};
use crate::{
    error::Error,
    http_client::{Body, IsTokenRequest},
    source::TokenRequest,
};

pub(super) const AGENT: &str = concat!("client-credentials/", env!("CARGO_PKG_VERSION"));

/// Headers that the token request or the HTTP client writes itself.
const RESERVED: [&str; 16] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// A header that a server wants beside those of every token request.
pub(super) fn further_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::configuration("header: its name is none, or has a character that a name may not have"))?;
    if let Some(reserved) = RESERVED.into_iter().find(|reserved| name == *reserved) {
        return Err(Error::configuration(format!(
            "header: `{reserved}` is written by the token request or by the HTTP client"
        )));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Error::configuration(format!("header: the value of `{name}` has a character that is not visible ASCII"))
    })?;
    value.set_sensitive(true);
    Ok((name, value))
}

pub(super) fn build(source: &ClientCredentials, endpoint: &Endpoint, wanted: &TokenRequest) -> Request<Body> {
    let mut form = Serializer::new(String::with_capacity(1024));
    form.append_pair("grant_type", &source.grant_type);
    if let Some(scope) = wanted.scope() {
        let scope = if source.comma_separated_scopes { scope.replace(' ', ",") } else { scope };
        form.append_pair("scope", &scope);
    }
    for resource in wanted.resources() {
        form.append_pair("resource", resource);
    }
    if let Some(audience) = wanted.audience() {
        form.append_pair("audience", audience);
    }
    form.extend_pairs(wanted.parameters());
    form.extend_pairs(source.authentication.parameters(&source.client_id));
    let body = Body::wiped(Zeroizing::new(form.finish().into_bytes()));

    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    request.uri_mut().clone_from(&endpoint.url);
    request.extensions_mut().insert(IsTokenRequest);
    request.headers_mut().clone_from(&source.headers);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if let Some(value) = source.authentication.header(&source.client_id) {
        headers.insert(AUTHORIZATION, value);
    }
    request
}
