//! One call to the token endpoint, and the retries when the server rejects the client's credentials.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use http::{Response, header::DATE};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{
    ClientCredentials, EndpointSource,
    authentication::{Credentials, Skew},
    endpoint::TokenEndpoint,
    mask::Mask,
    request::{self, Style},
    response::{self, Granted},
};
use crate::{
    error::{Error, ErrorKind},
    http_client::{self, SecretBody},
    lock::lock,
    report::log,
    source::TokenSource,
    token::AccessToken,
    token_request::TokenRequest,
};

/// A shorter parameter, header or query value is probably a plain word or an id, so it is not masked.
const MIN_MASKED_LENGTH: usize = 8;

/// The secrets that were sent last and the token that was received. A server may repeat them in its next response or
/// metadata document.
#[derive(Default)]
pub(super) struct LastExchange(Mutex<Vec<Zeroizing<String>>>);

impl LastExchange {
    fn note(&self, secrets: &[Zeroizing<String>]) {
        *lock(&self.0) = secrets.to_vec();
    }

    fn hidden_in(&self, mask: &Mask) -> Mask {
        mask.with(&lock(&self.0))
    }
}

impl ClientCredentials {
    pub(super) async fn exchange(&self, request: &TokenRequest, deadline: Instant) -> Result<AccessToken, Error> {
        let mut mask = self.mask(request);
        let endpoint = match &self.endpoint {
            EndpointSource::Configured(endpoint) => Arc::clone(endpoint),
            EndpointSource::Discovered(discovery) => {
                discovery.endpoint(&*self.http_client, self.timeout, &mask).await?
            }
        };
        cut_out_query(&mut mask, endpoint.url.query().unwrap_or_default());
        let outcome = self.exchange_at(&endpoint, request, deadline, &mask).await;
        if let (EndpointSource::Discovered(discovery), Err(error)) = (&self.endpoint, &outcome)
            && !matches!(error.kind(), ErrorKind::ErrorResponse | ErrorKind::Credentials)
        {
            discovery.doubt();
        }
        outcome.map_err(|error| error.at_endpoint(&endpoint.name))
    }

    async fn exchange_at(
        &self,
        endpoint: &TokenEndpoint,
        request: &TokenRequest,
        deadline: Instant,
        mask: &Mask,
    ) -> Result<AccessToken, Error> {
        let mut secrets = Vec::new();
        let mut refused = Vec::new();
        let mut credentials = self.in_time(deadline, self.read()).await?;
        loop {
            let may_correct_clock = refused.is_empty();
            let attempt =
                TokenAttempt { endpoint, request, deadline, mask, credentials: &credentials, may_correct_clock };
            let error = match self.attempt(&attempt, &mut secrets).await {
                Ok(token) => {
                    if self.history.previous().as_ref() == Some(&credentials) {
                        log::previous_secret_accepted(self.name());
                    }
                    return Ok(token);
                }
                Err(error) => error,
            };
            if !error.may_be_credentials() {
                return Err(error);
            }
            let advice = self.authentication.advice(&credentials);
            refused.push(credentials);
            let Some(other) = self.alternative(&refused).await else { return Err(error.with_advice(advice)) };
            credentials = other;
        }
    }

