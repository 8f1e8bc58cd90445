//! The tokens beside the source's own, by the requests that name them.

use std::sync::{Arc, Mutex};

use lru::LruCache;

use super::{context::Context, lease::Leases, lock, slot::Slot};
use crate::{report::log, token_request::TokenRequest};

/// The default of `most_keys`.
pub(super) const MOST: usize = 1000;
/// How many slots are examined to make room for one.
const MOST_TRIES: usize = 16;

pub(super) struct Keys {
    slots: Mutex<LruCache<TokenRequest, Arc<Slot>>>,
    most: usize,
    /// The source's own scope, resource, audience and parameters.
    defaults: TokenRequest,
}

impl Keys {
    pub(super) fn new(most: usize, defaults: TokenRequest) -> Self {
        Self { slots: Mutex::new(LruCache::unbounded()), most, defaults }
    }

    /// Returns `default` for a request that adds nothing to the source's defaults. A new slot is made with `leases`.
    pub(super) fn slot(
        &self,
        request: &TokenRequest,
        default: &Arc<Slot>,
        context: &Arc<Context>,
        leases: fn() -> Leases,
    ) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(request) {
            return Arc::clone(slot);
        }
        let forgotten = self.make_room(&mut slots);
        let slot = if request.or(&self.defaults) == self.defaults {
            Arc::clone(default)
        } else {
            Slot::new(Arc::clone(context), request.clone(), leases())
        };
        slots.push(request.clone(), Arc::clone(&slot));
        drop(slots);
        if forgotten > 0 {
            log::forgotten(context.report.source(), forgotten, self.most);
        }
        slot
    }

    /// Removes the least recently used first. A slot in use stays, even beyond the limit. A slot that holds back token
    /// requests stays until there are twice as many slots as the limit allows.
    fn make_room(&self, slots: &mut LruCache<TokenRequest, Arc<Slot>>) -> usize {
        let mut forgotten = 0;
        for _ in 0..MOST_TRIES {
            if slots.len() < self.most {
                break;
            }
            let Some((request, slot)) = slots.pop_lru() else { break };
            let in_use = Arc::strong_count(&slot) > 1 || slot.is_flying();
            if in_use || (slots.len() < 2 * self.most && slot.holds_back()) {
                slots.push(request, slot);
            } else {
                forgotten += 1;
            }
        }
        forgotten
    }
}
