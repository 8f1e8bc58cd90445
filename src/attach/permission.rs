//! Whether a token may go where a request goes, and what the log mentions only once.

use http::{HeaderMap, HeaderName, header::HOST};

use crate::{
    cache::TokenCache,
    challenge::Challenges,
    error::Error,
    origin::{PermittedBy, Target},
    report::log,
    token::TokenId,
};

impl TokenCache {
    /// Like [`Origins::permit`](crate::origin::Origins::permit), and the log mentions where no token may go.
    pub(super) fn permit(&self, target: &Target<'_>) -> Result<Option<PermittedBy>, Error> {
        let permission = self.origins().permit(target);
        match permission {
            Ok(Some(_)) => {}
            Ok(None) => self.mention(target, log::not_attached),
            Err(_) => self.mention(target, log::insecure),
        }
        permission
    }

    /// Whether every `Host` header names a permitted host. A gateway may route by it, wherever the connection leads.
    pub(super) fn permit_hosts(&self, headers: &HeaderMap) -> bool {
        headers.get_all(HOST).iter().map(Target::of_host).all(|target| {
            let permitted = matches!(self.origins().permit(&target), Ok(Some(_)));
            if !permitted {
                self.mention(&target, log::foreign_host);
            }
            permitted
        })
    }

    /// A request already has the header that the token would be in.
    pub(super) fn own_header(&self, header: &HeaderName) {
        if self.report().mentions.is_first("header") {
            log::own_header(self.report().source(), header);
        }
    }

    /// The API refused a request with a 401 or a 403, and not because of a token that is dead.
    pub(super) fn refused(&self, permitted_by: PermittedBy, is_401: bool, challenges: &Challenges) {
        let origin = self.origins().name(permitted_by);
        if challenges.is_about_scope() && self.report().mentions.is_first(&format!("scope {origin}")) {
            log::scope_missing(self.report().source(), &origin);
        }
        if is_401 {
            log::not_a_rejection(&origin);
        }
    }

    /// The response to a request that was sent again. If the API accepts the new token, the origin's streak of
    /// rejections ends.
    pub(super) fn replayed(&self, id: TokenId, permitted_by: PermittedBy, accepted: bool, rejected: bool) {
        self.report().replayed(rejected);
        if rejected {
            log::fresh_token_rejected(&self.origins().name(permitted_by));
        } else if accepted {
            self.accepted_in_place(id, permitted_by);
        }
    }

    /// Calls `log` with the source and the origin, unless the log has mentioned the origin before.
    pub(super) fn mention(&self, target: &Target<'_>, log: fn(&str, &str)) {
        let origin = target.to_origin();
        if self.report().mentions.is_first(&origin) {
            log(self.report().source(), &origin);
        }
    }
}
