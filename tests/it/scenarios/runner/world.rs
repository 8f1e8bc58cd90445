//! The authorization server and the APIs of a scenario, and the time it is there.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use client_credentials::{Error, HttpClient, SecretBody, async_trait, testing::MemoryStore};
use http::{Request, Response, StatusCode, Uri, header};
use tokio::time::{Instant, sleep};

use super::{
    format::{Api, Callers, Handed, Kind, Rejects, Scenario, Server},
    seen::{Call, Ended, Issued, Seen, TokenRequestSeen},
    words::{TokenName, clock_face},
};

pub(super) struct World {
    pub(super) scenario: Scenario,
    /// Of the APIs that the callers call, host by host.
    uris: Vec<Vec<Uri>>,
    start: Instant,
    /// That the instances share, if the scenario has a `[[store]]`.
    pub(super) store: MemoryStore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the monotonic clock missed.
    slept: Duration,
    seen: Seen,
    /// How often each response was given.
    given: HashMap<usize, u64>,
}

/// What the APIs saw of one call.
#[derive(Clone)]
pub(super) struct Trace {
    pub(super) called_at: Duration,
    pub(super) seen: Arc<Mutex<Sent>>,
}

#[derive(Default)]
pub(super) struct Sent {
    pub(super) times: u64,
    pub(super) token: Option<usize>,
    pub(super) in_api: Duration,
}

impl World {
    pub(super) fn new(scenario: Scenario) -> Arc<Self> {
        let host = |Callers { api, .. }: &Callers, host| match host {
            0 => format!("https://{api}.example.com/"),
            _ => format!("https://{api}-{host}.example.com/"),
        };
        let hosts = |callers: &Callers| {
            (0..callers.hosts).map(|number| host(callers, number).parse().expect("a host's name")).collect()
        };
        let uris = scenario.callers.iter().map(hosts).collect();
        Arc::new(Self { scenario, uris, start: Instant::now(), store: MemoryStore::new(), state: Mutex::default() })
    }

    /// Where a call goes.
    pub(super) fn uri(&self, group: usize, call: usize) -> &Uri {
        &self.uris[group][call % self.uris[group].len()]
    }

