//! How long a change may wait for the lock, and whether anybody still waits for the change.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// Counted in pauses, not by a clock: a process that gets no processor, or stood still, has not waited.
pub(super) struct Limit {
    pub most: Duration,
    caller: Weak<()>,
}

impl Limit {
    /// With what the caller keeps as long as it waits.
    pub(super) fn new(most: Duration) -> (Self, Arc<()>) {
        let waiting = Arc::new(());
        (Self { most, caller: Arc::downgrade(&waiting) }, waiting)
    }

    pub(super) fn has_passed(&self, waited: Duration) -> bool {
        waited >= self.most || self.caller.strong_count() == 0
    }
}
