//! The lease of the instance that requests the next token.
//!
//! It is short and extended while the request is under way, so that an instance that dies holds up the others for no
//! longer than that. The others can tell nothing else: it may be stopped, and may never continue.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, sleep},
};
use zeroize::Zeroizing;

use super::{
    availability::{Down, Urgency},
    names::Names,
    record::Record,
    sharing::Sharing,
};

const LIFE: Duration = Duration::from_secs(5);
const EXTENDED_EACH: Duration = Duration::from_secs(1);
/// A lease lasts at least so long after a token request began: all instances send at most one in that time.
const AFTER_REQUEST: Duration = Duration::from_secs(1);

/// What an instance would hold: an entry that no other instance writes.
pub(super) struct Claim {
    pub sharing: Arc<Sharing>,
    pub names: Names,
    bytes: Zeroizing<Vec<u8>>,
    /// Other bytes, for its last second: an extension that arrives late no longer finds the lease.
    last_bytes: Zeroizing<Vec<u8>>,
}

/// A claim that the store granted. Given back when it is dropped.
pub(super) struct HeldLease {
    claim: Arc<Claim>,
    extension: AbortHandle,
    /// When the last request began; `None`: none has.
    began: Option<Instant>,
    is_given_back: bool,
}

impl Claim {
    /// `None`: nothing can be encrypted.
    pub(super) fn new(sharing: Arc<Sharing>, names: Names) -> Option<Arc<Self>> {
        let claim = fastrand::u64(..);
        let bytes = |claim: u64| {
            let plain = Record::default().number(1, sharing.instance).number(2, claim).write();
            sharing.seal.seal(&names.lease, &plain)
        };
        let (bytes, last_bytes) = (bytes(claim)?, bytes(!claim)?);
        Some(Arc::new(Self { sharing, names, bytes, last_bytes }))
    }

    /// Whether the store granted it without our knowing: the result was lost.
    pub(super) fn is_granted(&self, stored: Option<&[u8]>) -> bool {
        stored == Some(&self.bytes[..])
    }

    /// Takes the place of what is stored: nothing, garbage, or an earlier put of this claim. `false`: another instance
    /// was faster.
    pub(super) async fn put(&self, replaced: Option<&[u8]>, urgency: Urgency) -> Result<bool, Down> {
        self.sharing.store.put(&self.names.lease, replaced, &self.bytes, LIFE, urgency).await
    }

    /// Removes it beside the traffic, whether the store is up or not: a put that failed may have had its effect.
    pub(super) fn retract(self: Arc<Self>) {
        tokio::spawn(async move { self.sharing.store.retract(&self.names.lease, &self.bytes).await });
    }

    async fn keep(self: Arc<Self>) {
        loop {
            sleep(EXTENDED_EACH).await;
            if !matches!(self.put(Some(&self.bytes), Urgency::BesideTraffic).await, Ok(true)) {
                return;
            }
        }
    }

    /// Gives it back one second after the request began, without waiting for that.
    async fn give_back(self: Arc<Self>, began: Option<Instant>, urgency: Urgency) {
        let left = began.map(|began| AFTER_REQUEST.saturating_sub(began.elapsed()));
        let (store, lease) = (&self.sharing.store, &self.names.lease);
        let given_back = match left.filter(|left| !left.is_zero()) {
            Some(left) => store.put(lease, Some(&self.bytes), &self.last_bytes, left, urgency).await,
            None => store.remove(lease, &self.bytes, urgency).await,
        };
        if given_back.is_err() {
            // A store that is full still removes, and the others would wait.
            self.retract();
        }
    }
}

impl HeldLease {
    pub(super) fn new(claim: Arc<Claim>) -> Self {
        let extension = tokio::spawn(Arc::clone(&claim).keep()).abort_handle();
        Self { claim, extension, began: None, is_given_back: false }
    }

    /// A token request begins.
    pub(super) fn begins(&mut self) {
        self.began = Some(Instant::now());
    }

    pub(super) async fn give_back(mut self, urgency: Urgency) {
        self.extension.abort();
        Arc::clone(&self.claim).give_back(self.began, urgency).await;
        // Not before: the next flight ends this task.
        self.is_given_back = true;
    }
}

impl Drop for HeldLease {
    /// The flight ended early. If its runtime has ended, too, the lease ends on its own.
    fn drop(&mut self) {
        self.extension.abort();
        if let (false, Ok(runtime)) = (self.is_given_back, Handle::try_current()) {
            let (claim, began) = (Arc::clone(&self.claim), self.began);
            runtime.spawn(async move { claim.give_back(began, Urgency::BesideTraffic).await });
        }
    }
}
