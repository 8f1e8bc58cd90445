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

/// The permission to request a token, and to store what becomes of that.
pub(crate) struct Permit {
    pub(super) claim: Arc<Claim>,
    /// `None`: another instance holds it, and takes too long.
    pub(super) lease: Option<HeldLease>,
    /// What is replaced.
    pub(super) seen: Seen,
}

impl Permit {
    /// How many token requests of the fleet have failed in a row, if that concerns this instance.
    pub(crate) fn failed_before(&self) -> u32 {
        let failure = self.seen.failure.value().filter(|failure| failure.is_for_all);
        failure.map_or(0, |failure| failure.in_a_row)
    }

    /// A token request begins.
    pub(crate) fn begins(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.begins();
        }
    }

    /// Stores a token that was requested so long `ago` and lives for `lifetime` from then on. Returns whether others
    /// can take it.
    pub(crate) async fn succeeded(
        self,
        token: &AccessToken,
        lifetime: Duration,
        ago: Duration,
        urgency: Urgency,
    ) -> bool {
        let token = StoredToken { token: token.clone(), lifetime };
        let is_stored = self.store(&token, ago, urgency).await.unwrap_or(false);
        if let Found::Read { bytes, .. } = &self.seen.failure {
            let Claim { sharing, names, .. } = &*self.claim;
            let _ = sharing.store.remove(&names.failure, bytes, urgency).await;
        }
        self.end(urgency).await;
        is_stored
    }

    /// Tells other instances of a failure that concerns them, and holds back this one for `wait`.
    pub(crate) async fn failed(self, error: &Error, in_a_row: u32, wait: Duration, urgency: Urgency) {
        self.tell(error, in_a_row, wait, urgency).await;
        self.end(urgency).await;
    }

    async fn store(&self, token: &StoredToken, ago: Duration, urgency: Urgency) -> Result<bool, Down> {
        let Claim { sharing, names, .. } = &*self.claim;
        let Some(bytes) = sharing.seal.seal(&names.token, &token.write()) else { return Ok(false) };
        let began = Instant::now();
        let life = || token.lifetime.saturating_sub(ago + began.elapsed());
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
        let (store, name, began) = (&self.claim.sharing.store, &self.claim.names.token, Instant::now());
        let is_stored = store.put(name, replaced.bytes(), bytes, life, urgency).await?;
        // The store counts the life from when the put arrives. A leeway covers a little more, and not this.
        let is_late = began.elapsed() > life / 20;
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
