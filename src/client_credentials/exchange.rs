//! One call of the token endpoint, and what follows when it refuses the client.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    ClientCredentials, Server, authentication::Credentials, endpoint::Endpoint, mask::Mask, request, response,
};
use crate::{
    error::{Error, ErrorKind},
    log,
    source::{TokenRequest, TokenSource},
    token::AccessToken,
};

impl ClientCredentials {
    pub(super) async fn exchange(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        let endpoint = match &self.server {
            Server::Known(endpoint) => Arc::clone(endpoint),
            Server::Discovered(discovery) => discovery.endpoint(&*self.http_client, self.timeout).await?,
        };
        let outcome = self.exchange_at(&endpoint, request).await;
        if let (Server::Discovered(discovery), Err(error)) = (&self.server, &outcome)
            && !matches!(error.kind(), ErrorKind::ErrorResponse | ErrorKind::Credentials)
        {
            discovery.doubt();
        }
        outcome.map_err(|error| error.at_endpoint(&endpoint.name))
    }

    async fn exchange_at(&self, endpoint: &Endpoint, request: &TokenRequest) -> Result<AccessToken, Error> {
        let mut secrets = Vec::new();
        let mut refused = Vec::new();
        let mut credentials = self.read().await?;
        loop {
            let outcome = self.attempt(endpoint, request, &credentials, &mut secrets).await;
            if !outcome.as_ref().is_err_and(refuses_client) {
                if outcome.is_ok() && self.history.previous().as_ref() == Some(&credentials) {
                    log::previous_secret_accepted(self.name());
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
        endpoint: &Endpoint,
        request: &TokenRequest,
        credentials: &Credentials,
        secrets: &mut Vec<Zeroizing<String>>,
    ) -> Result<AccessToken, Error> {
        let mut proof = self.authentication.prove(credentials);
        secrets.append(&mut proof.secrets);
        let response = self.http_client.send(request::build(self, endpoint, request, &proof)).await?;
        response::read(self, endpoint, &response, self.mask(request, secrets))
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

    /// Hides what was sent in this call: secrets, and further parameters and headers, which may be some (short ones are words).
    fn mask(&self, request: &TokenRequest, secrets: &[Zeroizing<String>]) -> Mask {
        let mut mask = Mask::default();
        for secret in secrets {
            mask.hide(secret);
        }
        let headers = self.headers.values().filter_map(|value| value.to_str().ok());
        for value in request.parameters().map(|(_, value)| value).chain(headers).filter(|value| value.len() >= 8) {
            mask.hide(value);
        }
        mask
    }
}

/// Whether a verdict is about the client: the code, or the status that RFC 6749 section 5.2 has for it.
fn refuses_client(error: &Error) -> bool {
    let invalid_client = error.response().is_some_and(|response| response.error == "invalid_client");
    !error.is_transient() && (invalid_client || error.status() == Some(http::StatusCode::UNAUTHORIZED))
}
