//! Why there is no token. An error is classified once, where it is made.

mod kind;

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

use http::StatusCode;

pub(crate) use self::kind::OAUTH_CODES;
pub use self::kind::{ErrorKind, ErrorResponse};
use crate::fault::{Fault, chain, without_debug_data};

/// Longer waits are cut to this.
const LONGEST_STATED_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why there is no token, or why one was not attached.
///
/// Cheap to clone: all callers that waited for one token request get the same failure. It never contains a secret or a
/// token.
///
/// [`Error::find`] finds it in the errors of the layers around an adapter (reqwest-middleware, reqwest-retry, tower's
/// `BoxError`, `tonic::Status`).
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    /// Who failed, if a user's own code gave the reason; `None` once more is known.
    whose: Option<&'static str>,
    message: Cow<'static, str>,
    advice: Option<Cow<'static, str>>,
    held_back: Option<Duration>,
    transient: bool,
    quickly_retried: bool,
    status: Option<StatusCode>,
    response: Option<ErrorResponse>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure that may pass on its own: the token request is tried again, with back-off.
    ///
    /// For your own sources and HTTP clients. If the cause is a failure of the transport, such as an
    /// [`io::Error`](std::io::Error), or was caused by one, that decides the kind.
    pub fn transient(cause: impl Into<BoxError>) -> Self {
        let cause = cause.into();
        let kind = Self::find(&*cause).map_or_else(|| Fault::of(&*cause, false).into(), Self::kind);
        Self::of_source(kind, "the token source failed", without_debug_data(cause))
    }

    /// A failure that does not pass on its own, such as a refused credential.
    ///
    /// For your own sources and HTTP clients. The token request is still tried again, at most every ten seconds at
    /// first and every minute later, so that a repaired server is found without a restart.
    pub fn permanent(cause: impl Into<BoxError>) -> Self {
        Self::of_source(ErrorKind::Refused, "the token source refused", cause.into()).lasting()
    }

    /// Sets how long to wait before the next token request; none is sent earlier. Zero is ignored, and more than a
    /// day counts as a day.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Duration) -> Self {
        let wait = Some(retry_after.min(LONGEST_STATED_WAIT)).filter(|wait| !wait.is_zero());
        self.with(|inner| inner.retry_after = wait)
    }

    /// Finds an error of this crate in a chain of errors, at any depth.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        chain(error).find_map(|error| error.downcast_ref())
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether the failure may pass on its own. `false` for an OAuth error code in a 4xx, for a 401, 403, 404 or 405
    /// without one, for a redirect, a wrong issuer or token type, and for invalid settings: token requests are still
    /// tried again, but seldom.
    pub fn is_transient(&self) -> bool {
        self.inner.transient
    }

    /// Whether a time limit passed.
    pub fn is_timeout(&self) -> bool {
        self.inner.kind == ErrorKind::Timeout
    }

    /// How long to wait before it makes sense to try again: the server's `Retry-After` (at most a day), or how long
    /// token requests are held back.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// The status of the token endpoint's response, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.status
    }

    /// The OAuth error response, if the token endpoint sent one.
    pub fn response(&self) -> Option<&ErrorResponse> {
        self.inner.response.as_ref()
    }

    /// The OAuth error code if it is a known one, else the kind: one of few words, for logs and metrics.
    pub(crate) fn type_name(&self) -> &'static str {
        self.known_code().unwrap_or(self.inner.kind.name())
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                kind,
                whose: None,
                message: message.into(),
                advice: None,
                held_back: None,
                transient: !kind.is_lasting(),
                quickly_retried: false,
                status: None,
                response: None,
                retry_after: None,
                source: None,
            }),
        }
    }

    pub(crate) fn configuration(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    /// A failure of a user's own code. Its text is all that is known, so it becomes part of the message.
    fn of_source(kind: ErrorKind, whose: &'static str, cause: BoxError) -> Self {
        Self::new(kind, said_once(&*cause)).with(|inner| inner.whose = Some(whose)).caused_by(cause)
    }

    /// The client's credentials could not be obtained because of `cause`, which decides whether that may pass.
    pub(crate) fn credentials(what: impl fmt::Display, cause: &Self) -> Self {
        let why = cause.clone().with(|inner| inner.whose = None);
        Self::new(ErrorKind::Credentials, format!("{what}: {why}")).with(|inner| {
            inner.transient = cause.is_transient();
            inner.retry_after = cause.retry_after();
            inner.source = cause.inner.source.clone();
        })
    }

    pub(crate) fn lasting(self) -> Self {
        self.with(|inner| inner.transient = false)
    }

    /// A failure that most likely passes at once: the same token request is sent again within a second.
    pub(crate) fn quickly_retried(self) -> Self {
        self.with(|inner| inner.quickly_retried = true)
    }

    pub(crate) fn caused_by(self, cause: BoxError) -> Self {
        self.with(|inner| inner.source = Some(Arc::from(cause)))
    }

    /// The same failure, with this advice if there is any.
    pub(crate) fn with_advice(self, advice: impl Into<Option<&'static str>>) -> Self {
        match advice.into() {
            Some(advice) => self.with(|inner| inner.advice = Some(advice.into())),
            None => self,
        }
    }

    /// The same failure, with this advice if it has none.
    #[cfg(feature = "reqwest")]
    pub(crate) fn or_advice(self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.with(|inner| inner.advice = inner.advice.take().or(Some(advice.into())))
    }

    /// Without an OAuth error code, the status decides whether only a person can fix the failure.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        let lasting = matches!(status.as_u16(), 401 | 403 | 404 | 405);
        self.with(|inner| {
            inner.status = Some(status);
            inner.transient &= !(lasting && inner.kind == ErrorKind::Status);
        })
    }

    pub(crate) fn with_response(self, response: ErrorResponse) -> Self {
        self.with(|inner| inner.response = Some(response))
    }

    /// The same failure, with the token endpoint where it happened.
    pub(crate) fn at_endpoint(self, endpoint: &str) -> Self {
        self.about(&format!("token request to {endpoint} failed"))
    }

    /// The same failure, with `what` it is about in front. It then no longer says that the token source failed.
    pub(crate) fn about(self, what: &str) -> Self {
        self.with(|inner| {
            inner.message = format!("{what}: {}", inner.message).into();
            inner.whose = None;
        })
    }

    /// The same failure with another message, which includes the advice.
    pub(crate) fn with_message(self, message: String) -> Self {
        self.with(|inner| (inner.whose, inner.message, inner.advice) = (None, message.into(), None))
    }

    /// What callers get while token requests are held back after `self`: the same failure, and when the next one is
    /// due.
    pub(crate) fn held_back(&self, remaining: Duration) -> Self {
        self.clone().with(|inner| {
            inner.held_back = Some(remaining);
            inner.retry_after = Some(remaining);
        })
    }

    /// The message, with those of its causes that add to it.
    #[cfg(any(feature = "store", feature = "tonic", feature = "tracing"))]
    pub(crate) fn chain(&self) -> String {
        said_once(self)
    }

    /// The same failure without the words about a single token, for callers that wait for other tokens of `source`.
    pub(crate) fn for_all_tokens(&self, source: &str) -> Self {
        let status = self.status().map(|status| format!(" (HTTP {})", status.as_u16())).unwrap_or_default();
        let what = format!("token requests to {source} fail for several tokens in a row: {}{status}", self.type_name());
        let error = Self::new(self.kind(), what).with(|inner| inner.status = self.status());
        if self.is_transient() { error } else { error.lasting() }
    }

    /// The OAuth error code, if it is one of [`OAUTH_CODES`].
    fn known_code(&self) -> Option<&'static str> {
        let code = &self.response()?.error;
        OAUTH_CODES.into_iter().find(|known| known == code)
    }

    /// Whether the server refused the client with the code for that, which is not about a single token.
    pub(crate) fn is_invalid_client(&self) -> bool {
        self.known_code() == Some("invalid_client")
    }

    /// Whether other credentials may help: `invalid_client`, or a status with which servers say the same (RFC 6749
    /// section 5.2 names 401; an empty 403 may also be about this token alone).
    pub(crate) fn may_be_credentials(&self) -> bool {
        let by_status = match self.inner.status {
            Some(StatusCode::UNAUTHORIZED) => true,
            Some(StatusCode::FORBIDDEN) => self.known_code().is_none(),
            _ => false,
        };
        let is_response = matches!(self.inner.kind, ErrorKind::Status | ErrorKind::ErrorResponse);
        is_response && !self.inner.transient && (by_status || self.is_invalid_client())
    }

    /// Whether a user's own code made it, with [`transient`](Self::transient) or [`permanent`](Self::permanent).
    pub(crate) fn is_from_source(&self) -> bool {
        self.inner.whose.is_some()
    }

    /// Whether the same token request may be sent again within a second: no server has processed it.
    pub(crate) fn is_quick_retry(&self) -> bool {
        match self.inner.kind {
            _ if self.inner.quickly_retried => true,
            ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Reset => true,
            ErrorKind::Proxy => self.inner.transient,
            ErrorKind::Status | ErrorKind::ErrorResponse => {
                self.inner.status.is_some_and(|status| matches!(status.as_u16(), 500 | 502 | 503 | 504))
            }
            _ => false,
        }
    }

    /// Whether it is a 4xx without an OAuth code, which is most likely about what was sent (a proxy's 407, its HTML).
    pub(crate) fn is_client_error(&self) -> bool {
        self.inner.kind == ErrorKind::Status
            && self.inner.status.is_some_and(|status| status.is_client_error() && !matches!(status.as_u16(), 408 | 429))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }
}

