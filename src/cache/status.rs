use std::time::Duration;

use crate::error::Error;

/// The status of a [`TokenCache`](crate::TokenCache), for readiness probes and status pages.
#[derive(Clone, Debug)]
pub struct CacheStatus {
    pub(super) usable_for: Option<Duration>,
    pub(super) obtained_from: Option<ObtainedFrom>,
    pub(super) last_error: Option<Error>,
    pub(super) held_back_for: Option<Duration>,
}

/// Where a token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObtainedFrom {
    /// From a token request of this cache.
    Source,
    /// From the token store, where another instance had stored it.
    Store,
}

impl CacheStatus {
    /// `false` if there is no usable token and the last token request failed: requests would fail now.
    ///
    /// It is not a failure if a token expired without traffic, or was never requested. For readiness probes, never for
    /// liveness probes: a restart does not repair an authorization server, and loses a token that may still be usable.
    pub fn is_ready(&self) -> bool {
        self.usable_for.is_some() || self.last_error.is_none()
    }

    /// Whether the last token request failed. Requests still get the cached token while it is
    /// [usable](Self::usable_for).
    pub fn is_failing(&self) -> bool {
        self.last_error.is_some()
    }

    /// How long the cached token can still be used; `None`: there is no usable token.
    pub fn usable_for(&self) -> Option<Duration> {
        self.usable_for
    }

    /// Where the usable token came from; `None`: there is no usable token.
    pub fn obtained_from(&self) -> Option<ObtainedFrom> {
        self.obtained_from
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
