//! The slots of all tokens, by the requests that name them: the source's own, and others.

use std::sync::{Arc, Mutex};

use lru::LruCache;

use super::{context::Context, slot::Slot};
use crate::{
    fingerprint::{ByFingerprint, Fingerprint},
    lock::lock,
    report::log,
    token_request::TokenRequest,
};

/// How many slots are examined to make room for one, each once.
const MOST_TRIES: usize = 16;

pub(super) struct Keys {
    context: Arc<Context>,
    /// The source's own token.
    default: Arc<Slot>,
    others: Mutex<Slots>,
}

/// The least recently asked for first. Requests that use a lease do not ask.
type Slots = LruCache<Fingerprint, Arc<Slot>, ByFingerprint>;

impl Keys {
    pub(super) fn new(context: Arc<Context>) -> Self {
        let default = Slot::new(Arc::clone(&context), TokenRequest::default());
        Self { context, default, others: Mutex::new(LruCache::unbounded_with_hasher(ByFingerprint::default())) }
    }

    /// The slot of a request. One that adds nothing to the source's defaults means the source's own token.
    pub(super) fn slot(&self, request: &TokenRequest) -> Arc<Slot> {
        let key = request.fingerprint();
        if key == self.default.key() {
            return Arc::clone(&self.default);
        }
        let mut slots = lock(&self.others);
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        let forgotten = self.make_room(&mut slots);
        let Context { defaults, report, settings, .. } = &*self.context;
        let slot = if request.or(defaults) == *defaults {
            Arc::clone(&self.default)
        } else {
            Slot::new(Arc::clone(&self.context), request.clone())
        };
        slots.push(key, Arc::clone(&slot));
        drop(slots);
        if forgotten > 0 {
            log::forgotten(report.source(), forgotten, settings.most_keys);
        }
        slot
    }

    /// The slot with this key, unless it made room for others.
    pub(super) fn find(&self, key: Fingerprint) -> Option<Arc<Slot>> {
        if key == self.default.key() {
            return Some(Arc::clone(&self.default));
        }
        lock(&self.others).get(&key).map(Arc::clone)
    }

    /// Removes the least recently asked for first. A slot that a caller or a handle holds stays, even beyond the limit.
    /// One whose leases are used, or that knows more than a new one would, stays until there are twice as many slots as
    /// the limit allows.
    fn make_room(&self, slots: &mut Slots) -> usize {
        let Context { leases, settings, .. } = &*self.context;
        let (most, mut forgotten) = (settings.most_keys, 0);
        for _ in 0..MOST_TRIES.min(slots.len()) {
            if slots.len() < most {
                break;
            }
            let Some((key, slot)) = slots.pop_lru() else { break };
            let is_held = Arc::strong_count(&slot) > 1;
            if is_held || (slots.len() + 1 < 2 * most && (leases.were_used(key) || slot.knows_more())) {
                slots.push(key, slot);
            } else {
                forgotten += 1;
            }
        }
        forgotten
    }
}
