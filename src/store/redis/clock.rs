//! The server's clock, as seen from here.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::lock::lock;

/// For so long, the two clocks are taken to run alike.
const USABLE: Duration = Duration::from_secs(10);

/// What the servers behind a connection said about their time: by slot, since each server of a cluster has a clock of
/// its own.
#[derive(Default)]
pub(super) struct ServerClock(Mutex<HashMap<String, Reading>>);

/// A server's time, in microseconds since 1970, when its response arrived: it was no earlier than that.
struct Reading {
    micros: u64,
    at: Instant,
}

impl ServerClock {
    pub(super) fn set(&self, slot: &str, micros: u64) {
        let mut readings = lock(&self.0);
        readings.retain(|_, reading| reading.at.elapsed() < USABLE);
        readings.insert(slot.to_owned(), Reading { micros, at: Instant::now() });
    }

    /// The server's time at `moment`, or somewhat earlier. `None`: it has said nothing lately.
    pub(super) fn at(&self, slot: &str, moment: Instant) -> Option<u64> {
        let readings = lock(&self.0);
        let reading = readings.get(slot).filter(|reading| reading.at.elapsed() < USABLE)?;
        let since = moment.saturating_duration_since(reading.at).as_micros();
        Some(reading.micros.saturating_add(since.try_into().unwrap_or(u64::MAX)))
    }
}
