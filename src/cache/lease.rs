//! What a request reads: a token that it may attach without any decision, until a point in time.
//!
//! Leases are stored while the slot's state is locked, in a copy for each thread. No request waits for a lease: a
//! request that finds it locked for storing locks the state instead, and so sees the result. Meanwhile, another thread
//! may still read the old lease, but never beyond its time, and never after the state has been unlocked.

use std::sync::{PoisonError, RwLock};

use super::clock::{Clock, Moment};
use crate::{sharded::Sharded, token::AccessToken};

pub(super) struct Leases(Sharded<RwLock<Option<Lease>>>);

struct Lease {
    token: AccessToken,
    until: Moment,
}

impl Leases {
    /// A copy for each thread.
    pub(super) fn copied() -> Self {
        Self(Sharded::new(RwLock::default))
    }

    pub(super) fn single() -> Self {
        Self(Sharded::single(RwLock::default()))
    }

    /// The token, if no decision is due. Never waits.
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
            // The new lease is made before the lock is taken, and the old one is dropped after.
            let mut lease = lease();
            std::mem::swap(&mut *stored.write().unwrap_or_else(PoisonError::into_inner), &mut lease);
        }
    }
}
