//! Whether a token may go where a request goes, and what the log mentions only once.

use http::{HeaderMap, HeaderName, header::HOST, uri::Authority};

use crate::{
    cache::TokenCache,
    origin::{Permission, Target},
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
        headers.get_all(HOST).iter().all(|host| {
            // The form that nearly every request uses, compared without the copy that parsing makes.
            self.origins().is_authority_as_written(host.as_bytes())
                || match Authority::try_from(host.as_bytes()) {
                    // User info has no place in `Host` (RFC 9110 section 7.2), and a gateway may read it as the host.
                    Ok(authority) if !host.as_bytes().contains(&b'@') => {
                        self.permit_host(&Target::of_parts(None, &authority))
                    }
                    _ => self.permit_host(&Target::unreadable()),
                }
        })
    }

    fn permit_host(&self, host: &Target<'_>) -> bool {
        let permitted = matches!(self.origins().permit(host), Permission::Granted(_));
        if !permitted {
            self.mention(host, log::foreign_host);
        }
        permitted
    }

    /// The API at `origin` refused a request because its token lacks a scope.
    pub(super) fn scope_missing(&self, origin: &str) {
        if self.report().is_first_mention(&format!("scope {origin}")) {
            log::scope_missing(self.report().source(), origin);
        }
    }

    /// A request already has the header that the token would be in.
    pub(super) fn own_header(&self, header: &HeaderName) {
        if self.report().is_first_mention("header") {
            log::own_header(self.report().source(), header);
        }
    }

    /// The response came from `end`, the target of a redirect on which the client may have removed the token.
    pub(super) fn rejected_after_redirect(&self, end: &Target<'_>) {
        self.mention(end, log::rejected_after_redirect);
    }

    /// Calls `log` with the source and the origin, unless the log has mentioned the origin before.
    fn mention(&self, target: &Target<'_>, log: fn(&str, &str)) {
        let origin = target.to_origin();
        if self.report().is_first_mention(&origin) {
            log(self.report().source(), &origin);
        }
    }
}
