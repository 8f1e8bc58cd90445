//! Finds the token endpoint in the metadata of an issuer (OpenID Connect Discovery 1.0, RFC 8414).

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{
    Response, Uri,
    uri::{self, Scheme},
};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::{
    endpoint::{EndpointConfig, TokenEndpoint},
    mask::Mask,
    members::{self, Member, Members, text},
    request,
    response::{invalid, limited, not_redirected, retry_after},
};
use crate::{
    error::{Error, ErrorKind},
    host::{canonical, is_same_host},
    http_client::{self, HttpClient, SecretBody},
    lock::lock,
    origin::Target,
    report::log,
};

/// How long the metadata is used while the token endpoint works.
const REFRESH_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is used after the token endpoint or the last look-up failed.
const RECHECK_AFTER: Duration = Duration::from_secs(60);
/// The part of the time limit for a look-up while an older endpoint is cached, and for waiting for another look-up.
const LOOK_UP_SHARE: u32 = 4;

/// Most servers use the first. RFC 8414 puts the second before the issuer's path; some servers (django-oauth-toolkit)
/// put it after the path.
const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// Looks up the token endpoint, and caches it.
pub(super) struct Discovery {
    /// Exactly as it was configured: it is compared as a string (RFC 8414 section 3.3).
    issuer: String,
    config: EndpointConfig,
    /// The issuer's URL.
    url: Uri,
    urls: Vec<Uri>,
    last: Mutex<Option<LookUp>>,
    /// Held during a look-up, so that callers that have no endpoint do not all send one.
    turn: tokio::sync::Mutex<()>,
}

/// The last look-up that found an endpoint, or that failed before there was one.
struct LookUp {
    outcome: Result<Arc<TokenEndpoint>, Error>,
    at: Instant,
    checked_at: Instant,
    doubted: bool,
}

impl Discovery {
    pub(super) fn new(issuer: String, config: EndpointConfig) -> Result<Self, Error> {
        let refuse = |what: &str| {
            Err(Error::configuration(format!(
                "issuer: {what}; write it exactly as the server does, such as `https://auth.example.com`"
            )))
        };
        let url = match TokenEndpoint::read(&issuer, config.plain_http) {
            Ok(endpoint) => endpoint.url,
            Err(what) => return refuse(what),
        };
        if issuer.contains('?') {
            return refuse("has a query");
        }
        if issuer.contains("/.well-known/") {
            return refuse("is the URL of a metadata document; its issuer is the part before `/.well-known/`");
        }
        let path = url.path().strip_suffix('/').unwrap_or(url.path());
        let mut paths = vec![format!("{path}{OPENID}"), format!("{OAUTH}{path}"), format!("{path}{OAUTH}")];
        paths.dedup();
        let urls = paths.into_iter().map(|path| uri::Builder::from(url.clone()).path_and_query(path).build());
        let Ok(urls) = urls.collect() else { return refuse("is not a URL") };
        Ok(Self { issuer, config, url, urls, last: Mutex::default(), turn: tokio::sync::Mutex::default() })
    }

