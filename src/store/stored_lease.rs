//! The lease of the instance that requests the next token.
//!
//! It is short and extended while the request is under way, so that an instance that dies holds up the others for no
//! longer than that. The others can tell nothing else: it may be stopped, and may never continue.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinHandle},
    time::sleep,
};
use zeroize::Zeroizing;

use super::{
    availability::{Down, Urgency},
    contract::EntryName,
    record::Record,
    shared_tokens::{Found, SharedTokens},
};

const LIFE: Duration = Duration::from_secs(5);
const EXTENDED_EACH: Duration = Duration::from_secs(1);
/// A lease lasts at least so long after a token request began: all instances send at most one in that time.
const AFTER_REQUEST: Duration = Duration::from_secs(1);

/// The lease of one flight, which has it or may get it. Given back when it is dropped.
pub(super) struct StoredLease {
    entry: Arc<LeaseEntry>,
    /// The task that extends it. `None`: it is not held.
    extension: Option<AbortHandle>,
}

/// An entry that no other flight writes.
struct LeaseEntry {
    tokens: Arc<SharedTokens>,
    name: EntryName,
    bytes: Zeroizing<Vec<u8>>,
    /// Other bytes, for its last second: an extension that arrives late no longer finds the lease.
    last_bytes: Zeroizing<Vec<u8>>,
}

impl StoredLease {
    pub(super) fn new(tokens: Arc<SharedTokens>, name: EntryName) -> Result<Self, Down> {
        let flight = fastrand::u64(..);
        let bytes = |flight| {
            let plain = Record::default().number(1, tokens.instance).number(2, flight).write();
            tokens.seal.seal(&name, &plain)
        };
        let (bytes, last_bytes) = (bytes(flight)?, bytes(!flight)?);
        let entry = Arc::new(LeaseEntry { tokens, name, bytes, last_bytes });
        Ok(Self { entry, extension: None })
    }

    pub(super) fn is_held(&self) -> bool {
        self.extension.is_some()
    }

    /// A look has found this in its place.
    pub(super) fn found(&mut self, found: &Found<()>) {
        if found.bytes() == Some(&self.entry.bytes[..]) {
            // Perhaps only now, or without our knowing: a put may take long, or its result be lost.
            self.hold();
        } else if !matches!(found, Found::Free(_)) {
            // This process stood still, and another instance took it.
            self.release();
        }
    }

    /// Takes it if nobody has it, by what a look has `found` in its place. `false`: another instance has it.
    pub(super) async fn take(&mut self, found: &Found<()>, urgency: Urgency) -> Result<bool, Down> {
        let Found::Free(_) = found else { return Ok(false) };
        // Before the put, which may have its effect although it fails.
        self.hold();
        let is_taken = self.entry.put(found.bytes(), urgency).await?;
        if !is_taken {
            self.release();
        }
        Ok(is_taken)
    }

    /// So long after the request began. In a task of its own: the next flight ends this one. If the runtime has ended,
    /// the lease ends on its own.
    pub(super) fn give_back(&mut self, since_request: Duration, urgency: Urgency) -> Option<JoinHandle<()>> {
        if !self.release() {
            return None;
        }
        Some(Handle::try_current().ok()?.spawn(Arc::clone(&self.entry).give_back(since_request, urgency)))
    }

    /// It is extended from now on.
    fn hold(&mut self) {
        self.release();
        self.extension = Some(tokio::spawn(Arc::clone(&self.entry).keep()).abort_handle());
    }

    /// Returns whether it was held.
    fn release(&mut self) -> bool {
        self.extension.take().inspect(AbortHandle::abort).is_some()
    }
}

impl Drop for StoredLease {
    /// The flight ended early, perhaps when its request had just begun.
    fn drop(&mut self) {
        self.give_back(Duration::ZERO, Urgency::BesideTraffic);
    }
}

impl LeaseEntry {
    /// Takes the place of what is stored: nothing, garbage, or this entry.
    async fn put(&self, replaced: Option<&[u8]>, urgency: Urgency) -> Result<bool, Down> {
        self.tokens.store.put(&self.name, replaced, &self.bytes, LIFE, urgency).await
    }

    async fn keep(self: Arc<Self>) {
        loop {
            sleep(EXTENDED_EACH).await;
            if !matches!(self.put(Some(&self.bytes), Urgency::BesideTraffic).await, Ok(true)) {
                return;
            }
        }
    }

    /// Removes it one second after the request began, without waiting for that.
    async fn give_back(self: Arc<Self>, since_request: Duration, urgency: Urgency) {
        let store = &self.tokens.store;
        let given_back = match AFTER_REQUEST.saturating_sub(since_request) {
            Duration::ZERO => store.remove(&self.name, &self.bytes, urgency).await,
            left => store.put(&self.name, Some(&self.bytes), &self.last_bytes, left, urgency).await,
        };
        if given_back.is_err() {
            // Whether the store is up or not: one that is full still removes, and the others would wait.
            tokio::spawn(async move { self.tokens.store.retract(&self.name, &self.bytes).await });
        }
    }
}
