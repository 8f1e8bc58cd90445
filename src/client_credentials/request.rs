//! The token request (RFC 6749 section 4.4.2).

use form_urlencoded::Serializer;
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use zeroize::Zeroizing;

use super::{authentication::Proof, endpoint::Endpoint};
use crate::{
    http_client::{IsTokenRequest, SecretBody},
    token_request::TokenRequest,
};

pub(super) const AGENT: &str = concat!("client-credentials/", env!("CARGO_PKG_VERSION"));

/// How the server wants to be asked.
pub(super) struct Style<'a> {
    pub grant_type: &'a str,
    pub comma_separated_scopes: bool,
    pub headers: &'a HeaderMap,
}

pub(super) fn build(
    style: &Style<'_>,
    endpoint: &Endpoint,
    wanted: &TokenRequest,
    proof: &Proof,
) -> Request<SecretBody> {
    // Room for all of it, escapes included: growing would leave copies of what is secret behind.
    let room: usize = proof.parameters.iter().map(|(_, value)| 3 * value.len()).sum();
    let mut form = Serializer::new(String::with_capacity(1024 + room));
    form.append_pair("grant_type", style.grant_type);
    if let Some(scope) = wanted.scope() {
        let scope = if style.comma_separated_scopes { scope.replace(' ', ",") } else { scope };
        form.append_pair("scope", &scope);
    }
    for resource in wanted.resources() {
        form.append_pair("resource", resource);
    }
    if let Some(audience) = wanted.audience() {
        form.append_pair("audience", audience);
    }
    form.extend_pairs(wanted.parameters());
    form.extend_pairs(proof.parameters.iter().map(|(name, value)| (name, value.as_str())));
    let body = SecretBody::wiped(Zeroizing::new(form.finish().into_bytes()));

    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    request.uri_mut().clone_from(&endpoint.url);
    request.extensions_mut().insert(IsTokenRequest);
    request.headers_mut().clone_from(style.headers);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if let Some(value) = &proof.header {
        headers.insert(AUTHORIZATION, value.clone());
    }
    request
}
