//! The tokens that requests ask for beside the source's own, by what they are for.

use std::sync::{Arc, Mutex};

use lru::LruCache;

use super::{context::Context, lease::Leases, lock, slot::Slot};
use crate::{report::log, token_request::TokenRequest};

/// Unless the cache is built with another bound.
pub(super) const MOST: usize = 1000;
/// How many slots are looked at to make room for one.
const MOST_TRIES: usize = 16;

pub(super) struct Keys {
    slots: Mutex<LruCache<TokenRequest, Arc<Slot>>>,
    most: usize,
    /// What the source asks for where a request leaves it open.
    defaults: TokenRequest,
}

impl Keys {
    pub(super) fn new(most: usize, defaults: TokenRequest) -> Self {
        Self { slots: Mutex::new(LruCache::unbounded()), most, defaults }
    }

    /// The `default` one for a request that adds nothing to the source's defaults. `leases` apply where there is none
    /// yet.
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

    /// The least used goes first. One in use stays, beyond the bound if need be. One that remembers why the endpoint
    /// must not be asked now stays while there are not twice as many as the bound allows for.
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
