use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::AUTHORIZATION};
use serde_json::json;
use tokio::time::Instant;

use super::{
    MockResponse,
    mock_response::{Responses, json},
    server::Server,
};
use crate::{
    error::Error,
    http_client::{HttpClient, SecretBody},
    lock::lock,
};

/// A token endpoint that issues `token-1`, `token-2` …, records its requests, and fails when a test wants it to.
///
/// This is a handle that is cheap to clone. All clones are one server, which stops when the last of them is dropped.
/// [`start`](Self::start) runs it on loopback; [`in_memory`](Self::in_memory) makes it an [`HttpClient`] without a
/// socket.
#[derive(Clone)]
pub struct AuthorizationServer {
    state: Arc<Mutex<ServerState>>,
    /// Stops with the last handle. `None`: in memory.
    _server: Option<Arc<Server>>,
}

#[derive(Default)]
struct ServerState {
    issuer: String,
    client: Option<(String, String)>,
    scopes: Vec<String>,
    lifetime: Duration,
    responses: Responses,
    received: Vec<ReceivedTokenRequest>,
    issued: usize,
    good: HashMap<String, Good>,
}

/// A token that is accepted.
struct Good {
    until: Instant,
    scope: String,
}

/// A token request, as the server received it.
#[derive(Clone)]
pub struct ReceivedTokenRequest {
    headers: HeaderMap,
    parameters: Vec<(String, String)>,
    basic: Option<(String, String)>,
}

impl AuthorizationServer {
    /// Starts a server on a loopback port. It accepts any client and any scope, and issues tokens for an hour.
    ///
    /// # Panics
    ///
    /// If no loopback port is available.
    pub async fn start() -> Self {
        let auth = Self::in_memory();
        let handle = auth.clone();
        let server = Server::start(move |request| handle.clone().respond(request)).await;
        auth.state().issuer = server.origin();
        Self { _server: Some(Arc::new(server)), ..auth }
    }

    /// Makes the same server without a socket. Pass a clone of it to `.http_client(..)`.
    #[must_use]
    pub fn in_memory() -> Self {
        let (issuer, lifetime) = ("https://auth.test".to_owned(), Duration::from_secs(3600));
        let state = ServerState { issuer, lifetime, ..ServerState::default() };
        Self { state: Arc::new(Mutex::new(state)), _server: None }
    }

    /// The token endpoint's URL.
    #[must_use]
    pub fn token_url(&self) -> String {
        format!("{}/oauth2/token", self.issuer())
    }

    /// The issuer. Its metadata document names the token endpoint.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.state().issuer.clone()
    }

    /// Sets the response to the next token request. Further calls set those to the requests after it.
    pub fn respond_next(&self, response: MockResponse) {
        self.state().responses.push(response);
    }

    /// Sets the response to every token request from now on. [`MockResponse::usual`] restores the usual one.
    pub fn respond_always(&self, response: MockResponse) {
        self.state().responses.always(response);
    }

    /// Sets the lifetime of the tokens that are issued from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.state().lifetime = lifetime;
    }

    /// From now on, only this client gets tokens; others get `invalid_client`. The secret is accepted in the body and
    /// in a Basic header.
    pub fn set_client(&self, id: impl Into<String>, secret: impl Into<String>) {
        self.state().client = Some((id.into(), secret.into()));
    }

    /// From now on, clients may request this scope; a request for one that was never allowed gets `invalid_scope`.
    pub fn allow_scope(&self, scope: impl Into<String>) {
        self.state().scopes.push(scope.into());
    }

    /// Revokes this token.
    pub fn revoke(&self, token: &str) {
        self.state().good.remove(token);
    }

    /// Revokes every token that was issued so far.
    pub fn revoke_all(&self) {
        self.state().good.clear();
    }

    /// Whether an API would accept this token now.
    #[must_use]
    pub fn accepts(&self, token: &str) -> bool {
        self.scope_of(token).is_some()
    }

    /// The token requests that were received, in order.
    #[must_use]
    pub fn token_requests(&self) -> Vec<ReceivedTokenRequest> {
        self.state().received.clone()
    }

    /// The scope of a token that is accepted now.
    pub(super) fn scope_of(&self, token: &str) -> Option<String> {
        let state = self.state();
        let good = state.good.get(token).filter(|good| Instant::now() < good.until)?;
        Some(good.scope.clone())
    }

    /// A handle that knows the tokens, but does not keep the socket open.
    pub(super) fn without_socket(&self) -> Self {
        Self { state: Arc::clone(&self.state), _server: None }
    }

    async fn respond(self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        if request.uri().path() == "/.well-known/openid-configuration" {
            return Some(json(StatusCode::OK, &json!({ "issuer": self.issuer(), "token_endpoint": self.token_url() })));
        }
        let received = ReceivedTokenRequest::read(&request);
        let response = {
            let mut state = self.state();
            state.received.push(received.clone());
            state.responses.pop()
        };
        response.give(|| self.state().issue(&received)).await
    }

    fn state(&self) -> MutexGuard<'_, ServerState> {
        lock(&self.state)
    }
}

