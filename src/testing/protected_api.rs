use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use http_body_util::BodyExt;
use tower_service::Service;

use super::{Answer, AuthorizationServer, answer::Script, server::Server};
use crate::error::BoxError;

/// An API that takes the tokens of an [`AuthorizationServer`], and answers others with the challenges of RFC 6750.
///
/// To a good token it answers 200 and the request's own body, or what [`answer_next`](Self::answer_next) says. A handle
/// that is cheap to clone; the clones are one API, which ends with the last of them. On loopback by
/// [`start`](Self::start); by [`in_memory`](Self::in_memory) as a tower service.
#[derive(Clone)]
pub struct ProtectedApi {
    auth: AuthorizationServer,
    state: Arc<Mutex<ApiState>>,
    server: Option<Arc<Server>>,
}

#[derive(Default)]
struct ApiState {
    script: Script,
    scope: Option<String>,
    received: Vec<Request<Bytes>>,
}

impl ProtectedApi {
    /// An API on a loopback port.
    ///
    /// # Panics
    ///
    /// If there is no loopback port to be had.
    pub async fn start(auth: &AuthorizationServer) -> Self {
        let api = Self::in_memory(auth);
        let answering = api.clone();
        let server = Server::start(move |request| {
            let answering = answering.clone();
            Box::pin(async move { answering.answer(request).await })
        })
        .await;
        Self { server: Some(Arc::new(server)), ..api }
    }

    /// An API without a socket: a tower service.
    #[must_use]
    pub fn in_memory(auth: &AuthorizationServer) -> Self {
        Self { auth: auth.without_socket(), state: Arc::default(), server: None }
    }

    /// Where it is, such as `http://127.0.0.1:4000`; in memory `https://api.test`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.server.as_ref().map_or_else(|| "https://api.test".to_owned(), |server| server.origin())
    }

    /// Answers 403 and `insufficient_scope` from now on to a token that has not this scope.
    pub fn require_scope(&self, scope: impl Into<String>) {
        self.state().scope = Some(scope.into());
    }

    /// Answers the next request with a good token so; when called again, the one after it.
    pub fn answer_next(&self, answer: Answer) {
        self.state().script.push(answer);
    }

    /// Answers every request with a good token so, from now on; [`Answer::usual`] ends it.
    pub fn answer_always(&self, answer: Answer) {
        self.state().script.always(answer);
    }

    /// The requests that came in, in order, those that were refused included.
    #[must_use]
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        self.state().received.clone()
    }

    async fn answer(&self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let refused = self.refusal(request.headers());
        let body = request.body().clone();
        let answer = {
            let mut state = self.state();
            state.received.push(request);
            if refused.is_some() { Answer::usual() } else { state.script.pop() }
        };
        answer.give(|| refused.unwrap_or_else(|| Response::new(body))).await
    }

    /// `None`: the token is good.
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
            let answer = api.answer(Request::from_parts(parts, body)).await;
            let answer = answer.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionReset))?;
            Ok(answer.map(|body| String::from_utf8_lossy(&body).into_owned()))
        })
    }
}

impl fmt::Debug for ProtectedApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtectedApi").field("origin", &self.origin()).finish_non_exhaustive()
    }
}