    /// The token endpoint. `limit` is the time limit of the whole token request; `mask` hides what the server has
    /// received so far.
    pub(super) async fn endpoint(
        &self,
        client: &dyn HttpClient,
        limit: Duration,
        mask: &Mask,
    ) -> Result<Arc<TokenEndpoint>, Error> {
        let came = Instant::now();
        if let Some(endpoint) = self.current(came) {
            return Ok(endpoint);
        }
        let share = limit / LOOK_UP_SHARE;
        // The wait is bounded, because the runtime of the caller that holds the lock may be stopped.
        let _turn = timeout(share, self.turn.lock()).await.ok();
        if let Some(outcome) = self.outcome_since(came) {
            return outcome;
        }
        let has_endpoint = lock(&self.last).as_ref().is_some_and(|last| last.outcome.is_ok());
        let limit = if has_endpoint { share } else { limit };
        let outcome = timeout(limit, self.look_up(client, mask)).await;
        self.finish(outcome.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "no response in time"))))
    }

    /// Called when the token endpoint failed without an OAuth error: it may have moved.
    pub(super) fn doubt(&self) {
        if let Some(last) = &mut *lock(&self.last) {
            last.doubted = true;
        }
    }

    /// The cached endpoint. `None`: this caller looks it up. If it is cached, the other callers use it until then.
    fn current(&self, now: Instant) -> Option<Arc<TokenEndpoint>> {
        let mut last = lock(&self.last);
        let last = last.as_mut()?;
        let endpoint = last.outcome.as_ref().ok()?;
        let lifetime = if last.doubted { RECHECK_AFTER } else { REFRESH_AFTER };
        if now.duration_since(last.checked_at) < lifetime {
            return Some(Arc::clone(endpoint));
        }
        (last.checked_at, last.doubted) = (now, true);
        None
    }

    /// The outcome of another caller's look-up.
    fn outcome_since(&self, came: Instant) -> Option<Result<Arc<TokenEndpoint>, Error>> {
        let last = lock(&self.last);
        // On a paused clock, a failure of the same instant may be from before.
        let is_later = |last: &&LookUp| last.at > came || (last.at == came && last.outcome.is_ok());
        last.as_ref().filter(is_later).map(|last| last.outcome.clone())
    }

    fn finish(&self, found: Result<TokenEndpoint, Error>) -> Result<Arc<TokenEndpoint>, Error> {
        let now = Instant::now();
        let mut last = lock(&self.last);
        let outcome = found.map(Arc::new).map_err(|error| error.about(&format!("discovery of {} failed", self.issuer)));
        match (&outcome, &*last) {
            (Ok(endpoint), _) => log::discovered(&self.issuer, &endpoint.name),
            (Err(error), Some(LookUp { outcome: Ok(endpoint), at, .. })) => {
                log::not_discovered(&self.issuer, error, now.duration_since(*at));
                return Ok(Arc::clone(endpoint));
            }
            (Err(_), _) => {}
        }
        *last = Some(LookUp { outcome: outcome.clone(), at: now, checked_at: now, doubted: false });
        outcome
    }

    async fn look_up(&self, client: &dyn HttpClient, mask: &Mask) -> Result<TokenEndpoint, Error> {
        // Grouped by message, because most failures are the same at all URLs.
        let mut failures: Vec<(String, Error)> = Vec::new();
        for url in &self.urls {
            let response = http_client::send(client, request::to(url, SecretBody::default())).await;
            let error = match response.and_then(|response| self.read(&response, mask)) {
                Ok(endpoint) => return Ok(endpoint),
                Err(error) if is_about_the_document(&error) => error,
                Err(error) => return Err(error.about(&url.to_string())),
            };
            match failures.iter_mut().find(|(_, earlier)| earlier.to_string() == error.to_string()) {
                Some((urls, _)) => *urls = format!("{urls}, {url}"),
                None => failures.push((url.to_string(), error)),
            }
        }
        let texts: Vec<_> = failures.iter().map(|(urls, error)| format!("{urls}: {error}")).collect();
        // An invalid document is more informative than a missing one.
        let telling = failures.into_iter().map(|(_, error)| error);
        let telling = telling.min_by_key(|error| error.kind() != ErrorKind::InvalidResponse);
        Err(telling.unwrap_or_else(|| invalid("no document".into())).with_message(texts.join("; ")))
    }

    fn read(&self, response: &Response<SecretBody>, mask: &Mask) -> Result<TokenEndpoint, Error> {
        let status = response.status();
        not_redirected(response, self.url.scheme_str().unwrap_or_default(), mask)?;
        let outcome = if !status.is_success() {
            let error = Error::new(ErrorKind::Status, format!("HTTP {}", status.as_u16()));
            Err(error.with_retry_after(retry_after(response.headers()).unwrap_or_default()))
        } else {
            limited(response).and_then(|body| match members::of_json(&text(body)) {
                Some(members) => self.token_endpoint(&members, mask),
                None => Err(invalid(format!("the response ({}) is not a metadata document", mask.outline(response)))),
            })
        };
        outcome.map_err(|error| error.with_status(status))
    }

    fn token_endpoint(&self, members: &Members<'_>, mask: &Mask) -> Result<TokenEndpoint, Error> {
        let config = &self.config;
        let issuer = string(members, "issuer")?;
        if *issuer != self.issuer {
            return Err(invalid(format!("the document's issuer is {:?}", mask.quote(&issuer)))
                .with_advice("write the issuer exactly as the server does")
                .lasting());
        }
        let aliases = members.get("mtls_endpoint_aliases").filter(|_| config.mtls_aliases).and_then(Member::object);
        let alias = aliases.filter(|aliases| aliases.get("token_endpoint").is_some_and(|alias| alias.kind() != "null"));
        let text = string(alias.as_ref().unwrap_or(members), "token_endpoint")?;
        let endpoint = TokenEndpoint::read(&text, config.plain_http)
            .map_err(|what| invalid(format!("the document's token_endpoint {:?} {what}", mask.quote(&text))))?;
        if !self.is_allowed(&endpoint.url) {
            let origin = Target::of_uri(&endpoint.url).map(|target| mask.quote(&target.to_origin()));
            return Err(invalid(format!(
                "the document's token_endpoint is at {}, which is neither the issuer's host over https nor an allowed origin",
                origin.unwrap_or_default()
            ))
            .with_advice("if that is its place, allow that origin with `.token_endpoint_origin(..)`")
            .lasting());
        }
        Ok(TokenEndpoint { name: mask.quote(&endpoint.name), url: endpoint.url })
    }

    /// Whether the URL is on the issuer's host (over https, unless the issuer is plain http) or at an allowed origin.
    fn is_allowed(&self, url: &Uri) -> bool {
        let secure = url.scheme() == Some(&Scheme::HTTPS) || self.url.scheme() == Some(&Scheme::HTTP);
        let (host, own) = (url.host().unwrap_or_default(), self.url.host().unwrap_or_default());
        let same_host = is_same_host(canonical(host), canonical(own));
        let named = |target| matches!(self.config.origins.permit(&target), Ok(Some(_)));
        (secure && same_host) || Target::of_uri(url).is_some_and(named)
    }
}

fn string(members: &Members<'_>, name: &str) -> Result<Zeroizing<String>, Error> {
    match members.get(name).map(Member::string) {
        Some(Ok(text)) => Ok(text),
        Some(Err(what)) => Err(invalid(format!("the document's {name} is {what}, not a string"))),
        None => Err(invalid(format!("the document has no {name}"))),
    }
}

/// Whether the document may be at another URL: the server responded, and is not busy or down.
fn is_about_the_document(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::InvalidResponse | ErrorKind::Redirect => true,
        ErrorKind::Status => {
            !error.status().is_some_and(|status| matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504))
        }
        _ => false,
    }
}
