//! One call to the token endpoint, and the retries when the server rejects the client's credentials.

use std::{
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

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
    http_client,
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
        let exchange =
            Exchange { client: self, endpoint: &endpoint, request, deadline, mask, secrets: Vec::new(), date: None };
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

    /// The current credentials if they have changed, or else the previous ones.
    async fn alternative(&self, refused: &Credentials) -> Option<Credentials> {
        let current = self.read().await.ok();
        current.into_iter().chain(self.history.previous()).find(|other| other != refused)
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
    /// The time of the last response, by the server's clock.
    date: Option<SystemTime>,
}

impl Exchange<'_> {
    /// Sends at most three requests: one, one with the server's time, and one with other credentials.
    async fn token(mut self) -> Result<AccessToken, Error> {
        let client = self.client;
        let mut credentials = client.in_time(self.deadline, client.read()).await?;
        let ahead = client.clock_ahead.load(Ordering::Relaxed);
        let mut outcome = self.attempt(&credentials, ahead).await;
        // A second failure does not count, because the `Date` may come from a proxy.
        if let Some(corrected) = self.correction(&outcome, ahead)
            && let Ok(token) = self.attempt(&credentials, corrected).await
        {
            client.clock_ahead.store(corrected, Ordering::Relaxed);
            log::clock_corrected(client.name(), corrected);
            outcome = Ok(token);
        }
        if outcome.as_ref().is_err_and(Error::may_be_credentials)
            && let Some(other) = client.alternative(&credentials).await
        {
            outcome = self.attempt(&other, ahead).await;
            if outcome.is_ok() && client.history.previous().as_ref() == Some(&other) {
                log::previous_secret_accepted(client.name());
            }
            credentials = other;
        }
        outcome.map_err(|error| match error.may_be_credentials() {
            true => error.with_advice(client.authentication.advice(&credentials)),
            false => error,
        })
    }

    /// Sends a request, and reads the response. The server's clock is `ahead` by so many seconds.
    async fn attempt(&mut self, credentials: &Credentials, ahead: i64) -> Result<AccessToken, Error> {
        let client = self.client;
        let proof = client.authentication.prove(credentials, &client.settings.server, ahead);
        let mut proof = client.in_time(self.deadline, proof).await?;
        self.hide(std::mem::take(&mut proof.secrets));
        let request = request::build(&client.settings, self.endpoint, self.request, &proof);
        let response = http_client::send(&*client.http_client, request).await?;
        self.date = lifetime::date(response.headers());
        let scheme = self.endpoint.url.scheme_str().unwrap_or_default();
        let granted = response::read(&response, scheme, self.mask.clone(), &client.settings.token_types)?;
        client.notice(self.request, &granted, &self.mask);
        self.hide(vec![Zeroizing::new(granted.token.expose_secret().to_owned())]);
        Ok(granted.token)
    }

    /// How far the server's clock is ahead, if an assertion may have been rejected because of its timestamps. Servers
    /// use different error codes for that.
    fn correction(&self, outcome: &Result<AccessToken, Error>, known: i64) -> Option<i64> {
        let error = outcome.as_ref().err()?;
        let is_verdict = error.response().is_some() && !error.is_transient();
        if !is_verdict || !self.client.authentication.depends_on_clock() {
            return None;
        }
        seconds_ahead(self.date?, known)
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
