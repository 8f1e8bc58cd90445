//! One call of the token endpoint, and what follows when it refuses the client.

use std::sync::Arc;

use http::{Response, StatusCode, header::DATE};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{
    ClientCredentials, Server, authentication::Credentials, endpoint::Endpoint, mask::Mask, request, response,
};
use crate::{
    error::{Error, ErrorKind},
    http_client::{self, Body},
    report::log,
    source::{TokenRequest, TokenSource},
    token::AccessToken,
};

impl ClientCredentials {
    pub(super) async fn exchange(&self, request: &TokenRequest, deadline: Instant) -> Result<AccessToken, Error> {
        let endpoint = match &self.server {
            Server::Known(endpoint) => Arc::clone(endpoint),
            Server::Discovered(discovery) => discovery.endpoint(&*self.http_client, self.timeout).await?,
        };
        let outcome = self.exchange_at(&endpoint, request, deadline).await;
        if let (Server::Discovered(discovery), Err(error)) = (&self.server, &outcome)
            && !matches!(error.kind(), ErrorKind::ErrorResponse | ErrorKind::Credentials)
        {
            discovery.doubt();
        }
        outcome.map_err(|error| error.at_endpoint(&endpoint.name))
    }

    async fn exchange_at(
        &self,
        endpoint: &Endpoint,
        request: &TokenRequest,
        deadline: Instant,
    ) -> Result<AccessToken, Error> {
        let mut secrets = Vec::new();
        let mut refused = Vec::new();
        let mut corrected = false;
        let mut credentials = self.in_time(deadline, self.read()).await?;
        loop {
            let response = self.send(endpoint, request, deadline, &credentials, &mut secrets).await?;
            let error = match response::read(self, endpoint, &response, self.mask(request, &secrets)) {
                Ok(token) => {
                    if self.history.previous().as_ref() == Some(&credentials) {
                        log::previous_secret_accepted(self.name());
                    }
                    return Ok(token);
                }
                Err(error) => error,
            };
            if !corrected && self.corrects_clock(&error, &response) {
                corrected = true;
                continue;
            }
            if !refuses_client(&error) {
                // Most often it is: glewlwyd's 403 is empty.
                return Err(match error.status() {
                    Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) if error.kind() == ErrorKind::Status => {
                        error.with_advice(self.authentication.advice(&credentials))
                    }
                    _ => error,
                });
            }
            let advice = self.authentication.advice(&credentials);
            refused.push(credentials);
            match self.others(&refused).await {
                Some(others) => credentials = others,
                None => return Err(error.with_advice(advice)),
            }
        }
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        request: &TokenRequest,
        deadline: Instant,
        credentials: &Credentials,
        secrets: &mut Vec<Zeroizing<String>>,
    ) -> Result<Response<Body>, Error> {
        let proof = self.authentication.prove(credentials, &endpoint.audience, &self.clock);
        let mut proof = self.in_time(deadline, proof).await?;
        secrets.append(&mut proof.secrets);
        http_client::send(&*self.http_client, request::build(self, endpoint, request, &proof)).await
    }

    /// With an error of its own, since it is not the server that takes so long.
    async fn in_time<T>(&self, deadline: Instant, reading: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout_at(deadline, reading).await.unwrap_or_else(|_| {
            let what = format!(
                "the client's credentials ({:?}) were not there within {:?}",
                self.authentication, self.timeout
            );
            Err(Error::new(ErrorKind::Credentials, what))
        })
    }

    async fn read(&self) -> Result<Credentials, Error> {
        let credentials = self.authentication.read(&self.client_id).await?;
        self.history.note(&credentials);
        Ok(credentials)
    }

    /// Looks until what is read is not what was read last. What cannot be read has not changed.
    pub(super) async fn changed(&self) {
        let Some(every) = self.authentication.look_every(&self.client_id) else { return std::future::pending().await };
        let refused = self.history.current();
        loop {
            tokio::time::sleep(every).await;
            if self.authentication.read(&self.client_id).await.is_ok_and(|read| Some(read) != refused) {
                return;
            }
        }
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

    /// Whether an assertion may have been refused because of the time in it, by whatever code, and the server's is now known.
    fn corrects_clock(&self, error: &Error, response: &Response<Body>) -> bool {
        let verdict = error.response().is_some() && !error.is_transient();
        let date = response.headers().get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let corrected =
            verdict && self.authentication.is_by_clock() && date.is_some_and(|date| self.clock.correct(date));
        if corrected {
            log::clock_corrected(self.name());
        }
        corrected
    }
}

/// Whether a verdict is about the client: the code, or the status that RFC 6749 section 5.2 has for it.
fn refuses_client(error: &Error) -> bool {
    !error.is_transient() && (error.is_invalid_client() || error.status() == Some(StatusCode::UNAUTHORIZED))
}
