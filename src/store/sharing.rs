//! What a flight does with the store before it requests a token, and after.
//!
//! Before: it takes a token that another instance has stored, or is held back by a failure that another has met, or
//! waits while another requests the token, or holds the lease and requests it itself. After: it stores what it got.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    availability::{Bounded, Urgency},
    contract::TokenStore,
    entries::{Found, Seen, Shelf},
    lease::{Claim, Lease},
    names::Names,
    permit::Permit,
    seal::Seal,
    stored_failure::StoredFailure,
};
use crate::{
    report::{Reporter, store as report},
    token::AccessToken,
    token_identity::TokenIdentity,
};

/// Between two looks while another instance requests the token: grows from the least to the most.
const LEAST_PAUSE: Duration = Duration::from_millis(25);
const MOST_PAUSE: Duration = Duration::from_millis(250);

/// The tokens that a cache shares with others.
pub(crate) struct Sharing {
    shelf: Arc<Shelf>,
    /// What the user calls them.
    namespace: String,
}

/// What a flight asks the store for.
pub(crate) struct Wish<'a> {
    pub identity: TokenIdentity,
    pub urgency: Urgency,
    /// A token to remove, because an API rejected it.
    pub rejected: Option<&'a AccessToken>,
    /// Whether the flight may request a token.
    pub may_request: bool,
    /// How long it waits for another instance.
    pub patience: Duration,
    /// Whether it takes a token of this age.
    pub takes: &'a (dyn Fn(&AccessToken, Duration) -> bool + Send + Sync),
    /// It is about to wait that long.
    pub waits: &'a (dyn Fn(Duration) + Send + Sync),
}

/// What a flight does now.
pub(crate) enum Next {
    Take(Taken),
    /// Another instance has met a failure that concerns this one.
    HoldBack(StoredFailure),
    Request(Permit),
    /// The store is down, or the wait took too long.
    RequestAlone(Permit),
    /// There is nothing to take, and it may not request.
    Leave,
}

/// A token that another instance obtained.
pub(crate) struct Taken {
    pub token: AccessToken,
    /// How long ago it was requested, by the store's clock.
    pub age: Duration,
    /// How long this instance waited for it, if it did.
    pub waited: Option<Duration>,
}

impl Sharing {
    pub(crate) fn new(store: Arc<dyn TokenStore>, seal: Seal, namespace: String, report: Reporter) -> Self {
        report::is_up(&report);
        let store = Bounded::new(store, report.clone());
        let shelf = Shelf { store, seal, report, instance: fastrand::u64(..), mentioned: AtomicBool::new(false) };
        Self { shelf: Arc::new(shelf), namespace }
    }

    /// The store's name in logs.
    pub(crate) fn store(&self) -> &str {
        self.shelf.store.name()
    }

    /// Whether the store would be used now.
    pub(crate) fn is_up(&self) -> bool {
        self.shelf.store.is_up()
    }

    pub(crate) async fn next(&self, wish: &Wish<'_>) -> Next {
        let names = Arc::new(Names::new(&self.namespace, wish.identity.inputs()));
        let Some(claim) = Claim::new(Arc::clone(&self.shelf), names) else {
            return Next::RequestAlone(Permit::none());
        };
        Approach { claim, wish, wait: Wait::new(wish.patience), lease: None }.next().await
    }
}

/// The way to a token, look by look.
struct Approach<'a> {
    claim: Arc<Claim>,
    wish: &'a Wish<'a>,
    wait: Wait,
    lease: Option<Lease>,
}

impl Approach<'_> {
    async fn next(mut self) -> Next {
        loop {
            let Some(mut seen) = self.look().await else { return Next::RequestAlone(Permit::none()) };
            if let Some(taken) = self.takes(&seen) {
                return Next::Take(taken);
            }
            if let Some(failure) = seen.failure.value().filter(|failure| failure.holds_back()) {
                return Next::HoldBack(failure.clone());
            }
            if !self.wish.may_request {
                return Next::Leave;
            }
            let is_granted = self.claim.is_granted(seen.lease.bytes());
            if !is_granted && !matches!(seen.lease, Found::Free(_)) {
                // This process stood still, and another instance took it.
                self.lease = None;
            }
            if is_granted || self.lease.is_some() {
                let lease = self.lease.take().unwrap_or_else(|| Lease::new(Arc::clone(&self.claim)));
                return Next::Request(Permit::new(self.claim, Some(lease), seen, self.wish.urgency));
            }
            if let Found::Free(garbage) = &mut seen.lease {
                match self.claim.put(garbage.take().as_ref().map(|bytes| &bytes[..]), self.wish.urgency).await {
                    // It looks once more: the previous holder may have stored a token in between.
                    Ok(true) => self.lease = Some(Lease::new(Arc::clone(&self.claim))),
                    Ok(false) => {}
                    Err(_) => {
                        self.claim.retract();
                        return Next::RequestAlone(Permit::none());
                    }
                }
            }
            if self.lease.is_none() && !self.waits().await {
                return Next::RequestAlone(Permit::new(self.claim, None, seen, self.wish.urgency));
            }
        }
    }

    /// `None`: the store is down.
    async fn look(&self) -> Option<Seen> {
        let Claim { shelf, names, .. } = &*self.claim;
        let mut seen =
            shelf.look(names, self.wish.urgency, self.wait.pauses == 0 && self.lease.is_none()).await.ok()?;
        if let (Some(rejected), Found::Read { value, bytes, .. }) = (self.wish.rejected, &seen.token)
            && value.token.is_same_as(rejected)
        {
            shelf.store.remove(&names.token, bytes, self.wish.urgency).await.ok()?;
            seen.token = Found::Free(None);
        }
        Some(seen)
    }

    fn takes(&self, seen: &Seen) -> Option<Taken> {
        let Found::Read { value, life, .. } = &seen.token else { return None };
        // A store that says more than the lifetime is wrong: then the token is taken for a new one.
        let age = value.lifetime.saturating_sub(*life) + seen.took;
        self.claim.shelf.store.was_stored(age);
        let waited = self.wait.began.map(|began| began.elapsed());
        (self.wish.takes)(&value.token, age).then(|| Taken { token: value.token.clone(), age, waited })
    }

    /// Until the next look. `false`: it has waited long enough.
    async fn waits(&mut self) -> bool {
        let Some(pause) = self.wait.next() else { return false };
        if self.wait.pauses == 1 {
            report::waits(&self.claim.shelf.report, self.claim.shelf.store.name());
        }
        (self.wish.waits)(pause);
        sleep(pause).await;
        true
    }
}

/// The wait for another instance.
struct Wait {
    patience: Duration,
    began: Option<Instant>,
    pauses: u32,
}

impl Wait {
    fn new(patience: Duration) -> Self {
        Self { patience, began: None, pauses: 0 }
    }

    /// Jittered, so that a fleet that waits does not look at once.
    fn next(&mut self) -> Option<Duration> {
        let waited = self.began.get_or_insert_with(Instant::now).elapsed();
        let left = self.patience.checked_sub(waited).filter(|left| !left.is_zero())?;
        let most = (LEAST_PAUSE * (2 << self.pauses.min(4))).min(MOST_PAUSE);
        self.pauses += 1;
        Some((LEAST_PAUSE + (most - LEAST_PAUSE).mul_f64(fastrand::f64())).min(left))
    }
}
