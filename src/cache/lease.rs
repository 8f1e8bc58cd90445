//! What a request reads: a token that may be attached without asking anybody, until a point in time.
//!
//! Leases are stored while the slot's state is locked, in a copy for each thread. No request waits for one: a request
//! that meets it just as it is stored asks for the state itself, and so sees what the storing comes to. Until then
//! another thread may still read the old one: never beyond its time, and never after whoever stores has let go of the
//! state.

use std::sync::{PoisonError, RwLock};

use super::clock::{Clock, Moment};
use crate::{sharded::Sharded, token::AccessToken};

pub(super) struct Leases(Sharded<RwLock<Option<Lease>>>);

struct Lease {
    token: AccessToken,
    until: Moment,
}

impl Leases {
    /// In a copy for each thread.
    pub(super) fn copied() -> Self {
        Self(Sharded::new(RwLock::default))
    }

    pub(super) fn single() -> Self {
        Self(Sharded::single(RwLock::default()))
    }

    /// The token, if nothing about it needs to be decided. Waits for nothing.
    #[inline]
    pub(super) fn current(&self, clock: &Clock) -> Option<AccessToken> {
        let lease = self.0.get().try_read().ok()?;
        let lease = lease.as_ref()?;
        (!clock.now().reached(lease.until)).then(|| lease.token.clone())
    }

    pub(super) fn lend(&self, token: &AccessToken, until: Moment) {
        self.store(|| Some(Lease { token: token.copied(), until }));
    }

    pub(super) fn end(&self) {
        self.store(|| None);
    }

    fn store(&self, lease: impl Fn() -> Option<Lease>) {
        for stored in self.0.iter() {
            // Made before and dropped after the lock is held.
            let mut lease = lease();
            std::mem::swap(&mut *stored.write().unwrap_or_else(PoisonError::into_inner), &mut lease);
        }
    }
}