#[async_trait]
impl HttpClient for AuthorizationServer {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        match self.clone().respond(request.map(SecretBody::into_bytes)).await {
            Some(response) => Ok(response.map(SecretBody::from)),
            None => Err(Error::transient(std::io::Error::from(std::io::ErrorKind::ConnectionReset))),
        }
    }
}

impl ServerState {
    fn issue(&mut self, request: &ReceivedTokenRequest) -> Response<Bytes> {
        let refuse = |status, error: &str| json(status, &json!({ "error": error }));
        if request.parameter("grant_type") != Some("client_credentials") {
            return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type");
        }
        if let Some((id, secret)) = &self.client
            && (request.client_id(), request.client_secret()) != (Some(id), Some(secret))
        {
            return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
        }
        let scope = request.scope().unwrap_or_default();
        let known = |scope: &str| self.scopes.iter().any(|known| known == scope);
        if !self.scopes.is_empty() && !scope.split_ascii_whitespace().all(known) {
            return refuse(StatusCode::BAD_REQUEST, "invalid_scope");
        }
        self.issued += 1;
        let token = format!("token-{}", self.issued);
        self.good.insert(token.clone(), Good { until: Instant::now() + self.lifetime, scope: scope.to_owned() });
        let expires_in = self.lifetime.as_secs();
        let mut response = json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in });
        if !scope.is_empty() {
            response["scope"] = scope.into();
        }
        json(StatusCode::OK, &response)
    }
}

impl ReceivedTokenRequest {
    fn read(request: &Request<Bytes>) -> Self {
        let basic = request.headers().get(AUTHORIZATION).and_then(|value| {
            let credentials = STANDARD.decode(value.to_str().ok()?.strip_prefix("Basic ")?).ok()?;
            let credentials = String::from_utf8(credentials).ok()?;
            let (id, secret) = credentials.split_once(':')?;
            let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            Some((decode(id), decode(secret)))
        });
        Self {
            headers: request.headers().clone(),
            parameters: form_urlencoded::parse(request.body()).into_owned().collect(),
            basic,
        }
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first parameter of this name in the body.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters().find(|(of, _)| *of == name).map(|(_, value)| value)
    }

    /// All the parameters in the body, in order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The requested scope.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.parameter("scope")
    }

    /// The client's id, from the body or the Basic header.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.parameter("client_id").or(self.basic.as_ref().map(|(id, _)| id.as_str()))
    }

    /// The client's secret, from the body or the Basic header.
    #[must_use]
    pub fn client_secret(&self) -> Option<&str> {
        self.parameter("client_secret").or(self.basic.as_ref().map(|(_, secret)| secret.as_str()))
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer").field("token_url", &self.token_url()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReceivedTokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.parameters().map(|(name, _)| name).collect();
        f.debug_struct("ReceivedTokenRequest")
            .field("client_id", &self.client_id())
            .field("scope", &self.scope())
            .field("parameters", &names)
            .finish_non_exhaustive()
    }
}
