//! What a flight does with the store in which instances share tokens: it looks there first, and stores how it ended.

use std::{sync::Arc, time::Duration};

pub(super) use crate::store::Visit;
use crate::{
    cache::{
        backoff::BETWEEN_REQUESTS,
        context::Context,
        renewal::Life,
        slot::{FlightTask, TokenResult},
    },
    report::store as report,
    store::{Down, SharedTokens, Urgency},
    token_identity::TokenIdentity,
};

/// How long it may take to read what identifies a token.
const IDENTIFIED_WITHIN: Duration = Duration::from_secs(2);
/// The part of a caller's wait that is for another instance. A server that is slow for one is no faster for all. The
/// rest is for a token request of its own.
const PATIENCE_SHARE: f64 = 0.8;

impl FlightTask {
    /// Looks into the store before a token is requested. `None`: the flight has ended. Without a visit, the store has
    /// no part in the request.
    pub(super) async fn ask_store(mut self) -> Option<(Self, Option<Visit>)> {
        let Some(shared) = self.context.shared_tokens.clone() else { return Some((self, None)) };
        let Some(mut visit) = self.visit(shared).await else { return self.request_alone(None) };
        let patience = self.context.settings.wait_limit.mul_f64(PATIENCE_SHARE);
        loop {
            let (urgency, removed) = (self.urgency(), self.rejected.as_ref().filter(|_| self.may_request));
            self.pause(deferral(urgency));
            let Ok(()) = visit.look(removed, urgency).await else { return self.request_alone(None) };
            let slot = self.slot.upgrade()?;
            let taken = slot.take(&self.flight, &visit, self.rejected.as_ref()).map(Ok);
            if let Some(outcome) = taken.or_else(|| slot.hold_back(&self.flight, &visit).map(Err)) {
                self.flight.end(Some(outcome));
                return None;
            }
            if !self.may_request {
                return None;
            }
            if visit.has_lease() {
                let failed_before = visit.failure().map_or(0, |failure| failure.in_a_row);
                slot.failed_before(failed_before);
                self.is_first &= failed_before == 0;
                return Some((self, Some(visit)));
            }
            drop(slot);
            match visit.take_lease(patience, self.urgency()).await {
                // It looks once more: the previous holder may have stored a token in between.
                Ok(true) => {}
                Ok(false) => return self.request_alone(Some(visit)),
                Err(Down) => return self.request_alone(None),
            }
        }
    }

    /// `None`: the source cannot say which token this is.
    async fn visit(&self, shared: Arc<SharedTokens>) -> Option<Visit> {
        let Context { source, defaults, .. } = &*self.context;
        let identity = || async {
            match source.identity(&self.request) {
                Some(identity) => identity.await,
                None => Ok(TokenIdentity::new().with_request(&self.request.or(defaults))),
            }
        };
        match self.call(IDENTIFIED_WITHIN, identity).await.and_then(|identity| identity) {
            Ok(identity) => Visit::new(shared, &identity).ok(),
            Err(error) => {
                report::unidentified(&self.context.report, &self.request, shared.store.name(), &error);
                None
            }
        }
    }

    /// The store is down, or another instance takes too long.
    fn request_alone(self, visit: Option<Visit>) -> Option<(Self, Option<Visit>)> {
        let slot = self.slot.upgrade()?;
        (self.may_request && !slot.postpone(&self.flight)).then_some((self, visit))
    }

    fn urgency(&self) -> Urgency {
        match self.slot.upgrade() {
            Some(slot) if self.may_request && !self.flight.is_awaited() => slot.urgency(),
            _ => Urgency::WaitedFor,
        }
    }

    /// Stores how the flight ended, before its callers learn of it: their process may end then.
    pub(super) async fn tell_store(&self, visit: Option<Visit>, outcome: &TokenResult, landed: Option<&TokenResult>) {
        let Some(visit) = visit else { return };
        let urgency = self.urgency();
        let ago = || self.flight.last_start().map(|start| self.context.clock.now().since(start)).unwrap_or_default();
        match (landed, outcome) {
            (Some(Ok(token)), _) => {
                let lifetime = Life::new(token, &self.context.settings, 0.0).lifetime;
                if let Ok(true) = visit.succeeded(token, lifetime, ago(), urgency).await {
                    report::stored(&self.context.report, &self.request, visit.store());
                }
            }
            (Some(Err(held_back)), Err(error)) => {
                let in_a_row = self.slot.upgrade().map_or(1, |slot| slot.failures());
                let wait = held_back.retry_after().unwrap_or(BETWEEN_REQUESTS);
                visit.failed(error, in_a_row, wait, urgency).await;
            }
            _ => {}
        }
        visit.end(ago(), urgency).await;
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
