use std::time::Duration;

use crate::error::Error;

/// How a [`TokenCache`](crate::TokenCache) stands: for readiness probes and status pages.
#[derive(Clone, Debug)]
pub struct CacheStatus {
    pub(super) usable_for: Option<Duration>,
    pub(super) last_error: Option<Error>,
    pub(super) held_back_for: Option<Duration>,
}

impl CacheStatus {
    /// `false` if there is no usable token and the last token request failed: requests would fail now.
    ///
    /// A token that expired while nobody asked for it, and one that was never asked for, are no failure. For readiness,
    /// never for liveness: a restart mends no authorization server, and loses the token that may still serve.
    pub fn is_ready(&self) -> bool {
        self.usable_for.is_some() || self.last_error.is_none()
    }

    /// Whether the last token request failed. Requests are served all the same while the token at hand
    /// [lives](Self::usable_for).
    pub fn is_failing(&self) -> bool {
        self.last_error.is_some()
    }

    /// For how long the token at hand can be used; `None`: there is none.
    pub fn usable_for(&self) -> Option<Duration> {
        self.usable_for
    }

    /// What the last token request failed with; `None` once one has succeeded.
    pub fn last_error(&self) -> Option<&Error> {
        self.last_error.as_ref()
    }

    /// How long until the next token request may start; `None`: nothing holds it back.
    pub fn held_back_for(&self) -> Option<Duration> {
        self.held_back_for
    }
}
