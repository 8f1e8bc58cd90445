//! One call to the token endpoint, and the retries when the server rejects the client's credentials.

use std::sync::{Arc, atomic::Ordering};

use http::Response;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{
    ClientCredentials, EndpointSource,
    authentication::{Credentials, seconds_ahead},
    endpoint::TokenEndpoint,
    lifetime,
    mask::Mask,
    request,
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

impl ClientCredentials {
    pub(super) async fn exchange(&self, request: &TokenRequest, deadline: Instant) -> Result<AccessToken, Error> {
        let mut mask = self.mask(request);
        let endpoint = match &self.endpoint {
            EndpointSource::Configured(endpoint) => Arc::clone(endpoint),
            EndpointSource::Discovered(discovery) => {
                discovery.endpoint(&*self.http_client, self.settings.timeout, &mask).await?
            }
        };
        cut_out_query(&mut mask, endpoint.url.query().unwrap_or_default());
        let exchange = Exchange { client: self, endpoint: &endpoint, request, deadline, mask, secrets: Vec::new() };
        let outcome = exchange.token().await;
        if let (EndpointSource::Discovered(discovery), Err(error)) = (&self.endpoint, &outcome)
            && !matches!(error.kind(), ErrorKind::ErrorResponse | ErrorKind::Credentials)
        {
            discovery.doubt();
        }
        outcome.map_err(|error| error.at_endpoint(&endpoint.name))
    }

    /// Reports slow credentials as an error of their own, because the server is not the cause.
    async fn in_time<T>(&self, deadline: Instant, reading: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout_at(deadline, reading).await.unwrap_or_else(|_| {
            let what = format!(
                "the client's credentials ({:?}) could not be read within {:?}",
                self.authentication, self.settings.timeout
            );
            Err(Error::new(ErrorKind::Credentials, what))
        })
    }

    async fn read(&self) -> Result<Credentials, Error> {
        let credentials = self.authentication.read(&self.settings.client_id).await?;
        self.history.note(&credentials);
        Ok(credentials)
    }

    /// Waits until the credentials differ from those that were read last. Unreadable credentials count as unchanged.
    pub(super) async fn changed(&self) {
        let Some(interval) = self.authentication.check_interval(&self.settings.client_id) else {
            return std::future::pending().await;
        };
        let refused = self.history.current();
        loop {
            tokio::time::sleep(interval).await;
            if self.authentication.read(&self.settings.client_id).await.is_ok_and(|read| Some(read) != refused) {
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
        let mut mask = Mask::default();
        lock(&self.last_secrets).iter().for_each(|secret| mask.hide(secret));
        let headers = self.settings.headers.values().filter_map(|value| value.to_str().ok());
        let values = request.parameters().map(|(_, value)| value).chain(headers);
        // Every error contains the server's name, so hiding it would be pointless.
        values.filter(|value| !self.name().contains(value)).for_each(|value| mask.cut_out(value));
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

    /// How far the server's clock is ahead, if an assertion may have been rejected because of its timestamps. Servers
    /// use different error codes for that.
    fn correction(&self, known: i64, error: &Error, response: &Response<SecretBody>) -> Option<i64> {
        let is_verdict = error.response().is_some() && !error.is_transient();
        if !is_verdict || !self.authentication.depends_on_clock() {
            return None;
        }
        seconds_ahead(lifetime::date(response.headers())?, known)
    }
}

/// One call of the token endpoint, with its retries.
struct Exchange<'a> {
    client: &'a ClientCredentials,
    endpoint: &'a TokenEndpoint,
    request: &'a TokenRequest,
    deadline: Instant,
    mask: Mask,
    /// What was sent and received, for the mask of the next exchange.
    secrets: Vec<Zeroizing<String>>,
}

impl Exchange<'_> {
    async fn token(mut self) -> Result<AccessToken, Error> {
        let client = self.client;
        let mut refused = Vec::new();
        let mut credentials = client.in_time(self.deadline, client.read()).await?;
        loop {
            let error = match self.attempt(&credentials, refused.is_empty()).await {
                Ok(token) => {
                    if client.history.previous().as_ref() == Some(&credentials) {
                        log::previous_secret_accepted(client.name());
                    }
                    return Ok(token);
                }
                Err(error) => error,
            };
            if !error.may_be_credentials() {
                return Err(error);
            }
            let advice = client.authentication.advice(&credentials);
            refused.push(credentials);
            let Some(other) = client.alternative(&refused).await else { return Err(error.with_advice(advice)) };
            credentials = other;
        }
    }

    /// Sends the request, and once more with the server's time if the local clock may be the cause of a rejection. The
    /// second result counts only if it is a success, because the `Date` may come from a proxy.
    async fn attempt(&mut self, credentials: &Credentials, may_correct_clock: bool) -> Result<AccessToken, Error> {
        let client = self.client;
        let ahead = client.clock_ahead.load(Ordering::Relaxed);
        let response = self.send(credentials, ahead).await?;
        let error = match self.read(&response) {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        let Some(corrected) = client.correction(ahead, &error, &response).filter(|_| may_correct_clock) else {
            return Err(error);
        };
        let Ok(response) = self.send(credentials, corrected).await else { return Err(error) };
        let token = self.read(&response).map_err(|_| error)?;
        client.clock_ahead.store(corrected, Ordering::Relaxed);
        log::clock_corrected(client.name(), corrected);
        Ok(token)
    }

    async fn send(&mut self, credentials: &Credentials, ahead: i64) -> Result<Response<SecretBody>, Error> {
        let client = self.client;
        let proof = client.authentication.prove(credentials, &self.endpoint.audience, ahead);
        let mut proof = client.in_time(self.deadline, proof).await?;
        self.hide(std::mem::take(&mut proof.secrets));
        let request = request::build(&client.settings, self.endpoint, self.request, &proof);
        http_client::send(&*client.http_client, request).await
    }

    fn read(&mut self, response: &Response<SecretBody>) -> Result<AccessToken, Error> {
        let scheme = self.endpoint.url.scheme_str().unwrap_or_default();
        let granted = response::read(response, scheme, self.mask.clone(), &self.client.settings.token_types)?;
        self.client.notice(self.request, &granted, &self.mask);
        self.hide(vec![Zeroizing::new(granted.token.expose_secret().to_owned())]);
        Ok(granted.token)
    }

    /// Hides these secrets in what follows and in the next exchange.
    fn hide(&mut self, secrets: Vec<Zeroizing<String>>) {
        secrets.iter().for_each(|secret| self.mask.hide(secret));
        self.secrets.extend(secrets);
        lock(&self.client.last_secrets).clone_from(&self.secrets);
    }
}

/// Whether one of the requested scopes was not granted. Some servers separate scopes with commas.
fn lacks_scope(asked: &str, granted: &str) -> bool {
    let granted: Vec<_> = granted.split([' ', ',']).collect();
    asked.split([' ', ',']).any(|scope| !scope.is_empty() && !granted.contains(&scope))
}

/// Hides the query of the token URL, which contains a key for some servers: the whole query, and each of its values.
fn cut_out_query(mask: &mut Mask, query: &str) {
    query.split('&').chain([query]).for_each(|pair| mask.cut_out(pair));
    form_urlencoded::parse(query.as_bytes()).for_each(|(_, value)| mask.cut_out(&value));
}
