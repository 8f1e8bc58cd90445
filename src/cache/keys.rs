//! The tokens beside the source's own, by the requests that name them.

use std::sync::{Arc, Mutex};

use lru::LruCache;

use super::{context::Context, slot::Slot};
use crate::{
    fingerprint::{ByFingerprint, Fingerprint},
    lock::lock,
    report::log,
    token_request::TokenRequest,
};

/// The default of `most_keys`.
pub(super) const MOST: usize = 1000;
/// How many slots are examined to make room for one, each once.
const MOST_TRIES: usize = 16;

pub(super) struct Keys {
    slots: Mutex<Slots>,
    most: usize,
    /// The source's own scope, resource, audience and parameters.
    defaults: TokenRequest,
}

/// The least recently asked for first. Requests that use a lease do not ask.
type Slots = LruCache<Fingerprint, Arc<Slot>, ByFingerprint>;

impl Keys {
    pub(super) fn new(most: usize, defaults: TokenRequest) -> Self {
        Self { slots: Mutex::new(LruCache::unbounded_with_hasher(ByFingerprint::default())), most, defaults }
    }

    /// Returns `default` for a request that adds nothing to the source's defaults.
    pub(super) fn slot(&self, request: &TokenRequest, default: &Arc<Slot>, context: &Arc<Context>) -> Arc<Slot> {
        let key = request.fingerprint();
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        let forgotten = self.make_room(&mut slots);
        let slot = if request.or(&self.defaults) == self.defaults {
            Arc::clone(default)
        } else {
            Slot::new(Arc::clone(context), request.clone())
        };
        slots.push(key, Arc::clone(&slot));
        drop(slots);
        if forgotten > 0 {
            log::forgotten(context.report.source(), forgotten, self.most);
        }
        slot
    }

    /// The slot with this key, unless it made room for others.
    pub(super) fn find(&self, key: Fingerprint) -> Option<Arc<Slot>> {
        lock(&self.slots).get(&key).map(Arc::clone)
    }

    /// Removes the least recently asked for first. A slot that a caller or a handle holds stays, even beyond the limit.
    /// One whose leases are used, or that holds back token requests, stays until there are twice as many slots as the
    /// limit allows.
    fn make_room(&self, slots: &mut Slots) -> usize {
        let mut forgotten = 0;
        for _ in 0..MOST_TRIES.min(slots.len()) {
            if slots.len() < self.most {
                break;
            }
            let Some((key, slot)) = slots.pop_lru() else { break };
            let is_held = Arc::strong_count(&slot) > 1 || slot.is_flying();
            if is_held || (slots.len() + 1 < 2 * self.most && (slot.was_used() || slot.holds_back())) {
                slots.push(key, slot);
            } else {
                forgotten += 1;
            }
        }
        forgotten
    }
}