    /// Since the beginning, as a clock on the wall that nobody sets would say.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed() + self.state().slept
    }

    /// When that will be on tokio's clock, if nobody sleeps before.
    pub(super) fn instant(&self, time: Duration) -> Instant {
        self.start + time.saturating_sub(self.state().slept)
    }

    pub(super) fn sleep(&self, time: Duration) {
        self.state().slept += time;
    }

    pub(super) fn revoke(&self, scope: Option<&str>) {
        for token in self.state().seen.tokens.iter_mut().filter(|token| scope.is_none_or(|scope| token.scope == scope))
        {
            token.revoked = true;
        }
    }

    pub(super) fn called(&self, call: Call) -> usize {
        let mut state = self.state();
        state.seen.calls.push(call);
        state.seen.calls.len() - 1
    }

    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        change(&mut self.state().seen)
    }

    pub(super) fn take_seen(&self) -> Seen {
        let mut seen = std::mem::take(&mut self.state().seen);
        seen.store_operations = self.store.operations().len() as u64;
        seen
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A scenario may let the server panic.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A token request arrives.
    fn arrived(&self, instance: u64, scope: &str) -> Option<(usize, &Server)> {
        let now = self.now();
        let mut state = self.state();
        let fits = |index: usize, rule: &Server| {
            let given = state.given.get(&index).copied().unwrap_or_default();
            rule.from.0 <= now
                && rule.until.is_none_or(|until| now < until.0)
                && rule.scope.as_ref().is_none_or(|only| only.0.iter().any(|only| only == scope))
                && rule.instance.is_none_or(|only| only == instance + 1)
                && rule.times.is_none_or(|times| given < times)
        };
        let rule = self.scenario.server.iter().enumerate().rfind(|(index, rule)| fits(*index, rule));
        let Some((index, rule)) = rule else {
            state.seen.mistakes.push(format!("a token request for which no [[server]] applies, at {now:?}"));
            return None;
        };
        *state.given.entry(index).or_default() += 1;
        let scope = scope.to_owned();
        state.seen.requests.push(TokenRequestSeen { instance, scope, started: now, ended: None });
        Some((state.seen.requests.len() - 1, rule))
    }

    /// Hands out a token. It lives from when the token request arrived.
    fn issue(&self, request: usize, rule: &Server) -> (usize, Option<toml::Value>) {
        let now = self.now();
        let mut state = self.state();
        let seen = &mut state.seen;
        let asked = &seen.requests[request];
        let (scope, asked_at) = (asked.scope.clone(), asked.started);
        let last = seen.tokens.iter().rposition(|token| token.scope == scope);
        let left = |token: &Issued| token.dies_at.map(|dies_at| dies_at.saturating_sub(asked_at).as_secs());
        let counted = |left: u64| Some(toml::Value::Integer(i64::try_from(left).unwrap_or(i64::MAX)));
        let again = match (rule.token.unwrap_or(Handed::New), last) {
            (Handed::Same, Some(last)) => Some((last, rule.expires_in.clone())),
            (Handed::SameUntilItExpires, Some(last)) => match left(&seen.tokens[last]) {
                Some(0) => None,
                left => Some((last, left.and_then(counted))),
            },
            (Handed::SameEvenExpired, Some(last)) => Some((last, left(&seen.tokens[last]).and_then(counted))),
            _ => None,
        };
        if let Some((last, expires_in)) = again {
            let token = &mut seen.tokens[last];
            token.responded = now;
            if rule.token == Some(Handed::Same) {
                token.dies_at = dies_at(asked_at, rule);
            }
            return (last, expires_in);
        }
        seen.tokens.push(Issued { scope, responded: now, dies_at: dies_at(asked_at, rule), revoked: false });
        (seen.tokens.len() - 1, rule.expires_in.clone())
    }

    /// A request arrives at an API. Returns whether it accepts the token, and what it says if not.
    fn asked(&self, name: &str, token: Option<usize>, trace: &Trace) -> (StatusCode, Option<String>, Duration) {
        let now = self.now();
        let mut state = self.state();
        let rule = self
            .scenario
            .api
            .iter()
            .rfind(|api| api.name == name && api.from.0 <= now && api.until.is_none_or(|until| now < until.0));
        let tokens = &state.seen.tokens;
        let dead = |token: usize| tokens[token].revoked || tokens[token].dies_at.is_some_and(|dies_at| dies_at <= now);
        let rejected = match (token, rule.and_then(|rule| rule.rejects.as_ref())) {
            (None, _) => true,
            (Some(token), None) => dead(token),
            (Some(token), Some(rejects)) => rejects.0.iter().any(|rejects| match rejects {
                Rejects::Every => true,
                Rejects::None => false,
                Rejects::This(name) => name.0 == token,
            }),
        };
        let unknown = rule.and_then(|rule| rule.knows_tokens_after).unwrap_or_default().0;
        let rejected = rejected || token.is_some_and(|token| now < tokens[token].responded + unknown);
        // Whoever waited for the flight that brought it may have it, however short its life.
        if let Some(token) = token
            && tokens[token].dies_at.is_some_and(|dies_at| dies_at <= now)
            && tokens[token].responded < trace.called_at
        {
            state.seen.mistakes.push(format!(
                "{} was attached at {} although it had died",
                TokenName(token),
                clock_face(now)
            ));
        }
        let takes = rule.and_then(|rule| rule.takes).unwrap_or_default().0;
        if !rejected {
            return (StatusCode::OK, None, takes);
        }
        let challenge = rule.map_or("Bearer error=\"invalid_token\"", |Api { challenge, .. }| challenge);
        let status = rule.and_then(|rule| StatusCode::from_u16(rule.status).ok()).unwrap_or(StatusCode::UNAUTHORIZED);
        (status, (!challenge.is_empty()).then(|| challenge.to_owned()), takes)
    }
}

/// When a token dies that is handed out now; never, if nobody can tell, or by zero or less, which states nothing.
fn dies_at(asked_at: Duration, rule: &Server) -> Option<Duration> {
    let seconds = match rule.expires_in.as_ref()? {
        toml::Value::Integer(seconds) => *seconds as f64,
        toml::Value::Float(seconds) => *seconds,
        other => other.as_str()?.parse().ok()?,
    };
    let lifetime = Duration::try_from_secs_f64(seconds).ok().filter(|lifetime| !lifetime.is_zero())?;
    asked_at.checked_add(lifetime)
}

/// The way to the authorization server.
pub(super) struct Network {
    pub(super) world: Arc<World>,
    pub(super) instance: u64,
}

#[async_trait]
impl HttpClient for Network {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let scope = form_urlencoded::parse(request.body().as_ref())
            .find(|(name, _)| name == "scope")
            .map(|(_, scope)| scope.into_owned())
            .unwrap_or_default();
        let Some((number, rule)) = self.world.arrived(self.instance, &scope) else {
            return Err(Error::transient("the scenario does not say how the server responds"));
        };
        let mut exchange = Exchange { world: &self.world, number, ended: Ended::Abandoned };
        if let Some(takes) = rule.takes {
            sleep(takes.0).await;
        }
        exchange.respond(rule).await
    }
}

/// Writes down how a token request ended, also when its caller went away.
struct Exchange<'a> {
    world: &'a World,
    number: usize,
    ended: Ended,
}

