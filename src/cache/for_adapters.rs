//! What the adapters do with a cache: they attach its tokens, and tell it what became of them.

use std::sync::Arc;

use super::{
    TokenCache,
    context::Context,
    lease::{Lease, ThreadLeases},
    slot::{SUSPECT_WAIT, Slot},
    step,
};
use crate::{
    challenge::Rejection,
    error::Error,
    fingerprint::Fingerprint,
    origin::PermittedBy,
    sharded::Sharded,
    token::{AccessToken, TokenId},
    token_request::TokenRequest,
};

impl TokenCache {
    /// The leases of each thread, for an adapter that reads its own.
    pub(crate) fn leases(&self) -> Sharded<ThreadLeases> {
        self.core.context.leases.of_each_thread()
    }

    /// What `attach` returns for the lease of the token to attach and which token it is; `None` if there is no lease.
    /// Starts nothing, and never waits. `attach` must not lock anything.
    #[inline(always)]
    pub(crate) fn leased<T>(
        &self,
        leases: &ThreadLeases,
        key: Option<Fingerprint>,
        attach: impl FnOnce(&Lease, TokenId) -> T,
    ) -> Option<T> {
        let key = key.unwrap_or(self.own.key());
        let attach = |lease: &Lease| attach(lease, TokenId { key, number: lease.number });
        leases.with(key, self.core.context.clock.now(), attach)
    }

    /// The token to attach, if no decision is due. Starts nothing. From then on, this thread has a lease of it.
    pub(crate) fn cached(&self, request: Option<&TokenRequest>) -> Option<AccessToken> {
        let leases = self.core.context.leases.here();
        let leased = self.leased(leases, request.map(TokenRequest::fingerprint), |lease, _| lease.token.clone());
        leased.or_else(|| {
            let slot = self.slot_of(request);
            slot.leased().or_else(|| slot.lend())
        })
    }

    /// The token to attach. May wait.
    pub(crate) async fn wait(&self, request: Option<TokenRequest>) -> Result<AccessToken, Error> {
        let limit = self.wait_limit();
        self.acquire(&self.slot_of(request.as_ref()), None, limit).await
    }

    /// Which token this is. One that names no request is this handle's.
    pub(crate) fn id(&self, token: &AccessToken) -> TokenId {
        let key = token.request().map_or(self.own.key(), TokenRequest::fingerprint);
        TokenId { key, number: token.number() }
    }

    /// Notes that an origin rejected a token, and starts its renewal if that may start. Returns whether callers can
    /// hope for another token.
    pub(crate) fn reject_at(&self, id: TokenId, origin: PermittedBy, rejection: Rejection) -> bool {
        self.report().rejection(Some(rejection));
        self.reject_by(origin.bit(), &self.origins().name(origin), id, rejection)
    }

    /// Another token than the rejected one, if one can be obtained within five seconds. `request` named the token.
    pub(crate) async fn recover(
        &self,
        rejected: TokenId,
        request: Option<TokenRequest>,
        origin: PermittedBy,
        rejection: Rejection,
    ) -> Option<AccessToken> {
        // Held until the end, so that it makes no room for others; made again if it already has.
        let request = request.filter(|request| request.fingerprint() == rejected.key);
        let _slot = request.map(|request| self.core.keys.slot(&request));
        if !self.reject_at(rejected, origin, rejection) {
            return None;
        }
        self.another(rejected).await
    }

    /// Another token than this one, which was rejected, if one can be obtained within five seconds.
    pub(crate) async fn another(&self, rejected: TokenId) -> Option<AccessToken> {
        let slot = self.find(rejected.key)?;
        let limit = SUSPECT_WAIT.min(self.wait_limit());
        let token = self.acquire(&slot, Some(rejected.number), limit).await.ok()?;
        (token.number() != rejected.number).then_some(token)
    }

    /// The origin accepted this token. Asks its slot only if this thread's lease does not know that yet.
    #[cold]
    pub(crate) fn accepted(&self, id: TokenId, origin: PermittedBy) {
        let Context { leases, clock, .. } = &*self.core.context;
        let is_noted = |lease: &Lease| lease.number == id.number && lease.is_accepted_by(origin.bit());
        if leases.here().read(id.key, clock.now(), is_noted) == Some(true) {
            return;
        }
        if let Some(slot) = self.find(id.key) {
            slot.accepted(id.number, origin.bit());
        }
    }

    /// The origin accepted this token, which replaced a rejected one.
    pub(crate) fn accepted_in_place(&self, id: TokenId, origin: PermittedBy) {
        if let Some(slot) = self.find(id.key) {
            slot.accepted_in_place(id.number, origin.bit());
        }
    }

    pub(super) fn reject_by(&self, origin: u64, name: &str, id: TokenId, rejection: Rejection) -> bool {
        let Some(slot) = self.find(id.key) else { return false };
        let renews = slot.reject(id.number, origin, name, rejection);
        if renews {
            let _ = step(&slot, Some(id.number));
        }
        renews
    }

    /// The slot of a request that may leave the choice to this handle.
    fn slot_of(&self, request: Option<&TokenRequest>) -> Arc<Slot> {
        request.map_or_else(|| Arc::clone(&self.own), |request| self.core.keys.slot(request))
    }

    /// The slot with this key; `None`: it has made room for others since.
    fn find(&self, key: Fingerprint) -> Option<Arc<Slot>> {
        if key == self.own.key() { Some(Arc::clone(&self.own)) } else { self.core.keys.find(key) }
    }
}
