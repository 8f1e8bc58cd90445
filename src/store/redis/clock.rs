//! The server's clock, as seen from here.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::lock::lock;

/// For so long, the two clocks are taken to run alike.
const USABLE: Duration = Duration::from_secs(10);

/// What the servers behind a connection said about their time: by slot, since each server of a cluster has a clock of
/// its own.
#[derive(Default)]
pub(super) struct ServerClock {
    seen: Mutex<HashMap<String, Seen>>,
}

/// A server's time, in microseconds since 1970, when its response arrived: it was no earlier than that.
struct Seen {
    micros: u64,
    at: Instant,
}

impl ServerClock {
    pub(super) fn knows(&self, slot: &str) -> bool {
        self.seen().get(slot).is_some_and(Seen::is_usable)
    }

    pub(super) fn set(&self, slot: &str, micros: u64) {
        let mut seen = self.seen();
        seen.retain(|_, seen| seen.is_usable());
        seen.insert(slot.to_owned(), Seen { micros, at: Instant::now() });
    }

    /// The server's time at `moment`, or somewhat earlier.
    pub(super) fn at(&self, slot: &str, moment: Option<Instant>) -> u64 {
        let seen = self.seen();
        let Some(seen) = seen.get(slot) else { return 0 };
        let Some(moment) = moment else { return FOREVER };
        let since = moment.saturating_duration_since(seen.at).as_micros();
        seen.micros.saturating_add(u64::try_from(since).unwrap_or(u64::MAX)).min(FOREVER)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        lock(&self.seen)
    }
}

/// Lua's numbers are exact to here.
const FOREVER: u64 = 1 << 53;

impl Seen {
    fn is_usable(&self) -> bool {
        self.at.elapsed() < USABLE
    }
}
