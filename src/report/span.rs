//! The span of a token request, with the target `client_credentials`. Without the feature `tracing`, spans are empty.
#![cfg_attr(not(feature = "tracing"), allow(unused_variables))]

use std::time::Duration;

use http::StatusCode;

#[cfg(feature = "tracing")]
use super::log::resources;
use crate::token_request::TokenRequest;

pub(crate) struct Span(#[cfg(feature = "tracing")] tracing::Span);

impl Span {
    pub(crate) fn current() -> Self {
        Self(
            #[cfg(feature = "tracing")]
            tracing::Span::current(),
        )
    }

    /// The span of one exchange with the token endpoint. It follows from the caller's span and is not its child: the
    /// caller may go away, and others may wait for the same exchange.
    pub(crate) fn token_request(source: &str, request: &TokenRequest, attempt: usize, caller: Option<&Span>) -> Self {
        #[cfg(feature = "tracing")]
        {
            use tracing::field::Empty;
            let span = tracing::info_span!(
                target: "client_credentials",
                parent: None,
                "token_request",
                source,
                scope = request.scope(),
                resource = resources(request),
                audience = request.audience(),
                attempt,
                outcome = Empty,
                error.type = Empty,
                http.response.status_code = Empty,
                duration = Empty,
            );
            span.follows_from(caller.and_then(|caller| caller.0.id()));
            Self(span)
        }
        #[cfg(not(feature = "tracing"))]
        Self()
    }

    pub(crate) async fn around<F: Future>(&self, future: F) -> F::Output {
        #[cfg(feature = "tracing")]
        let future = tracing::Instrument::instrument(future, self.0.clone());
        future.await
    }

    pub(crate) fn within<T>(&self, function: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tracing")]
        return self.0.in_scope(function);
        #[cfg(not(feature = "tracing"))]
        function()
    }

    pub(crate) fn took(&self, duration: Duration) {
        #[cfg(feature = "tracing")]
        self.0.record("duration", duration.as_secs_f64());
    }

    /// Recorded after the events within the span, which say the same in fields of their own.
    pub(crate) fn ended(&self, failure: Option<&'static str>, status: Option<StatusCode>) {
        #[cfg(feature = "tracing")]
        {
            self.0.record("outcome", if failure.is_none() { "ok" } else { "error" });
            if let Some(kind) = failure {
                self.0.record("error.type", kind);
            }
            if let Some(status) = status {
                self.0.record("http.response.status_code", status.as_u16());
            }
        }
    }
}
