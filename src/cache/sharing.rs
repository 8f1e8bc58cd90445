//! The seam between a flight and the store in which instances share tokens.

use std::{sync::Arc, time::Duration};

use super::{
    backoff::BETWEEN_REQUESTS,
    clock::Moment,
    context::Context,
    fetch::{Flying, within},
    flight::TokenResult,
    renewal::Life,
};
pub(super) use crate::store::Permit;
use crate::{
    error::Error,
    report::store as report,
    store::{Next, Sharing, StoredFailure, Taken, Urgency, Wish},
    token_identity::TokenIdentity,
};

/// How long it may take to read what identifies a token.
const IDENTIFIED_WITHIN: Duration = Duration::from_secs(2);
/// The part of a caller's wait that is for another instance. A server that is slow for one is no faster for all. The
/// rest is for a token request of its own.
const PATIENCE_SHARE: f64 = 0.8;

impl Context {
    /// Whether another instance may have a token.
    pub(super) fn has_store(&self) -> bool {
        self.sharing.as_ref().is_some_and(|sharing| sharing.is_up())
    }
}

impl Flying {
    /// Looks into the store before a token is requested. `None`: the flight has ended. Without a permit, it is requested
    /// without the store.
    pub(super) async fn ask_store(mut self) -> Option<(Self, Option<Permit>)> {
        let Some(sharing) = self.context.sharing.clone() else { return Some((self, None)) };
        match self.look(&sharing).await? {
            Next::Take(taken) => self.take(&sharing, &taken),
            Next::HoldBack(failure) => self.hold_back(&sharing, &failure),
            Next::Request(permit) => {
                self.slot.upgrade()?.failed_before(permit.failed_before());
                self.is_first &= permit.failed_before() == 0;
                return Some((self, Some(permit)));
            }
            Next::RequestAlone(permit) if self.may_request => {
                return (!self.slot.upgrade()?.postpone(self.guard.id)).then_some((self, permit));
            }
            Next::RequestAlone(_) | Next::Leave => {}
        }
        None
    }

    async fn look(&self, sharing: &Arc<Sharing>) -> Option<Next> {
        let identity = match self.identity().await {
            Ok(identity) => identity,
            Err(error) => {
                report::unidentified(&self.context.report, &self.request, sharing.store(), &error);
                return Some(Next::RequestAlone(None));
            }
        };
        let (slot, rejected) = (&self.slot, self.rejected.as_ref());
        let urgency = || match slot.upgrade() {
            Some(slot) if self.may_request => slot.urgency(),
            _ => Urgency::WaitedFor,
        };
        let waits = |pause| {
            if let Some(slot) = slot.upgrade() {
                slot.pause(self.guard.id, pause + deferral(urgency()));
            }
        };
        waits(Duration::ZERO);
        let takes = |stored: &_, age| slot.upgrade().is_some_and(|slot| slot.takes(stored, age, rejected));
        let wish = Wish {
            identity,
            urgency: &urgency,
            rejected: rejected.filter(|_| self.may_request),
            may_request: self.may_request,
            patience: self.context.settings.wait_limit.mul_f64(PATIENCE_SHARE),
            takes: &takes,
            waits: &waits,
        };
        Some(sharing.next(&wish).await)
    }

    async fn identity(&self) -> Result<TokenIdentity, Error> {
        let (source, request) = (&self.context.source, &self.request);
        let read = || async {
            match source.identity(request) {
                Some(identity) => identity.await,
                None => Ok(TokenIdentity::new().with_request(&request.or(&source.defaults()))),
            }
        };
        self.of_source(within(IDENTIFIED_WITHIN, read)).await.and_then(|identity| identity)
    }

    fn take(self, sharing: &Sharing, taken: &Taken) {
        let Some(slot) = self.slot.upgrade() else { return };
        let token = taken.token.clone().with_request(self.request.clone());
        let was_failing = slot.failures() > 0;
        let usable = slot.take(self.guard.id, &token, taken.age);
        let when = (taken.age, taken.waited);
        report::taken(&self.context.report, &self.request, sharing.store(), &token, when, was_failing, usable);
        self.guard.publish(Some(Ok(token)));
    }

    fn hold_back(self, sharing: &Sharing, failure: &StoredFailure) {
        let Some(slot) = self.slot.upgrade() else { return };
        let (error, wait) = slot.hold_back(self.guard.id, failure);
        report::held_back(&self.context.report, &self.request, sharing.store(), &error, wait);
        self.guard.publish(Some(Err(error.with_retry_after(wait))));
    }

    /// Stores how the flight ended, before its callers learn of it: their process may end then.
    pub(super) async fn tell_store(
        &self,
        permit: Option<Permit>,
        error: Option<&Error>,
        landed: Option<&TokenResult>,
        started_at: Moment,
    ) {
        let (Some(sharing), Some(permit)) = (&self.context.sharing, permit) else { return };
        let is_awaited = self.guard.outcome.receiver_count() > 0;
        let urgency = if is_awaited { Urgency::WaitedFor } else { Urgency::BesideTraffic };
        match (landed, error) {
            (Some(Ok(token)), _) => {
                let lifetime = Life::new(token, &self.context.settings, 0.0).lifetime;
                let ago = self.context.clock.now().since(started_at);
                if permit.succeeded(token, lifetime, ago, urgency).await {
                    report::stored(&self.context.report, &self.request, sharing.store());
                }
            }
            (Some(Err(held_back)), Some(error)) => {
                let in_a_row = self.slot.upgrade().map_or(1, |slot| slot.failures());
                let wait = held_back.retry_after().unwrap_or(BETWEEN_REQUESTS);
                permit.failed(error, in_a_row, wait, urgency).await;
            }
            _ => drop(permit),
        }
    }
}

/// By how much the flight's deadline is put off for the operations of the store. Callers wait only a little longer than
/// a flight may take: one of them takes over if its runtime stands still.
fn deferral(urgency: Urgency) -> Duration {
    match urgency {
        Urgency::WaitedFor => Duration::from_secs(1),
        Urgency::BesideTraffic => Duration::from_secs(5),
    }
}