impl Exchange<'_> {
    async fn respond(&mut self, rule: &Server) -> Result<Response<SecretBody>, Error> {
        let fails = |kind: io::ErrorKind| Err(Error::transient(io::Error::from(kind)));
        match rule.kind {
            Kind::Token => {
                let (token, expires_in) = self.world.issue(self.number, rule);
                let stated = expires_in.as_ref().map(json);
                let life = stated.as_ref().map_or("a time not stated".to_owned(), |stated| format!("{stated} s"));
                self.ended = Ended::Token(token, life);
                let mut members = serde_json::Map::new();
                members.insert("access_token".into(), TokenName(token).to_string().into());
                members.insert("token_type".into(), "Bearer".into());
                if let Some(stated) = stated {
                    members.insert("expires_in".into(), stated);
                }
                if let Some(refresh_in) = &rule.refresh_in {
                    members.insert("refresh_in".into(), json(refresh_in));
                }
                Ok(Response::new(serde_json::Value::from(members).to_string().into()))
            }
            Kind::Status(status) => {
                self.ended = Ended::Failed(match &rule.error {
                    Some(error) => format!("{status} {error}"),
                    None => status.to_string(),
                });
                Ok(failure(status, rule))
            }
            Kind::Refused => {
                self.ended = Ended::Failed("connection refused".into());
                fails(io::ErrorKind::ConnectionRefused)
            }
            Kind::Reset => {
                self.ended = Ended::Failed("connection reset".into());
                fails(io::ErrorKind::ConnectionReset)
            }
            Kind::NameNotFound => {
                self.ended = Ended::Failed("name not found".into());
                Err(Error::transient(io::Error::other("failed to lookup address information")))
            }
            Kind::Never => std::future::pending().await,
            Kind::Panic => {
                self.ended = Ended::Failed("panic".into());
                panic!("as the scenario says")
            }
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        let now = self.world.now();
        let ended = std::mem::replace(&mut self.ended, Ended::Abandoned);
        // After the end of the scenario, nobody looks any more.
        self.world.update(|seen| {
            if let Some(request) = seen.requests.get_mut(self.number) {
                request.ended = Some((now, ended));
            }
        });
    }
}

fn failure(status: u16, rule: &Server) -> Response<SecretBody> {
    let mut response = Response::builder().status(status);
    if let Some(retry_after) = &rule.retry_after {
        let text = retry_after
            .as_str()
            .map_or_else(|| retry_after.as_integer().unwrap_or_default().to_string(), str::to_owned);
        response = response.header(header::RETRY_AFTER, text);
    }
    if let Some(ahead) = rule.retry_after_date {
        let shift = Duration::from_millis(rule.clock_ahead.map_or(0, |step| step.milliseconds.unsigned_abs()));
        let date = match rule.clock_ahead {
            Some(step) if step.milliseconds < 0 => SystemTime::now() - shift,
            _ => SystemTime::now() + shift,
        };
        response = response
            .header(header::DATE, httpdate::fmt_http_date(date))
            .header(header::RETRY_AFTER, httpdate::fmt_http_date(date + ahead.0));
    }
    let body = match (&rule.error, &rule.body) {
        (Some(error), _) => serde_json::json!({ "error": error }).to_string(),
        (None, body) => body.clone().unwrap_or_default(),
    };
    response.body(body.into()).expect("a response")
}

fn json(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(value) => (*value).into(),
        other => other.as_str().unwrap_or_default().into(),
    }
}

/// An API behind the layer.
#[derive(Clone)]
pub(super) struct Apis {
    pub(super) world: Arc<World>,
}

impl tower::Service<Request<()>> for Apis {
    type Response = Response<()>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let world = Arc::clone(&self.world);
        Box::pin(async move {
            let trace = request.extensions().get::<Trace>().expect("the caller's trace").clone();
            let name = request.uri().host().unwrap_or_default().split(['.', '-']).next().unwrap_or_default();
            let token = request.headers().get(header::AUTHORIZATION).and_then(|value| {
                let number: usize = value.to_str().ok()?.strip_prefix("Bearer token-")?.parse().ok()?;
                number.checked_sub(1)
            });
            let (status, challenge, takes) = world.asked(name, token, &trace);
            {
                let mut sent = trace.seen.lock().expect("no panic");
                sent.times += 1;
                sent.token = token;
                sent.in_api += takes;
            }
            if !takes.is_zero() {
                sleep(takes).await;
            }
            let mut response = Response::builder().status(status);
            if let Some(challenge) = challenge {
                response = response.header(header::WWW_AUTHENTICATE, challenge);
            }
            Ok(response.body(()).expect("a response"))
        })
    }
}
