//! The permission to request a token, and what is stored afterwards.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    availability::{Down, Urgency},
    lease::{Claim, HeldLease},
    sharing::{Found, Seen},
    stored_failure::{REMEMBERED, StoredFailure},
    stored_token::StoredToken,
};
use crate::{error::Error, token::AccessToken};

/// The permission to request a token.
pub(crate) struct Permit(Option<Shared>);

/// A token request that other instances know of.
struct Shared {
    claim: Arc<Claim>,
    /// `None`: another instance holds it, and takes too long.
    lease: Option<HeldLease>,
    /// What is replaced.
    seen: Seen,
}

impl Permit {
    /// Without the store.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(super) fn new(claim: Arc<Claim>, lease: Option<HeldLease>, seen: Seen) -> Self {
        Self(Some(Shared { claim, lease, seen }))
    }

    /// How many token requests of the fleet have failed in a row, if that concerns this instance.
    pub(crate) fn failed_before(&self) -> u32 {
        let failure = self.0.as_ref().and_then(|shared| shared.seen.failure.value());
        failure.filter(|failure| failure.is_for_all).map_or(0, |failure| failure.in_a_row)
    }

    /// A token request begins.
    pub(crate) fn begins(&mut self) {
        if let Some(lease) = self.0.as_mut().and_then(|shared| shared.lease.as_mut()) {
            lease.begins();
        }
    }

    /// Stores a token that was requested so long `ago` and lives for `lifetime` from then on. Returns whether others can
    /// take it.
    pub(crate) async fn succeeded(
        self,
        token: &AccessToken,
        lifetime: Duration,
        ago: Duration,
        urgency: Urgency,
    ) -> bool {
        let Some(shared) = self.0 else { return false };
        let token = StoredToken { token: token.clone(), lifetime };
        let is_stored = shared.store(&token, ago, urgency).await.unwrap_or(false);
        if let Found::Read { bytes, .. } = &shared.seen.failure {
            let Claim { sharing, names, .. } = &*shared.claim;
            let _ = sharing.store.remove(&names.failure, bytes, urgency).await;
        }
        shared.end(urgency).await;
        is_stored
    }

    /// Tells other instances of a failure that concerns them, and holds back this one for `wait`.
    pub(crate) async fn failed(self, error: &Error, in_a_row: u32, wait: Duration, urgency: Urgency) {
        let Some(shared) = self.0 else { return };
        shared.tell(error, in_a_row, wait, urgency).await;
        shared.end(urgency).await;
    }
}

impl Shared {
    async fn store(&self, token: &StoredToken, ago: Duration, urgency: Urgency) -> Result<bool, Down> {
        let Claim { sharing, names, .. } = &*self.claim;
        let Some(bytes) = sharing.seal.seal(&names.token, &token.write()) else { return Ok(false) };
        let asked_at = Instant::now();
        let life = || token.lifetime.saturating_sub(ago + asked_at.elapsed());
        if self.put(&self.seen.token, &bytes, life(), urgency).await? {
            return Ok(true);
        }
        let seen = sharing.look(names, urgency, true).await?.token;
        match seen {
            // What was there before was removed in the meantime, or has ended.
            Found::Free(_) => self.put(&seen, &bytes, life(), urgency).await,
            // Another instance stored a token in the meantime, which may be the newer one.
            _ => Ok(seen.bytes() == Some(&bytes[..])),
        }
    }

    async fn put(
        &self,
        replaced: &Found<StoredToken>,
        bytes: &[u8],
        life: Duration,
        urgency: Urgency,
    ) -> Result<bool, Down> {
        if matches!(replaced, Found::Foreign) || life.is_zero() {
            return Ok(false);
        }
        let (store, name, asked_at) = (&self.claim.sharing.store, &self.claim.names.token, Instant::now());
        let is_stored = store.put(name, replaced.bytes(), bytes, life, urgency).await?;
        // The store counts the life from when the put arrives. A leeway covers a little more, and not this.
        let is_late = asked_at.elapsed() > life / 20;
        if is_stored && is_late {
            store.remove(name, bytes, urgency).await?;
        }
        Ok(is_stored && !is_late)
    }

    async fn tell(&self, error: &Error, in_a_row: u32, wait: Duration, urgency: Urgency) {
        let Claim { sharing, names, .. } = &*self.claim;
        let stored = &self.seen.failure;
        let Some(failure) = StoredFailure::after(error, in_a_row, sharing.instance, stored.value()) else { return };
        let Some(bytes) = sharing.seal.seal(&names.failure, &failure.write()) else { return };
        if !matches!(stored, Found::Foreign) {
            let life = wait.saturating_add(REMEMBERED);
            let _ = sharing.store.put(&names.failure, stored.bytes(), &bytes, life, urgency).await;
        }
    }

    async fn end(self, urgency: Urgency) {
        if let Some(lease) = self.lease {
            lease.give_back(urgency).await;
        }
    }
}
