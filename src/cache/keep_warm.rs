//! Renews the source's own token with or without traffic, if the cache is built with `keep_warm`.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::sleep;

use super::{backoff::BETWEEN_REQUESTS, clock, fetch, slot::Slot};
use crate::runtime;

/// The longest sleep between two looks at the clocks: a timer does not count the time while a machine sleeps.
const LOOK_AT_THE_CLOCK: Duration = Duration::from_secs(30);

/// Starts the task in this runtime, unless it already runs.
pub(super) fn ensure(slot: &Arc<Slot>) {
    if !slot.is_kept_warm() {
        return;
    }
    let Some(runtime) = runtime::with_timer() else { return };
    if let Some(handle) = slot.warm_up() {
        let running = Running(Arc::downgrade(slot));
        let _ = handle.set(runtime.spawn(keep_warm(running)).abort_handle());
    }
}

/// Starts the next flight when it is due.
async fn keep_warm(running: Running) {
    while let Some(slot) = running.0.upgrade() {
        let (now, due) = (slot.now(), slot.due());
        if due.is_some_and(|due| now.reached(due)) {
            let _ = fetch::step(&slot, None);
        }
        let wait = due.map_or(BETWEEN_REQUESTS, |due| now.until(due) + clock::TICK);
        drop(slot);
        sleep(wait.clamp(BETWEEN_REQUESTS, LOOK_AT_THE_CLOCK)).await;
    }
}

/// If its runtime ends, the next call starts the task in another one.
struct Running(Weak<Slot>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(slot) = self.0.upgrade() {
            slot.cool_down();
        }
    }
}
