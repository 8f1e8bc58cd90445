use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use http_body_util::BodyExt;
use tower_service::Service;

use super::{AuthorizationServer, MockResponse, mock_response::Responses, server::Server};
use crate::{error::BoxError, lock::lock};

/// An API that accepts the tokens of an [`AuthorizationServer`], and rejects others with the challenges of RFC 6750.
///
/// The usual response to an accepted token is a 200 with the request's own body.
///
/// This is a handle that is cheap to clone. All clones are one API, which stops when the last of them is dropped.
/// [`start`](Self::start) runs it on loopback; [`in_memory`](Self::in_memory) makes it a tower service.
#[derive(Clone)]
pub struct ProtectedApi {
    auth: AuthorizationServer,
    state: Arc<Mutex<ApiState>>,
    server: Option<Arc<Server>>,
}

#[derive(Default)]
struct ApiState {
    responses: Responses,
    scope: Option<String>,
    received: Vec<Request<Bytes>>,
}

impl ProtectedApi {
    /// Starts an API on a loopback port.
    ///
    /// # Panics
    ///
    /// If no loopback port is available.
    pub async fn start(auth: &AuthorizationServer) -> Self {
        let api = Self::in_memory(auth);
        let handle = api.clone();
        let server = Server::start(move |request| handle.clone().respond(request)).await;
        Self { server: Some(Arc::new(server)), ..api }
    }

    /// Makes an API without a socket: a tower service.
    #[must_use]
    pub fn in_memory(auth: &AuthorizationServer) -> Self {
        Self { auth: auth.without_socket(), state: Arc::default(), server: None }
    }

    /// The API's origin, such as `http://127.0.0.1:4000`; in memory, it is `https://api.test`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.server.as_ref().map_or_else(|| "https://api.test".to_owned(), |server| server.origin())
    }

    /// From now on, rejects a token without this scope: 403 and `insufficient_scope`.
    pub fn require_scope(&self, scope: impl Into<String>) {
        self.state().scope = Some(scope.into());
    }

    /// Sets the response to the next request with an accepted token. Further calls set those to the requests after it.
    pub fn respond_next(&self, response: MockResponse) {
        self.state().responses.push(response);
    }

    /// Sets the response to every request with an accepted token from now on. [`MockResponse::usual`] restores the
    /// usual one.
    pub fn respond_always(&self, response: MockResponse) {
        self.state().responses.always(response);
    }

    /// The requests that were received, in order, including those that were rejected.
    #[must_use]
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        self.state().received.clone()
    }

    async fn respond(self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let refused = self.refusal(request.headers());
        let body = request.body().clone();
        let response = {
            let mut state = self.state();
            state.received.push(request);
            if refused.is_some() { MockResponse::usual() } else { state.responses.pop() }
        };
        response.give(|| refused.unwrap_or_else(|| Response::new(body))).await
    }

    /// `None`: the token is accepted.
    fn refusal(&self, headers: &HeaderMap) -> Option<Response<Bytes>> {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Some(challenge(StatusCode::UNAUTHORIZED, "Bearer realm=\"api\""));
        };
        let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let Some(granted) = self.auth.scope_of(token) else {
            return Some(challenge(StatusCode::UNAUTHORIZED, "Bearer realm=\"api\", error=\"invalid_token\""));
        };
        let required = self.state().scope.clone();
        if required.is_none_or(|required| granted.split_ascii_whitespace().any(|scope| scope == required)) {
            return None;
        }
        Some(challenge(StatusCode::FORBIDDEN, "Bearer realm=\"api\", error=\"insufficient_scope\""))
    }

    fn state(&self) -> MutexGuard<'_, ApiState> {
        lock(&self.state)
    }
}

fn challenge(status: StatusCode, challenge: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

impl<B> Service<Request<B>> for ProtectedApi
where
    B: http_body::Body<Error: Into<BoxError>> + Send + 'static,
    B::Data: Send,
{
    type Response = Response<String>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            let response = api.respond(Request::from_parts(parts, body)).await;
            let response = response.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionReset))?;
            Ok(response.map(|body| String::from_utf8_lossy(&body).into_owned()))
        })
    }
}

impl fmt::Debug for ProtectedApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtectedApi").field("origin", &self.origin()).finish_non_exhaustive()
    }
}