/// What HTTP clients wrap around a cause, and what says nothing beside it.
const WRAPPERS: [&str; 6] = [
    "error sending request",
    "client error (Connect)",
    "client error (SendRequest)",
    "error resolving DNS",
    "dns error",
    "tcp connect error",
];
/// The standard library puts this before the resolver's own text.
const BEFORE_RESOLVER: &str = "failed to lookup address information: ";

/// The messages of an error and its causes, each of them once.
fn said_once(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for error in chain(error) {
        let said = error.to_string();
        let is_wrapper = error.source().is_some() && WRAPPERS.contains(&said.as_str());
        let said = said.strip_prefix(BEFORE_RESOLVER).unwrap_or(&said);
        if !is_wrapper && !text.contains(said) {
            text = if text.is_empty() { said.to_owned() } else { format!("{text}: {said}") };
        }
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(whose) = self.inner.whose {
            write!(f, "{whose}: ")?;
        }
        f.write_str(&self.inner.message)?;
        if let Some(advice) = &self.inner.advice {
            write!(f, " ({advice})")?;
        }
        if let Some(remaining) = self.inner.held_back {
            write!(f, "; next attempt in {:.1} s", remaining.as_secs_f64())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.to_string())
            .field("transient", &self.inner.transient)
            .field("retry_after", &self.inner.retry_after)
            .field("response", &self.inner.response)
            .field("source", &self.inner.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}
