use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

/// The response that a stand-in returns instead of its usual one.
#[derive(Clone, Debug)]
pub struct MockResponse {
    delay: Duration,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// The stand-in's usual response.
    Usual,
    This(Response<Bytes>),
    Hang,
    Disconnect,
}

impl MockResponse {
    /// The stand-in's usual response, to which a [delay](Self::with_delay) can be added.
    pub fn usual() -> Self {
        Self::new(What::Usual)
    }

    /// This status, with an empty body.
    ///
    /// # Panics
    ///
    /// If the status is not between 100 and 999.
    pub fn status(status: u16) -> Self {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::from_u16(status).expect("a status between 100 and 999");
        Self::new(What::This(response))
    }

    /// The error response of a token endpoint (RFC 6749 section 5.2), with the status 400, or 401 for `invalid_client`.
    pub fn oauth_error(code: &str) -> Self {
        let status = if code == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        Self::new(What::This(json(status, &serde_json::json!({ "error": code }))))
    }

    /// A 200 with an HTML page, which is not a token response.
    pub fn garbage() -> Self {
        Self::status(200).with_header("content-type", "text/html").with_body("<html>not what you think</html>")
    }

    /// A response that never comes.
    pub fn hang() -> Self {
        Self::new(What::Hang)
    }

    /// The connection is closed without a response.
    pub fn disconnect() -> Self {
        Self::new(What::Disconnect)
    }

    /// Delays the response by this time.
    #[must_use]
    pub fn with_delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Adds a `Retry-After` header in whole seconds.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.with_header(RETRY_AFTER.as_str(), &wait.as_secs().to_string())
    }

    /// Adds a header. [`usual`](Self::usual), [`hang`](Self::hang) and [`disconnect`](Self::disconnect) ignore it.
    ///
    /// # Panics
    ///
    /// If the name or the value is not allowed in a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let What::This(response) = &mut self.what {
            let name = name.parse::<HeaderName>().expect("a header's name");
            let value = value.parse::<HeaderValue>().expect("a header's value");
            response.headers_mut().append(name, value);
        }
        self
    }

    /// Sets the body. [`usual`](Self::usual), [`hang`](Self::hang) and [`disconnect`](Self::disconnect) ignore it.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        if let What::This(response) = &mut self.what {
            *response.body_mut() = body.into();
        }
        self
    }

    /// `None`: the connection is closed. `usual` makes the stand-in's usual response.
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

/// The responses to the next requests, and to all requests after them.
#[derive(Clone, Debug, Default)]
pub(super) struct Responses {
    next: VecDeque<MockResponse>,
    always: Option<MockResponse>,
}

impl Responses {
    pub(super) fn push(&mut self, response: MockResponse) {
        self.next.push_back(response);
    }

    pub(super) fn always(&mut self, response: MockResponse) {
        self.next.clear();
        self.always = Some(response);
    }

    pub(super) fn pop(&mut self) -> MockResponse {
        self.next.pop_front().or_else(|| self.always.clone()).unwrap_or_else(MockResponse::usual)
    }
}

pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
