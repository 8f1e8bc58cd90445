//! What all the tokens of a cache share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{clock::Clock, endpoint::Endpoint, lease::Leases, renewal::Settings, streaks::Streaks};
#[cfg(feature = "store")]
use crate::store::Sharing;
use crate::{report::Reporter, source::TokenSource, token::LONGEST_LIFETIME};

pub(super) struct Context {
    pub source: Arc<dyn TokenSource>,
    pub settings: Settings,
    pub clock: Clock,
    pub endpoint: Endpoint,
    pub report: Reporter,
    pub leases: Leases,
    /// How many streaks of rejections there are, over all tokens and origins.
    pub streaks: AtomicUsize,
    /// The store in which instances share tokens.
    #[cfg(feature = "store")]
    pub sharing: Option<Arc<Sharing>>,
}

impl Context {
    /// How long one call to the source may take.
    pub(super) fn time_limit(&self) -> Duration {
        self.source.time_limit().min(LONGEST_LIFETIME)
    }

    /// Changes a token's streaks, and counts them.
    pub(super) fn counted<T>(&self, streaks: &mut Streaks, change: impl FnOnce(&mut Streaks) -> T) -> T {
        let before = streaks.len();
        let changed = change(streaks);
        self.streaks.fetch_add(streaks.len().wrapping_sub(before), Ordering::Relaxed);
        changed
    }
}
