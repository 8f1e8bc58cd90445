//! Servers that are known by name.

use super::{ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, Secret};
use crate::vonage::Region;

impl ClientCredentials {
    /// For Vonage Contact Center: the region's token endpoint, id and secret in the body, tokens for Vonage's hosts of
    /// that region and nowhere else. At least one [`scope`](ClientCredentialsBuilder::scope) is required.
    pub fn vonage(
        region: Region,
        client_id: impl Into<Secret>,
        client_secret: impl Into<ClientAuthentication>,
    ) -> ClientCredentialsBuilder {
        let mut builder = Self::builder(region.token_url(), client_id, client_secret);
        builder.scope_required = true;
        builder.origins = region.origins();
        builder
    }
}
