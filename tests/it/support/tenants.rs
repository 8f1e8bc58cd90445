//! A token endpoint that serves many tenants, each with a token of its own, and each with its own fortune.
#![allow(dead_code, unreachable_pub)]

use std::{
    collections::HashMap,
    future::pending,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use client_credentials::{
    AccessToken, ClientCredentials, Clock, Error, HttpClient, SecretBody, TokenCache, TokenCacheBuilder, TokenRequest,
    async_trait,
};
use http::{Request, Response};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// What the endpoint does with one token request.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Token,
    /// The token of this name and number, with so many seconds to live.
    Known(&'static str, u64, u64),
    Status(u16),
    RetryAfter(u16, u64),
    /// 400, or 401 for `invalid_client`, with this OAuth error code.
    OAuth(&'static str),
    Refused,
    Hangs,
}

/// One token request, as the endpoint sees it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub tenant: usize,
    /// Since the endpoint was made.
    pub at: Duration,
    /// How often the tenant has asked, this time included.
    pub times: usize,
}

type Respond = dyn Fn(Asked) -> (Reply, Duration) + Send + Sync;

/// A handle; its clones are one endpoint.
#[derive(Clone)]
pub struct Tenants {
    made: Instant,
    respond: Arc<Respond>,
    asked: Arc<Mutex<Vec<Asked>>>,
    times: Arc<Mutex<HashMap<usize, usize>>>,
    expires_in: u64,
}

impl Tenants {
    /// `respond` says what it replies, and how long that takes.
    pub fn new(respond: impl Fn(Asked) -> (Reply, Duration) + Send + Sync + 'static) -> Self {
        Self {
            made: Instant::now(),
            respond: Arc::new(respond),
            asked: Arc::default(),
            times: Arc::default(),
            expires_in: 3600,
        }
    }

    pub fn with_expires_in(self, seconds: u64) -> Self {
        Self { expires_in: seconds, ..self }
    }

    pub fn builder(&self) -> TokenCacheBuilder {
        let source = ClientCredentials::builder("https://auth.example.com/token", "abcde", "12345");
        let source = source.http_client(self.clone()).any_origin().build().expect("complete");
        TokenCache::builder(source).clock(Clock::tokio()).most_keys(20_000)
    }

    pub fn cache(&self) -> TokenCache {
        self.builder().build().expect("complete")
    }

    pub fn now(&self) -> Duration {
        self.made.elapsed()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    pub fn count_within(&self, from: Duration, to: Duration) -> usize {
        self.asked().iter().filter(|asked| (from..to).contains(&asked.at)).count()
    }

    /// The most that were asked for in any window of this length.
    pub fn most_within(&self, window: Duration) -> usize {
        let asked = self.asked();
        let counts = asked
            .iter()
            .enumerate()
            .map(|(first, from)| asked[first..].iter().take_while(|asked| asked.at < from.at + window).count());
        counts.max().unwrap_or_default()
    }
}

#[async_trait]
impl HttpClient for Tenants {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let scope = form_urlencoded::parse(request.body().as_ref()).find(|(name, _)| name == "scope");
        let tenant = scope.and_then(|(_, scope)| scope.strip_prefix('t')?.parse().ok()).unwrap_or_default();
        let times = *self.times.lock().expect("no panic").entry(tenant).and_modify(|times| *times += 1).or_insert(1);
        let asked = Asked { tenant, at: self.now(), times };
        self.asked.lock().expect("no panic").push(asked);
        let (reply, takes) = (self.respond)(asked);
        sleep(takes).await;
        let response = |status: u16, body: String| Response::builder().status(status).body(SecretBody::from(body));
        let response = match reply {
            Reply::Token => {
                let expires_in = self.expires_in;
                response(
                    200,
                    format!(
                        r#"{{"access_token":"t{tenant}-{times}","token_type":"Bearer","expires_in":{expires_in}}}"#
                    ),
                )
            }
            Reply::Known(name, number, left) => response(
                200,
                format!(r#"{{"access_token":"{name}-{number}","token_type":"Bearer","expires_in":{left}}}"#),
            ),
            Reply::Status(status) => response(status, String::new()),
            Reply::RetryAfter(status, seconds) => {
                Response::builder().status(status).header("retry-after", seconds).body(SecretBody::from(String::new()))
            }
            Reply::OAuth(code) => {
                response(if code == "invalid_client" { 401 } else { 400 }, format!(r#"{{"error":"{code}"}}"#))
            }
            Reply::Refused => return Err(Error::transient(io::Error::from(io::ErrorKind::ConnectionRefused))),
            Reply::Hangs => pending().await,
        };
        Ok(response.expect("a response"))
    }
}

/// The token request of a tenant.
pub fn tenant(number: usize) -> TokenRequest {
    TokenRequest::builder().scope(format!("t{number}")).build().expect("a token request")
}

/// One call for a tenant's token, and what came of it.
#[derive(Debug)]
pub struct Call {
    pub tenant: usize,
    pub came: Duration,
    pub waited: Duration,
    pub outcome: Result<AccessToken, Error>,
}

/// Every tenant calls once, at this time; all calls are over when it returns.
pub async fn call_once(
    endpoint: &Tenants,
    tokens: &TokenCache,
    calls: impl IntoIterator<Item = (usize, Duration)>,
) -> Vec<Call> {
    let mut callers = JoinSet::new();
    for (number, at) in calls {
        let (endpoint, tokens) = (endpoint.clone(), tokens.clone());
        callers.spawn(async move {
            sleep(at).await;
            call(&endpoint, &tokens, number).await
        });
    }
    callers.join_all().await
}

/// So many tenants call at this pace until `end`, counted from when the endpoint was made.
pub async fn call_steadily(
    endpoint: &Tenants,
    tokens: &TokenCache,
    tenants: usize,
    every: Duration,
    end: Duration,
) -> Vec<Call> {
    let mut callers = JoinSet::new();
    for number in 0..tenants {
        let (endpoint, tokens) = (endpoint.clone(), tokens.clone());
        callers.spawn(async move {
            let mut calls = Vec::new();
            sleep(every.mul_f64(number as f64 / tenants as f64)).await;
            while endpoint.now() < end {
                let call = call(&endpoint, &tokens, number).await;
                sleep(every.saturating_sub(call.waited).max(Duration::from_millis(1))).await;
                calls.push(call);
            }
            calls
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

pub async fn call(endpoint: &Tenants, tokens: &TokenCache, number: usize) -> Call {
    let came = endpoint.now();
    let outcome = tokens.token_for(&tenant(number)).await;
    Call { tenant: number, came, waited: endpoint.now() - came, outcome }
}
