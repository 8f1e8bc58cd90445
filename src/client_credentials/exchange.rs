//! One call of the token endpoint, and what follows when it refuses the client.

use std::sync::Arc;

use http::{Response, StatusCode, header::DATE};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{
    ClientCredentials, Server,
    authentication::{Credentials, Skew},
    endpoint::Endpoint,
    mask::Mask,
    request, response,
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
        let mut credentials = self.in_time(deadline, self.read()).await?;
        loop {
            let attempt = Attempt { endpoint, request, deadline, credentials: &credentials };
            let error = match self.attempt(&attempt, refused.is_empty(), &mut secrets).await {
                Ok(token) => {
                    if self.history.previous().as_ref() == Some(&credentials) {
                        log::previous_secret_accepted(self.name());
                    }
                    return Ok(token);
                }
                Err(error) => error,
            };
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

    /// Once more by the server's clock where ours may be to blame. That counts only if it succeeds: the `Date` may be a
    /// proxy's.
    async fn attempt(
        &self,
        attempt: &Attempt<'_>,
        may_correct: bool,
        secrets: &mut Vec<Zeroizing<String>>,
    ) -> Result<AccessToken, Error> {
        let skew = self.clock.skew();
        let response = self.send(attempt, skew, secrets).await?;
        let error = match self.outcome(attempt, &response, secrets) {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        let Some(corrected) = self.correction(skew, &error, &response).filter(|_| may_correct) else {
            return Err(error);
        };
        let Ok(response) = self.send(attempt, corrected, secrets).await else { return Err(error) };
        let token = self.outcome(attempt, &response, secrets).map_err(|_| error)?;
        self.clock.keep(corrected);
        log::clock_corrected(self.name());
        Ok(token)
    }

    async fn send(
        &self,
        attempt: &Attempt<'_>,
        skew: Skew,
        secrets: &mut Vec<Zeroizing<String>>,
    ) -> Result<Response<Body>, Error> {
        let proof = self.authentication.prove(attempt.credentials, &attempt.endpoint.audience, skew);
        let mut proof = self.in_time(attempt.deadline, proof).await?;
        secrets.append(&mut proof.secrets);
        http_client::send(&*self.http_client, request::build(self, attempt.endpoint, attempt.request, &proof)).await
    }

    fn outcome(
        &self,
        attempt: &Attempt<'_>,
        response: &Response<Body>,
        secrets: &[Zeroizing<String>],
    ) -> Result<AccessToken, Error> {
        response::read(self, attempt.endpoint, response, self.mask(attempt.request, secrets))
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

    /// Hides what was sent in this call: secrets, and further parameters and headers, which may be some (short ones are
    /// words).
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

    /// The server's clock, where an assertion may have been refused because of the time in it, by whatever code.
    fn correction(&self, skew: Skew, error: &Error, response: &Response<Body>) -> Option<Skew> {
        let verdict = error.response().is_some() && !error.is_transient();
        let date = response.headers().get(DATE)?.to_str().ok()?;
        let by_clock = verdict && self.authentication.is_by_clock();
        httpdate::parse_http_date(date).ok().filter(|_| by_clock).and_then(|date| skew.by(date))
    }
}

/// What the attempts of one call have in common, and the credentials of one of them.
struct Attempt<'a> {
    endpoint: &'a Endpoint,
    request: &'a TokenRequest,
    deadline: Instant,
    credentials: &'a Credentials,
}

/// Whether a verdict is about the client: the code, or the status that RFC 6749 section 5.2 has for it.
fn refuses_client(error: &Error) -> bool {
    !error.is_transient() && (error.is_invalid_client() || error.status() == Some(StatusCode::UNAUTHORIZED))
}
