//! One call of the token endpoint, and what follows when it refuses the client.

use zeroize::Zeroizing;

use super::{ClientCredentials, authentication::Credentials, mask::Mask, request, response};
use crate::{error::Error, log, source::TokenRequest, token::AccessToken};

impl ClientCredentials {
    pub(super) async fn exchange(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        let mut secrets = Vec::new();
        let mut refused = Vec::new();
        let mut credentials = self.read().await?;
        loop {
            let outcome = self.attempt(request, &credentials, &mut secrets).await;
            if !outcome.as_ref().is_err_and(refuses_client) {
                if outcome.is_ok() && self.history.previous().as_ref() == Some(&credentials) {
                    log::previous_secret_accepted(&self.endpoint.name);
                }
                return outcome;
            }
            refused.push(credentials);
            match self.others(&refused).await {
                Some(others) => credentials = others,
                None => return outcome,
            }
        }
    }

    async fn attempt(
        &self,
        request: &TokenRequest,
        credentials: &Credentials,
        secrets: &mut Vec<Zeroizing<String>>,
    ) -> Result<AccessToken, Error> {
        let mut proof = self.authentication.prove(credentials);
        secrets.append(&mut proof.secrets);
        let response = self.http_client.send(request::build(self, request, &proof)).await?;
        response::read(self, &response, mask(request, secrets))
    }

    async fn read(&self) -> Result<Credentials, Error> {
        let credentials = self.authentication.read(&self.client_id).await?;
        self.history.note(&credentials);
        Ok(credentials)
    }

    /// Others than those that were refused in this call: what is there now, and what was there before, each tried once.
    async fn others(&self, refused: &[Credentials]) -> Option<Credentials> {
        let now = if refused.len() == 1 { self.read().await.ok() } else { None };
        let before = if refused.len() <= 2 { self.history.previous() } else { None };
        now.into_iter().chain(before).find(|others| !refused.contains(others))
    }
}

/// Whether a verdict is about the client: the code, or the status that RFC 6749 section 5.2 has for it.
fn refuses_client(error: &Error) -> bool {
    let invalid_client = error.response().is_some_and(|response| response.error == "invalid_client");
    !error.is_transient() && (invalid_client || error.status() == Some(http::StatusCode::UNAUTHORIZED))
}

/// Hides what was sent in this call: secrets, and further parameters, which may be some (short ones are words).
fn mask(request: &TokenRequest, secrets: &[Zeroizing<String>]) -> Mask {
    let mut mask = Mask::default();
    for secret in secrets {
        mask.hide(secret);
    }
    for (_, value) in request.parameters().filter(|(_, value)| value.len() >= 8) {
        mask.hide(value);
    }
    mask
}
