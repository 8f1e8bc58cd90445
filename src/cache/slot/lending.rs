//! What a slot does with its leases. All but reading one happens while the state is locked.

use super::{Issued, Slot};
use crate::{cache::clock::Moment, token::AccessToken};

impl Slot {
    /// The token that this thread has a lease of. Never waits.
    pub(in crate::cache) fn leased(&self) -> Option<AccessToken> {
        self.context.leases.here().read(self.key(), self.now(), |lease| lease.token.clone())
    }

    /// Lends the token to this thread, if no decision is due. A thread comes here once for each token.
    pub(in crate::cache) fn lend(&self) -> Option<AccessToken> {
        let (now, state) = self.locked();
        let issued = state.usable(now)?;
        let is_due = now.reached(issued.renew_at) || (self.is_kept_warm() && state.warm.is_none());
        (!is_due).then(|| self.lend_until(issued, issued.renew_at))
    }

    /// Whether a task renews the token with or without traffic.
    pub(in crate::cache) fn is_kept_warm(&self) -> bool {
        self.context.settings.keep_warm && self.request.is_default()
    }

    pub(super) fn lend_until(&self, issued: &Issued, until: Moment) -> AccessToken {
        self.lease(issued, issued.token.counted_apart(), until);
        issued.token.clone()
    }

    /// Replaces what was lent before. This thread shares the slot's reference counts.
    pub(super) fn lend_new(&self, issued: &Issued) {
        self.end_leases();
        self.lease(issued, issued.token.clone(), issued.renew_at);
    }

    fn lease(&self, issued: &Issued, token: AccessToken, until: Moment) {
        self.context.leases.lend(self.key(), token, issued.accepted_by, until.min(issued.expires_at));
    }

    /// An origin has accepted the token.
    pub(super) fn note_accepted(&self, issued: &mut Issued, origin: u64) {
        if issued.accepted_by & origin != origin {
            issued.accepted_by |= origin;
            self.context.leases.accepted(self.key(), origin);
        }
    }

    pub(super) fn end_leases(&self) {
        self.context.leases.end(self.key());
    }
}
