//! Whether a token may go where a request goes. What is refused is said in the log once for each origin.

use crate::{
    cache::TokenCache,
    origin::{Permission, Target},
};

impl TokenCache {
    pub(super) fn permit(&self, target: &Target<'_>) -> Permission {
        let permission = self.origins().permit(target);
        if !matches!(permission, Permission::Granted(_)) && self.mentioned().is_first(target) {
            let origin = target.to_origin();
            match permission {
                Permission::Insecure => self.report().insecure(&origin),
                _ => self.report().not_attached(&origin),
            }
        }
        permission
    }

    /// A request to one of our origins was refused by another one, which a redirect within the client led to.
    pub(super) fn refused_elsewhere(&self, target: &Target<'_>) {
        if self.mentioned().is_first(target) {
            self.report().answered_elsewhere(&target.to_origin());
        }
    }
}
