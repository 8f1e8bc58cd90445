//! What a flight does with the store. Before it requests a token, it looks whether another instance has stored one, or
//! a failure that holds it back; if not, it takes the lease, or waits while another instance has that. Afterwards, it
//! stores what became of its request.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    availability::{Down, Urgency},
    names::Names,
    shared_tokens::{Found, Seen, SharedTokens},
    stored_failure::{REMEMBERED, StoredFailure},
    stored_lease::StoredLease,
    stored_token::StoredToken,
};
use crate::{error::Error, report::store as report, token::AccessToken, token_identity::TokenIdentity};

/// Between two looks while another instance requests the token: grows from the least to the most.
const LEAST_PAUSE: Duration = Duration::from_millis(25);
const MOST_PAUSE: Duration = Duration::from_millis(250);

/// A flight's visit to the entries of its token.
pub(crate) struct Visit {
    tokens: Arc<SharedTokens>,
    names: Names,
    lease: StoredLease,
    /// What the last look has found, and what is replaced.
    seen: Seen,
    /// When the wait for another instance began.
    waits_since: Option<Instant>,
}

impl Visit {
    pub(crate) fn new(tokens: Arc<SharedTokens>, identity: &TokenIdentity) -> Result<Self, Down> {
        let names = Names::new(&tokens.namespace, identity.inputs());
        let lease = StoredLease::new(Arc::clone(&tokens), names.lease.clone())?;
        let seen = Seen { token: Found::Free(None), lease: Found::Free(None), failure: Found::Free(None) };
        Ok(Self { tokens, names, lease, seen, waits_since: None })
    }

    /// The store's name in logs.
    pub(crate) fn store(&self) -> &str {
        self.tokens.store.name()
    }

    /// Looks what is stored. Removes the token if it is `rejected`.
    pub(crate) async fn look(&mut self, rejected: Option<&AccessToken>, urgency: Urgency) -> Result<(), Down> {
        let is_first = self.waits_since.is_none() && !self.lease.is_held();
        self.seen = self.tokens.look(&self.names, urgency, is_first).await?;
        self.lease.found(&self.seen.lease);
        if let Found::Read(stored, bytes) = &self.seen.token {
            self.tokens.store.was_stored(stored.age);
            if rejected.is_some_and(|rejected| stored.token.is_same_as(rejected)) {
                self.tokens.store.remove(&self.names.token, bytes, urgency).await?;
                self.seen.token = Found::Free(None);
            }
        }
        Ok(())
    }

    /// The token that another instance has stored.
    pub(crate) fn token(&self) -> Option<&StoredToken> {
        self.seen.token.value()
    }

    /// The failure of another instance that concerns this one, too.
    pub(crate) fn failure(&self) -> Option<&StoredFailure> {
        self.seen.failure.value().filter(|failure| failure.is_for_all)
    }

    /// Whether it may request a token, for all instances.
    pub(crate) fn has_lease(&self) -> bool {
        self.lease.is_held()
    }

    /// Takes the lease; if another instance has it, waits until the next look. `false`: it has waited for all of its
    /// `patience`.
    pub(crate) async fn take_lease(&mut self, patience: Duration, urgency: Urgency) -> Result<bool, Down> {
        Ok(self.lease.take(&self.seen.lease, urgency).await? || self.pause(patience).await)
    }

    async fn pause(&mut self, patience: Duration) -> bool {
        if self.waits_since.is_none() {
            report::waits(&self.tokens.store.report, self.store());
        }
        let waited = self.waits_since.get_or_insert_with(Instant::now).elapsed();
        let left = patience.saturating_sub(waited);
        let most = (2 * LEAST_PAUSE + waited).min(MOST_PAUSE);
        // Jittered, so that the instances that wait do not all look at once.
        sleep((LEAST_PAUSE + (most - LEAST_PAUSE).mul_f64(fastrand::f64())).min(left)).await;
        !left.is_zero()
    }

    /// How long it has waited for another instance, if it has.
    pub(crate) fn waited(&self) -> Option<Duration> {
        self.waits_since.map(|since| since.elapsed())
    }

    /// Stores a token that was requested so long `ago` and lives for `lifetime` from then on. Returns whether others
    /// can take it.
    pub(crate) async fn succeeded(
        &self,
        token: &AccessToken,
        lifetime: Duration,
        ago: Duration,
        urgency: Urgency,
    ) -> Result<bool, Down> {
        let (store, names, began) = (&self.tokens.store, &self.names, Instant::now());
        if let Found::Read(_, bytes) = &self.seen.failure {
            store.remove(&names.failure, bytes, urgency).await?;
        }
        let bytes = self.tokens.seal.seal(&names.token, &StoredToken::write(token, lifetime))?;
        // What was there before may have been removed in the meantime, or have ended.
        for replaced in [self.seen.token.bytes(), None] {
            let waited = began.elapsed();
            let life = lifetime.saturating_sub(ago + waited);
            if life.is_zero() || !store.put(&names.token, replaced, &bytes, life, urgency).await? {
                continue;
            }
            // The store counts the life from when the put arrives. A leeway covers a little more, and not this.
            if began.elapsed() - waited <= life / 20 {
                return Ok(true);
            }
            store.remove(&names.token, &bytes, urgency).await?;
        }
        Ok(false)
    }

    /// Tells other instances of a failure that concerns them, and holds back this one for `wait`.
    pub(crate) async fn failed(&self, error: &Error, in_a_row: u32, wait: Duration, urgency: Urgency) {
        let (tokens, name, stored) = (&self.tokens, &self.names.failure, &self.seen.failure);
        let Some(plain) = StoredFailure::write(error, in_a_row, tokens.instance, stored.value()) else { return };
        let Ok(bytes) = tokens.seal.seal(name, &plain) else { return };
        let _ = tokens.store.put(name, stored.bytes(), &bytes, wait.saturating_add(REMEMBERED), urgency).await;
    }

    /// Others may request tokens again. So much time has passed since the request began.
    pub(crate) async fn end(mut self, since_request: Duration, urgency: Urgency) {
        if let Some(given_back) = self.lease.give_back(since_request, urgency) {
            let _ = given_back.await;
        }
    }
}
