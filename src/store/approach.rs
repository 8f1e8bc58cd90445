//! What a flight does with the store before it requests a token: it takes one that another instance has stored, or is
//! held back by a failure that another has met, or waits while another requests the token, or takes the lease.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    availability::Urgency,
    lease::{Claim, HeldLease},
    permit::Permit,
    sharing::{Found, Seen, Sharing},
    stored_failure::StoredFailure,
};
use crate::{report::store as report, token::AccessToken, token_identity::TokenIdentity};

/// Between two looks while another instance requests the token: grows from the least to the most.
const LEAST_PAUSE: Duration = Duration::from_millis(25);
const MOST_PAUSE: Duration = Duration::from_millis(250);

/// What a flight asks the store for.
pub(crate) struct Wish<'a> {
    pub identity: TokenIdentity,
    pub urgency: &'a (dyn Fn() -> Urgency + Send + Sync),
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
    /// The wait took too long, or the store is down (`None`).
    RequestAlone(Option<Permit>),
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
    pub(crate) async fn next(self: &Arc<Self>, wish: &Wish<'_>) -> Next {
        match Claim::new(Arc::clone(self), self.names(&wish.identity)) {
            Some(claim) => Approach { claim, wish, lease: None, waits_since: None, pauses: 0 }.next().await,
            None => Next::RequestAlone(None),
        }
    }
}

/// The way to a token, look by look.
struct Approach<'a> {
    claim: Arc<Claim>,
    wish: &'a Wish<'a>,
    lease: Option<HeldLease>,
    /// When the wait for another instance began.
    waits_since: Option<Instant>,
    pauses: u32,
}

impl Approach<'_> {
    async fn next(mut self) -> Next {
        loop {
            let Some(seen) = self.look().await else { return Next::RequestAlone(None) };
            if let Some(taken) = self.takes(&seen) {
                return Next::Take(taken);
            }
            if let Some(failure) = seen.failure.value().filter(|failure| failure.holds_back()) {
                return Next::HoldBack(failure.clone());
            }
            if !self.wish.may_request {
                return Next::Leave;
            }
            let (is_granted, is_free) =
                (self.claim.is_granted(seen.lease.bytes()), matches!(seen.lease, Found::Free(_)));
            if !is_granted && !is_free {
                // This process stood still, and another instance took it.
                self.lease = None;
            }
            if is_granted || self.lease.is_some() {
                let lease = self.lease.take().unwrap_or_else(|| HeldLease::new(Arc::clone(&self.claim)));
                return Next::Request(Permit { claim: self.claim, lease: Some(lease), seen });
            }
            if is_free {
                match self.claim.put(seen.lease.bytes(), (self.wish.urgency)()).await {
                    // It looks once more: the previous holder may have stored a token in between.
                    Ok(true) => self.lease = Some(HeldLease::new(Arc::clone(&self.claim))),
                    Ok(false) => {}
                    Err(_) => {
                        self.claim.retract();
                        return Next::RequestAlone(None);
                    }
                }
            }
            if self.lease.is_none() && !self.pause().await {
                return Next::RequestAlone(Some(Permit { claim: self.claim, lease: None, seen }));
            }
        }
    }

    /// `None`: the store is down.
    async fn look(&self) -> Option<Seen> {
        let Claim { sharing, names, .. } = &*self.claim;
        let is_first = self.pauses == 0 && self.lease.is_none();
        let mut seen = sharing.look(names, (self.wish.urgency)(), is_first).await.ok()?;
        if let (Some(rejected), Found::Read { value, bytes, .. }) = (self.wish.rejected, &seen.token)
            && value.token.is_same_as(rejected)
        {
            sharing.store.remove(&names.token, bytes, (self.wish.urgency)()).await.ok()?;
            seen.token = Found::Free(None);
        }
        Some(seen)
    }

    fn takes(&self, seen: &Seen) -> Option<Taken> {
        let Found::Read { value, life, .. } = &seen.token else { return None };
        // A store that says more than the lifetime is wrong: then the token is treated as a new one.
        let age = value.lifetime.saturating_sub(*life) + seen.took;
        self.claim.sharing.store.was_stored(age);
        let waited = self.waits_since.map(|since| since.elapsed());
        (self.wish.takes)(&value.token, age).then(|| Taken { token: value.token.clone(), age, waited })
    }

    /// Waits until the next look. `false`: it has waited long enough.
    async fn pause(&mut self) -> bool {
        let waited = self.waits_since.get_or_insert_with(Instant::now).elapsed();
        let left = self.wish.patience.saturating_sub(waited);
        if left.is_zero() {
            return false;
        }
        if self.pauses == 0 {
            report::waits(&self.claim.sharing.report, self.claim.sharing.store());
        }
        let most = (LEAST_PAUSE * (2 << self.pauses.min(4))).min(MOST_PAUSE);
        self.pauses += 1;
        // Jittered, so that the instances that wait do not all look at once.
        let pause = (LEAST_PAUSE + (most - LEAST_PAUSE).mul_f64(fastrand::f64())).min(left);
        (self.wish.waits)(pause);
        sleep(pause).await;
        true
    }
}
