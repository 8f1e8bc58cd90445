//! What a request reads: tokens that it may attach without any decision, until a point in time.
//!
//! A slot lends its token to the thread that asks for it, and ends all its leases when a decision is due. It does both
//! under its own lock, so once that is released, no thread has a lease that the slot's state does not allow. No request
//! waits for the leases: one that finds them locked, or finds none of its token, asks the slot.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use http::HeaderValue;

use super::clock::Moment;
use crate::{
    fingerprint::{ByFingerprint, Fingerprint},
    sharded::Sharded,
    token::{AccessToken, TokenNumber},
};

/// The leases of all threads.
pub(super) struct Leases(Sharded<ThreadLeases>);

/// The leases of a thread, by the fingerprint of the token request.
#[derive(Default)]
pub(crate) struct ThreadLeases(RwLock<HashMap<Fingerprint, Lease, ByFingerprint>>);

pub(crate) struct Lease {
    /// Not behind the token's pointer: with many tokens, each line that the processor loads takes longer than all else.
    pub authorization: HeaderValue,
    pub number: TokenNumber,
    /// The origins that the slot knows to have accepted the token, as bits.
    accepted_by: AtomicU64,
    pub token: AccessToken,
    until: Moment,
    /// Whether a request has used it without asking its slot, since [`Leases::were_used`] last asked.
    was_used: AtomicBool,
}

impl Leases {
    pub(super) fn new() -> Self {
        Self(Sharded::new(ThreadLeases::default))
    }

    pub(super) fn here(&self) -> &ThreadLeases {
        self.0.get()
    }

    pub(super) fn of_each_thread(&self) -> Sharded<ThreadLeases> {
        self.0.clone()
    }

    /// Lends the token to this thread.
    pub(super) fn lend(&self, key: Fingerprint, token: AccessToken, accepted_by: u64, until: Moment) {
        let lease = Lease {
            authorization: token.authorization().clone(),
            number: token.number(),
            accepted_by: accepted_by.into(),
            token,
            until,
            was_used: false.into(),
        };
        // The previous lease is dropped, and its token wiped, after the lock is released.
        let _previous = self.here().0.write().unwrap_or_else(PoisonError::into_inner).insert(key, lease);
    }

    /// Ends the leases of this token, in all threads.
    pub(super) fn end(&self, key: Fingerprint) {
        for thread in self.0.iter() {
            let _ended = thread.0.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
    }

    /// Notes in all leases of this token that an origin has accepted it.
    pub(super) fn accepted(&self, key: Fingerprint, origin: u64) {
        self.each(key, |lease| {
            lease.accepted_by.fetch_or(origin, Ordering::Relaxed);
        });
    }

    /// Whether a request has used a lease of this token since this was last asked.
    pub(super) fn were_used(&self, key: Fingerprint) -> bool {
        let mut were_used = false;
        self.each(key, |lease| were_used |= lease.was_used.swap(false, Ordering::Relaxed));
        were_used
    }

    fn each(&self, key: Fingerprint, mut act: impl FnMut(&Lease)) {
        for thread in self.0.iter() {
            if let Some(lease) = thread.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
                act(lease);
            }
        }
    }
}

impl ThreadLeases {
    /// What `attach` returns for the lease of a token, if there is one, which counts as used then. Never waits.
    /// `attach` must not lock anything.
    #[inline(always)]
    pub(super) fn with<T>(&self, key: Fingerprint, now: Moment, attach: impl FnOnce(&Lease) -> T) -> Option<T> {
        self.read(key, now, |lease| {
            // Written only once: with many tokens, each line that was written must go back to memory.
            if !lease.was_used.load(Ordering::Relaxed) {
                lease.was_used.store(true, Ordering::Relaxed);
            }
            attach(lease)
        })
    }

    /// The same for those who have asked its slot, or only look.
    #[inline(always)]
    pub(super) fn read<T>(&self, key: Fingerprint, now: Moment, read: impl FnOnce(&Lease) -> T) -> Option<T> {
        let leases = self.0.try_read().ok()?;
        leases.get(&key).filter(|lease| !now.reached(lease.until)).map(read)
    }
}

impl Lease {
    /// Whether an origin has accepted the token. `origin` is the origin's bit.
    #[inline]
    pub(crate) fn is_accepted_by(&self, origin: u64) -> bool {
        self.accepted_by.load(Ordering::Relaxed) & origin != 0
    }
}
