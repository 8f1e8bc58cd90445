//! Presets for servers.

use super::{ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, Secret};
use crate::vonage::Region;

impl ClientCredentials {
    /// For Vonage Contact Center: uses the region's token endpoint, sends the id and the secret in the body, and allows
    /// tokens only at Vonage's hosts in that region. At least one [`scope`](ClientCredentialsBuilder::scope) is
    /// required.
    pub fn vonage(
        region: Region,
        client_id: impl Into<Secret>,
        client_secret: impl Into<ClientAuthentication>,
    ) -> ClientCredentialsBuilder {
        let mut builder = Self::builder(region.token_url(), client_id, client_secret);
        builder.scope_required = true;
        builder.settings.origins = region.origins();
        builder
    }
}
