//! Whether a token may go where a request goes. What is refused is said in the log once for each origin.

use crate::{
    cache::TokenCache,
    origin::{Permission, Target},
    report::log,
};

impl TokenCache {
    pub(super) fn permit(&self, target: &Target<'_>) -> Permission {
        let permission = self.origins().permit(target);
        if !matches!(permission, Permission::Granted(_)) && self.mentioned().is_first(target) {
            let origin = target.to_origin();
            match permission {
                Permission::Insecure => log::insecure(self.report().source(), &origin),
                _ => log::not_attached(self.report().source(), &origin),
            }
        }
        permission
    }

    /// A request to one of our origins was refused by another one, which a redirect within the client led to.
    pub(super) fn refused_elsewhere(&self, target: &Target<'_>) {
        if self.mentioned().is_first(target) {
            log::answered_elsewhere(self.report().source(), &target.to_origin());
        }
    }
}
