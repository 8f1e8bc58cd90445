//! What a flight does with the store in which instances share tokens: it looks there first, and stores how it ended.

use std::{sync::Arc, time::Duration};

pub(super) use crate::store::Permit;
use crate::{
    cache::{
        backoff::BETWEEN_REQUESTS,
        clock::Moment,
        context::Context,
        renewal::Life,
        slot::{FlightTask, TokenResult},
    },
    error::Error,
    report::store as report,
    store::{Next, Sharing, Urgency, Wish},
    token_identity::TokenIdentity,
};

/// How long it may take to read what identifies a token.
const IDENTIFIED_WITHIN: Duration = Duration::from_secs(2);
/// The part of a caller's wait that is for another instance. A server that is slow for one is no faster for all. The
/// rest is for a token request of its own.
const PATIENCE_SHARE: f64 = 0.8;

impl Context {
    /// Whether another instance may have a token.
    pub(in crate::cache) fn has_store(&self) -> bool {
        self.sharing.as_ref().is_some_and(|sharing| sharing.is_up())
    }
}

impl FlightTask {
    /// Looks into the store before a token is requested. `None`: the flight has ended. Without a permit, the store has
    /// no part in the request.
    pub(super) async fn ask_store(mut self) -> Option<(Self, Option<Permit>)> {
        let Some(sharing) = self.context.sharing.clone() else { return Some((self, None)) };
        let next = self.look(&sharing).await;
        let (slot, id) = (self.slot.upgrade()?, self.id);
        match next {
            Next::Take(taken) => self.publish(Ok(slot.take(id, &taken, sharing.store()))),
            Next::HoldBack(failure) => self.publish(Err(slot.hold_back(id, &failure, sharing.store()))),
            Next::Request(permit) => {
                slot.failed_before(permit.failed_before());
                self.is_first &= permit.failed_before() == 0;
                return Some((self, Some(permit)));
            }
            Next::RequestAlone(permit) if self.may_request => return (!slot.postpone(id)).then_some((self, permit)),
            Next::RequestAlone(_) | Next::Leave => {}
        }
        None
    }

    async fn look(&self, sharing: &Arc<Sharing>) -> Next {
        let identity = match self.identity().await {
            Ok(identity) => identity,
            Err(error) => {
                report::unidentified(&self.context.report, &self.request, sharing.store(), &error);
                return Next::RequestAlone(None);
            }
        };
        let (slot, rejected) = (&self.slot, self.rejected.as_ref());
        let urgency = || match slot.upgrade() {
            Some(slot) if self.may_request => slot.urgency(),
            _ => Urgency::WaitedFor,
        };
        let waits = |pause| self.pause(pause + deferral(urgency()));
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
        sharing.next(&wish).await
    }

    async fn identity(&self) -> Result<TokenIdentity, Error> {
        let (source, request) = (&self.context.source, &self.request);
        let read = || async {
            match source.identity(request) {
                Some(identity) => identity.await,
                None => Ok(TokenIdentity::new().with_request(&request.or(&source.defaults()))),
            }
        };
        self.call(IDENTIFIED_WITHIN, read).await.and_then(|identity| identity)
    }

    /// Stores how the flight ended, before its callers learn of it: their process may end then.
    pub(super) async fn tell_store(
        &self,
        permit: Option<Permit>,
        outcome: &TokenResult,
        landed: Option<&TokenResult>,
        started_at: Moment,
    ) {
        let (Some(sharing), Some(permit)) = (&self.context.sharing, permit) else { return };
        let urgency = match self.slot.upgrade() {
            // Callers that come before the store has answered wait for the lease, unless they have a token.
            Some(slot) if self.outcome.receiver_count() == 0 => slot.urgency(),
            _ => Urgency::WaitedFor,
        };
        match (landed, outcome) {
            (Some(Ok(token)), _) => {
                let lifetime = Life::new(token, &self.context.settings, 0.0).lifetime;
                let ago = self.context.clock.now().since(started_at);
                if permit.succeeded(token, lifetime, ago, urgency).await {
                    report::stored(&self.context.report, &self.request, sharing.store());
                }
            }
            (Some(Err(held_back)), Err(error)) => {
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
