use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

/// What a stand-in answers, instead of what it would answer by itself.
#[derive(Clone, Debug)]
pub struct MockResponse {
    delay: Duration,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// What the stand-in answers by itself.
    Usual,
    This(Response<Bytes>),
    Hang,
    Disconnect,
}

impl MockResponse {
    /// What the stand-in answers by itself; with a [delay](Self::with_delay).
    pub fn usual() -> Self {
        Self::new(What::Usual)
    }

    /// This status, with an empty body.
    ///
    /// # Panics
    ///
    /// If it is no status: not between 100 and 999.
    pub fn status(status: u16) -> Self {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::from_u16(status).expect("a status between 100 and 999");
        Self::new(What::This(response))
    }

    /// The error response of a token endpoint (RFC 6749 section 5.2), with the status 400, or 401 for `invalid_client`.
    pub fn oauth_error(code: &str) -> Self {
        let status = if code == "invalid_client" { 401 } else { 400 };
        let body = serde_json::json!({ "error": code }).to_string();
        Self::status(status).with_header("content-type", "application/json").with_body(body)
    }

    /// A 200 that is no token response.
    pub fn garbage() -> Self {
        Self::status(200).with_header("content-type", "text/html").with_body("<html>not what you think</html>")
    }

    /// No answer, ever.
    pub fn hang() -> Self {
        Self::new(What::Hang)
    }

    /// The connection is closed without an answer.
    pub fn disconnect() -> Self {
        Self::new(What::Disconnect)
    }

    /// Answers after this time.
    #[must_use]
    pub fn with_delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Adds a `Retry-After` in whole seconds.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.with_header(RETRY_AFTER.as_str(), &wait.as_secs().to_string())
    }

    /// Adds a header. Nothing but an answer with a status has headers.
    ///
    /// # Panics
    ///
    /// If name or value cannot stand in a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let What::This(response) = &mut self.what {
            let name = name.parse::<HeaderName>().expect("a header's name");
            let value = value.parse::<HeaderValue>().expect("a header's value");
            response.headers_mut().append(name, value);
        }
        self
    }

    /// Sets the body. Nothing but an answer with a status has one.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        if let What::This(response) = &mut self.what {
            *response.body_mut() = body.into();
        }
        self
    }

    /// `None`: the connection is closed. `usual` answers by itself.
    pub(super) async fn give(self, usual: impl FnOnce() -> Response<Bytes>) -> Option<Response<Bytes>> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        match self.what {
            What::Usual => Some(usual()),
            What::This(response) => Some(response),
            What::Hang => std::future::pending().await,
            What::Disconnect => None,
        }
    }

    fn new(what: What) -> Self {
        Self { delay: Duration::ZERO, what }
    }
}

/// Answers to the next requests, and to all after them.
#[derive(Debug)]
pub(super) struct Script {
    next: VecDeque<MockResponse>,
    always: MockResponse,
}

impl Default for Script {
    fn default() -> Self {
        Self { next: VecDeque::new(), always: MockResponse::usual() }
    }
}

impl Script {
    pub(super) fn push(&mut self, answer: MockResponse) {
        self.next.push_back(answer);
    }

    pub(super) fn always(&mut self, answer: MockResponse) {
        self.next.clear();
        self.always = answer;
    }

    pub(super) fn pop(&mut self) -> MockResponse {
        self.next.pop_front().unwrap_or_else(|| self.always.clone())
    }
}

pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
