//! What identifies a client's tokens in a store that instances share.

use super::ClientCredentials;
use crate::{error::Error, token_identity::TokenIdentity, token_request::TokenRequest};

impl ClientCredentials {
    /// Everything that changes the token, and never the secret: it may be replaced while tokens are shared.
    pub(super) async fn identify(&self, request: &TokenRequest) -> Result<TokenIdentity, Error> {
        let client_id = self.authentication.read_id(&self.settings.client_id).await?;
        let separator = if self.settings.comma_separated_scopes { "," } else { " " };
        let identity = TokenIdentity::new()
            .with(&self.settings.server)
            .with(client_id.as_bytes())
            .with(self.authentication.method())
            .with(&self.settings.grant_type)
            .with(separator)
            .with_request(&request.or(&self.defaults));
        Ok(self.settings.headers.iter().fold(identity, |identity, (name, value)| identity.with(name).with(value)))
    }
}
