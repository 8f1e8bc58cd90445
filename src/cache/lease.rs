//! What a request reads: tokens that it may attach without any decision, until a point in time.
//!
//! A slot lends its token to the thread that asks for it, and ends all its leases when a decision is due. It does both
//! under its own lock, so once that is released, no thread has a lease that the slot's state does not allow. No request
//! waits for a table: one that finds it locked, or finds no lease in it, asks the slot.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use super::clock::Moment;
use crate::{
    fingerprint::{ByFingerprint, Fingerprint},
    sharded::Sharded,
    token::AccessToken,
};

/// The leases of each thread, by the fingerprint of the token request.
pub(super) struct Leases(Sharded<RwLock<Table>>);

type Table = HashMap<Fingerprint, Lease, ByFingerprint>;

struct Lease {
    token: AccessToken,
    until: Moment,
    /// Since the table was last asked.
    was_used: AtomicBool,
}

impl Leases {
    pub(super) fn new() -> Self {
        Self(Sharded::new(RwLock::default))
    }

    /// What `attach` returns for the token, if this thread has a lease. Never waits. `attach` must not lock anything.
    #[inline]
    pub(super) fn with<T>(&self, key: Fingerprint, now: Moment, attach: impl FnOnce(&AccessToken) -> T) -> Option<T> {
        let table = self.0.get().try_read().ok()?;
        let lease = table.get(&key).filter(|lease| !now.reached(lease.until))?;
        lease.was_used.store(true, Ordering::Relaxed);
        Some(attach(&lease.token))
    }

    /// Lends a token to this thread.
    pub(super) fn lend(&self, key: Fingerprint, token: AccessToken, until: Moment) {
        let lease = Lease { token, until, was_used: AtomicBool::new(false) };
        // The previous lease is dropped, and its token wiped, after the lock is released.
        let _previous = write(self.0.get()).insert(key, lease);
    }

    /// Ends the leases of all threads.
    pub(super) fn end(&self, key: Fingerprint) {
        for table in self.0.iter() {
            let _ended = write(table).remove(&key);
        }
    }

    /// Whether a request has used a lease since this was last asked.
    pub(super) fn were_used(&self, key: Fingerprint) -> bool {
        let was_used = |table: &RwLock<Table>| {
            let table = table.read().unwrap_or_else(PoisonError::into_inner);
            table.get(&key).is_some_and(|lease| lease.was_used.swap(false, Ordering::Relaxed))
        };
        // All of them, since asking resets them.
        self.0.iter().filter(|table| was_used(table)).count() > 0
    }
}

fn write(table: &RwLock<Table>) -> RwLockWriteGuard<'_, Table> {
    table.write().unwrap_or_else(PoisonError::into_inner)
}
