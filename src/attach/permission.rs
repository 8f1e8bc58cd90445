//! Whether a token may go where a request goes, and what the log mentions only once.

use http::{HeaderMap, HeaderName, HeaderValue, header::HOST, uri::Authority};

use crate::{
    cache::TokenCache,
    challenge::Challenges,
    origin::{Permission, PermittedBy, Target},
    report::log,
};

impl TokenCache {
    pub(super) fn permit(&self, target: &Target<'_>) -> Permission {
        let permission = self.origins().permit(target);
        match permission {
            Permission::Granted(_) => {}
            Permission::Foreign => self.mention(target, log::not_attached),
            Permission::Insecure => self.mention(target, log::insecure),
        }
        permission
    }

    /// Whether every `Host` header names a permitted host. A gateway may route by it, wherever the connection leads.
    pub(super) fn permit_hosts(&self, headers: &HeaderMap) -> bool {
        headers.get_all(HOST).iter().map(HeaderValue::as_bytes).all(|host| {
            // The form that nearly every request uses, compared without the copy that parsing makes.
            if self.origins().is_authority_as_written(host) {
                return true;
            }
            // User info has no place in `Host` (RFC 9110 section 7.2), and a gateway may read it as the host.
            let authority = Authority::try_from(host).ok().filter(|_| !host.contains(&b'@'));
            let target =
                authority.as_ref().map_or_else(Target::unreadable, |authority| Target::of_parts(None, authority));
            let permitted = matches!(self.origins().permit(&target), Permission::Granted(_));
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

    /// Calls `log` with the source and the origin, unless the log has mentioned the origin before.
    pub(super) fn mention(&self, target: &Target<'_>, log: fn(&str, &str)) {
        let origin = target.to_origin();
        if self.report().mentions.is_first(&origin) {
            log(self.report().source(), &origin);
        }
    }
}
