//! The requests to the authorization server: each is said before it is sent, and shown with its response.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use client_credentials::{Error, HttpClient, SecretBody, async_trait};
use http::{Method, Request, Response, header::DATE};
use serde_json::{Map, Value};

use super::methods;
use crate::streams::say;

/// More could lock the client out.
const MOST_TOKEN_REQUESTS: usize = 3;

/// What was sent and received.
#[derive(Clone, Default)]
pub(super) struct Exchange(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    token_requests: usize,
    /// The responses with the issuer's metadata, which are fetched only once.
    documents: HashMap<String, Response<SecretBody>>,
    seen: Option<Seen>,
}

/// The times of a token request, for comparing the clocks.
#[derive(Clone)]
pub(super) struct Seen {
    pub sent: SystemTime,
    pub received: SystemTime,
    /// The `Date` of the response.
    pub date: Option<SystemTime>,
}

impl Exchange {
    /// The issuer's metadata.
    pub(super) fn metadata(&self) -> Option<Map<String, Value>> {
        let state = self.state();
        let mut documents = state.documents.values().filter(|response| response.status().is_success());
        documents.find_map(|response| serde_json::from_slice(response.body().as_ref()).ok())
    }

    pub(super) fn seen(&self) -> Option<Seen> {
        self.state().seen.clone()
    }

    pub(super) fn wrap(&self, client: Arc<dyn HttpClient>, method: Option<&'static str>) -> Observed {
        Observed { client, exchange: self.clone(), method }
    }

    fn count_token_request(&self) -> Result<(), Error> {
        let mut state = self.state();
        if state.token_requests == MOST_TOKEN_REQUESTS {
            return Err(Error::permanent(format!("{MOST_TOKEN_REQUESTS} token requests were sent, and no more are")));
        }
        state.token_requests += 1;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Observed {
    client: Arc<dyn HttpClient>,
    exchange: Exchange,
    /// How the client authenticates. `None`: only the metadata is looked up, and no token request is sent.
    method: Option<&'static str>,
}

#[async_trait]
impl HttpClient for Observed {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        // Some servers have a key in the query.
        let url = request.uri().to_string().split('?').next().unwrap_or_default().to_owned();
        if request.method() == Method::GET {
            return self.look_up(url, request).await;
        }
        let method = self.method.ok_or_else(|| Error::permanent("only the metadata is looked up"))?;
        self.exchange.count_token_request()?;
        say(format!("POST {url}, {method}: {}", methods::described(method)));
        let sent = SystemTime::now();
        let outcome = said(self.client.send(request)).await;
        if let Ok(response) = &outcome {
            let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
            let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
            self.exchange.state().seen = Some(Seen { sent, received: SystemTime::now(), date });
        }
        outcome
    }
}

impl Observed {
    /// Metadata is fetched once for all ways of authentication.
    async fn look_up(&self, url: String, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        if let Some(response) = self.exchange.state().documents.get(&url) {
            return Ok(response.clone());
        }
        say(format!("GET {url}"));
        let response = said(self.client.send(request)).await?;
        self.exchange.state().documents.insert(url, response.clone());
        Ok(response)
    }
}

async fn said(
    sending: impl Future<Output = Result<Response<SecretBody>, Error>>,
) -> Result<Response<SecretBody>, Error> {
    let started = Instant::now();
    let outcome = sending.await;
    let millis = started.elapsed().as_millis();
    match &outcome {
        Ok(response) => {
            let (status, length) = (response.status().as_u16(), response.body().as_ref().len());
            say(format!("  HTTP {status}, {length} bytes, in {millis} ms"));
        }
        Err(_) => say(format!("  no response, after {millis} ms")),
    }
    outcome
}