    /// Sends the request, and once more with the server's time if the local clock may be the cause of a rejection. The
    /// second result counts only if it is a success, because the `Date` may come from a proxy.
    async fn attempt(
        &self,
        attempt: &TokenAttempt<'_>,
        secrets: &mut Vec<Zeroizing<String>>,
    ) -> Result<AccessToken, Error> {
        let skew = self.clock.skew();
        let response = self.send(attempt, skew, secrets).await?;
        let error = match self.outcome(attempt, &response, secrets) {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        let Some(corrected) = self.correction(skew, &error, &response).filter(|_| attempt.may_correct_clock) else {
            return Err(error);
        };
        let Ok(response) = self.send(attempt, corrected, secrets).await else { return Err(error) };
        let token = self.outcome(attempt, &response, secrets).map_err(|_| error)?;
        self.clock.keep(corrected);
        log::clock_corrected(self.name(), corrected.ahead());
        Ok(token)
    }

    async fn send(
        &self,
        attempt: &TokenAttempt<'_>,
        skew: Skew,
        secrets: &mut Vec<Zeroizing<String>>,
    ) -> Result<Response<SecretBody>, Error> {
        let proof = self.authentication.prove(attempt.credentials, &attempt.endpoint.audience, skew);
        let mut proof = self.in_time(attempt.deadline, proof).await?;
        secrets.append(&mut proof.secrets);
        self.last_exchange.note(secrets);
        let style = Style {
            grant_type: &self.grant_type,
            comma_separated_scopes: self.comma_separated_scopes,
            headers: &self.headers,
        };
        let request = request::build(&style, attempt.endpoint, attempt.request, &proof);
        http_client::send(&*self.http_client, request).await
    }

    fn outcome(
        &self,
        attempt: &TokenAttempt<'_>,
        response: &Response<SecretBody>,
        secrets: &mut Vec<Zeroizing<String>>,
    ) -> Result<AccessToken, Error> {
        let mask = attempt.mask.with(secrets);
        let scheme = attempt.endpoint.url.scheme_str().unwrap_or_default();
        let granted = response::read(response, scheme, mask.clone(), &self.token_types)?;
        self.notice(attempt.request, &granted, &mask);
        secrets.push(Zeroizing::new(granted.token.expose_secret().to_owned()));
        self.last_exchange.note(secrets);
        Ok(granted.token)
    }

    /// Reports slow credentials as an error of their own, because the server is not the cause.
    async fn in_time<T>(&self, deadline: Instant, reading: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout_at(deadline, reading).await.unwrap_or_else(|_| {
            let what = format!(
                "the client's credentials ({:?}) could not be read within {:?}",
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

    /// Waits until the credentials differ from those that were read last. Unreadable credentials count as unchanged.
    pub(super) async fn changed(&self) {
        let Some(interval) = self.authentication.check_interval(&self.client_id) else {
            return std::future::pending().await;
        };
        let refused = self.history.current();
        loop {
            tokio::time::sleep(interval).await;
            if self.authentication.read(&self.client_id).await.is_ok_and(|read| Some(read) != refused) {
                return;
            }
        }
    }

    /// Credentials that were not yet refused in this call: first the current ones, then the previous ones.
    async fn alternative(&self, refused: &[Credentials]) -> Option<Credentials> {
        let now = if refused.len() == 1 { self.read().await.ok() } else { None };
        let before = if refused.len() <= 2 { self.history.previous() } else { None };
        now.into_iter().chain(before).find(|others| !refused.contains(others))
    }

    /// Hides extra parameters and headers, which may be secrets, and the secrets of the last exchange.
    fn mask(&self, request: &TokenRequest) -> Mask {
        let mut mask = self.last_exchange.hidden_in(&Mask::default());
        let headers = self.headers.values().filter_map(|value| value.to_str().ok());
        let values = request.parameters().map(|(_, value)| value).chain(headers);
        // Every error contains the server's name, so hiding it would be pointless.
        let values = values.filter(|value| value.len() >= MIN_MASKED_LENGTH && !self.name().contains(value));
        values.for_each(|value| mask.cut_out(value));
        mask
    }

    /// Logs a missing lifetime and a narrower scope.
    fn notice(&self, request: &TokenRequest, granted: &Granted, mask: &Mask) {
        if granted.no_lifetime && self.mentions.is_first("lifetime") {
            log::no_lifetime(self.name());
        }
        if let (Some(asked), Some(scope)) = (request.scope(), granted.token.scope())
            && lacks_scope(&asked, scope)
            && self.mentions.is_first(&format!("scope {asked}"))
        {
            log::other_scope(self.name(), &asked, &mask.quote(scope));
        }
    }

    /// The server's time, if an assertion may have been rejected because of its timestamps. Servers use different error
    /// codes for that.
    fn correction(&self, skew: Skew, error: &Error, response: &Response<SecretBody>) -> Option<Skew> {
        let verdict = error.response().is_some() && !error.is_transient();
        let date = response.headers().get(DATE)?.to_str().ok()?;
        let by_clock = verdict && self.authentication.depends_on_clock();
        httpdate::parse_http_date(date).ok().filter(|_| by_clock).and_then(|date| skew.by(date))
    }
}

/// Whether one of the requested scopes was not granted. Some servers separate scopes with commas.
fn lacks_scope(asked: &str, granted: &str) -> bool {
    let split = |scopes: &str| scopes.split([' ', ',']).map(str::to_owned).collect::<HashSet<_>>();
    split(asked).difference(&split(granted)).any(|scope| !scope.is_empty())
}

/// Hides the query of the token URL, which contains a key for some servers: the whole query, and each of its values.
fn cut_out_query(mask: &mut Mask, query: &str) {
    let pairs = query.split('&').chain([query]);
    pairs.filter(|pair| pair.len() >= MIN_MASKED_LENGTH).for_each(|pair| mask.cut_out(pair));
    let values = form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value);
    values.filter(|value| value.len() >= MIN_MASKED_LENGTH).for_each(|value| mask.cut_out(&value));
}

/// What all attempts of a call share, and the credentials of one attempt.
struct TokenAttempt<'a> {
    endpoint: &'a TokenEndpoint,
    request: &'a TokenRequest,
    deadline: Instant,
    mask: &'a Mask,
    credentials: &'a Credentials,
    may_correct_clock: bool,
}
