//! What all the tokens of a cache share.

use std::{sync::Arc, time::Duration};

use super::{clock::Clock, endpoint::Endpoint, lease::Leases, renewal::Settings};
#[cfg(feature = "store")]
use crate::store::SharedTokens;
use crate::{report::Reporter, source::TokenSource, token::LONGEST_LIFETIME, token_request::TokenRequest};

/// Added to the source's own time limit: a flight that has not ended by then is in a runtime that nobody drives.
const GRACE: Duration = Duration::from_millis(500);

pub(super) struct Context {
    pub source: Arc<dyn TokenSource>,
    /// The source's own scope, resource, audience and parameters.
    pub defaults: TokenRequest,
    pub settings: Settings,
    pub clock: Clock,
    pub endpoint: Endpoint,
    pub report: Reporter,
    pub leases: Leases,
    /// Each streak of rejections has a reference to it, over all tokens and origins.
    pub streaks: Arc<()>,
    /// The store in which instances share tokens.
    #[cfg(feature = "store")]
    pub shared_tokens: Option<Arc<SharedTokens>>,
}

impl Context {
    /// Whether any origin has a streak of rejections.
    pub(super) fn has_streaks(&self) -> bool {
        Arc::strong_count(&self.streaks) > 1
    }

    /// Whether another instance may have a token.
    pub(super) fn has_store(&self) -> bool {
        #[cfg(feature = "store")]
        return self.shared_tokens.as_ref().is_some_and(|shared| shared.store.is_up());
        #[cfg(not(feature = "store"))]
        false
    }

    /// How long one call to the source may take.
    pub(super) fn time_limit(&self) -> Duration {
        self.source.time_limit().min(LONGEST_LIFETIME)
    }

    /// How long a flight may take from when it calls the source.
    pub(super) fn flight_limit(&self) -> Duration {
        self.time_limit() + GRACE
    }
}
