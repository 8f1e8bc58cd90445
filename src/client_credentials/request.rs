//! The token request (RFC 6749 section 4.4.2).

use form_urlencoded::Serializer;
use http::{
    HeaderValue, Method, Request, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use zeroize::Zeroizing;

use super::{ClientSettings, authentication::Proof, endpoint::TokenEndpoint};
use crate::{
    http_client::SecretBody,
    token_request::{TokenRequest, WithoutToken},
};

const AGENT: &str = concat!("client-credentials/", env!("CARGO_PKG_VERSION"));

pub(super) fn build(
    settings: &ClientSettings,
    endpoint: &TokenEndpoint,
    wanted: &TokenRequest,
    proof: &Proof,
) -> Request<SecretBody> {
    let scope = wanted.scope().map(|scope| match settings.comma_separated_scopes {
        true => scope.replace(' ', ","),
        false => scope,
    });
    let mut pairs = vec![("grant_type", settings.grant_type.as_str())];
    pairs.extend(scope.iter().map(|scope| ("scope", scope.as_str())));
    pairs.extend(wanted.resources().map(|resource| ("resource", resource)));
    pairs.extend(wanted.audience().map(|audience| ("audience", audience)));
    pairs.extend(wanted.parameters());
    pairs.extend(proof.parameters.iter().map(|(name, value)| (*name, value.as_str())));
    // Enough capacity for all of it, percent-encoded: growing would leave copies of the secret behind.
    let room = pairs.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = Serializer::new(String::with_capacity(room));
    form.extend_pairs(pairs);
    let body = SecretBody::wiped(Zeroizing::new(form.finish().into_bytes()));

    let mut request = to(&endpoint.url, body);
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    headers.extend(settings.headers.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    if let Some(value) = &proof.header {
        headers.insert(AUTHORIZATION, value.clone());
    }
    request
}

/// A request to the server, for a token or for its metadata.
pub(super) fn to(url: &Uri, body: SecretBody) -> Request<SecretBody> {
    let mut request = Request::new(body);
    request.uri_mut().clone_from(url);
    request.extensions_mut().insert(WithoutToken);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    request
}
