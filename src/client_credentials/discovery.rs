//! Where an issuer has its token endpoint, by its metadata (OpenID Connect Discovery 1.0, RFC 8414).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, Uri,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
    uri::{PathAndQuery, Scheme},
};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::{
    endpoint::Endpoint,
    mask::Mask,
    members::{Member, Members, text},
    quote::Quotes,
    request::AGENT,
    response::{held_back, is_redirect},
};
use crate::{
    error::{Error, ErrorKind},
    host::is_same_host,
    http_client::{self, HttpClient, IsTokenRequest, MOST_BYTES, SecretBody, redirected, too_large},
    origin::{Origins, Permission, Target},
    report::log,
};

/// A token endpoint that works is looked up this seldom.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// One that failed, or that could not be looked up again, is looked up this often.
const AGAIN: Duration = Duration::from_secs(60);
/// Of the time limit, what a look-up may take where there is an older document, and what one waits for another's.
const SHARE: u32 = 4;

/// Most servers have the first. RFC 8414 has the second in front of the issuer's path; some servers
/// (django-oauth-toolkit) have it behind.
const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// Looks the token endpoint up, and remembers it.
pub(super) struct Discovery {
    rules: Rules,
    /// The issuer's.
    url: Uri,
    urls: Vec<Uri>,
    state: Mutex<Memory>,
    /// Whoever has no document yet asks for it alone.
    turn: tokio::sync::Mutex<()>,
}

/// What a document must keep to.
pub(super) struct Rules {
    /// As it was written: it is compared as a string (RFC 8414 section 3.3).
    pub issuer: String,
    /// Where the token endpoint may be, beside the issuer's host.
    pub origins: Origins,
    /// Whether the client has a certificate, and so uses `mtls_endpoint_aliases` (RFC 8705 section 5).
    pub mtls: bool,
    pub plain_http: bool,
}

#[derive(Default)]
struct Memory {
    known: Option<Known>,
    failure: Option<(Instant, Error)>,
}

struct Known {
    endpoint: Arc<Endpoint>,
    discovered_at: Instant,
    asked_at: Instant,
    doubted: bool,
}

enum Action {
    Use(Arc<Endpoint>),
    /// The document is old; until the look-up ends, the others use it.
    LookUpAgain,
    LookUp,
}

impl Discovery {
    pub(super) fn new(rules: Rules) -> Result<Self, Error> {
        let refuse = |what: &str| {
            Err(Error::configuration(format!(
                "issuer: {what}; write it exactly as the server does, such as `https://auth.example.com`"
            )))
        };
        let url = match Endpoint::read(&rules.issuer, rules.plain_http) {
            Ok(endpoint) => endpoint.url,
            Err(what) => return refuse(what),
        };
        if rules.issuer.contains('?') {
            return refuse("has a query");
        }
        if rules.issuer.contains("/.well-known/") {
            return refuse("is the URL of a document; its issuer is the part in front of `/.well-known/`");
        }
        let path = url.path().strip_suffix('/').unwrap_or(url.path());
        let mut paths = vec![format!("{path}{OPENID}"), format!("{OAUTH}{path}"), format!("{path}{OAUTH}")];
        paths.dedup();
        let urls = paths.into_iter().map(|path| {
            let mut parts = url.clone().into_parts();
            parts.path_and_query = path.parse::<PathAndQuery>().ok();
            Uri::from_parts(parts).ok()
        });
        let Some(urls) = urls.collect::<Option<Vec<_>>>() else { return refuse("is not a URL") };
        Ok(Self { rules, url, urls, state: Mutex::default(), turn: tokio::sync::Mutex::default() })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.rules.issuer
    }

    /// The token endpoint. `limit` is the time that there is for all of a token request; `mask` hides what the server
    /// knows by now.
    pub(super) async fn endpoint(
        &self,
        client: &dyn HttpClient,
        limit: Duration,
        mask: &Mask,
    ) -> Result<Arc<Endpoint>, Error> {
        let came = Instant::now();
        match self.action(came) {
            Action::Use(endpoint) => Ok(endpoint),
            Action::LookUpAgain => {
                let outcome = timeout(limit / SHARE, self.look_up(client, mask)).await;
                self.finish(outcome.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "no response in time"))))
            }
            Action::LookUp => {
                // A bounded wait: the runtime of whoever has the turn may stand still.
                let _turn = timeout(limit / SHARE, self.turn.lock()).await.ok();
                let step = self.action(Instant::now());
                let failure = self.state().failure.clone();
                match (step, failure) {
                    (Action::Use(endpoint), _) => Ok(endpoint),
                    (_, Some((at, error))) if at > came => Err(error),
                    _ => self.finish(self.look_up(client, mask).await),
                }
            }
        }
    }

    /// The token endpoint failed otherwise than by an OAuth error: it may be elsewhere by now.
    pub(super) fn doubt(&self) {
        if let Some(known) = &mut self.state().known {
            known.doubted = true;
        }
    }

    fn action(&self, now: Instant) -> Action {
        let mut state = self.state();
        let Some(known) = &mut state.known else { return Action::LookUp };
        let lifetime = if known.doubted { AGAIN } else { LIFETIME };
        if now.duration_since(known.asked_at) < lifetime {
            return Action::Use(Arc::clone(&known.endpoint));
        }
        (known.asked_at, known.doubted) = (now, true);
        Action::LookUpAgain
    }

    fn finish(&self, outcome: Result<Endpoint, Error>) -> Result<Arc<Endpoint>, Error> {
        let now = Instant::now();
        let mut state = self.state();
        match outcome {
            Ok(endpoint) => {
                log::discovered(&self.rules.issuer, &endpoint.name);
                let endpoint = Arc::new(endpoint);
                let known =
                    Known { endpoint: Arc::clone(&endpoint), discovered_at: now, asked_at: now, doubted: false };
                *state = Memory { known: Some(known), failure: None };
                Ok(endpoint)
            }
            Err(error) => {
                let error = error.about(&format!("discovery of {} failed", self.rules.issuer));
                if let Some(known) = &state.known {
                    log::not_discovered(&self.rules.issuer, &error, now.duration_since(known.discovered_at));
                    return Ok(Arc::clone(&known.endpoint));
                }
                state.failure = Some((now, error.clone()));
                Err(error)
            }
        }
    }

    async fn look_up(&self, client: &dyn HttpClient, mask: &Mask) -> Result<Endpoint, Error> {
        // What was wrong, and at which URLs: mostly the same at all of them, and then said once.
        let mut failures: Vec<(String, Error)> = Vec::new();
        for url in &self.urls {
            let outcome = match http_client::send(client, request(url)).await {
                Ok(response) => self.read(&response, &Quotes::new(mask.clone())),
                Err(error) => Err(error),
            };
            let error = match outcome {
                Ok(endpoint) => return Ok(endpoint),
                Err(error) if is_about_the_document(&error) => error,
                Err(error) => return Err(error.about(&url.to_string())),
            };
            match failures.iter_mut().find(|(_, known)| known.to_string() == error.to_string()) {
                Some((urls, _)) => *urls = format!("{urls}, {url}"),
                None => failures.push((url.to_string(), error)),
            }
        }
        let texts: Vec<_> = failures.iter().map(|(urls, error)| format!("{urls}: {error}")).collect();
        // What is wrong with a document says more than that there is none.
        let telling = failures.into_iter().map(|(_, error)| error);
        let telling = telling.min_by_key(|error| error.kind() != ErrorKind::InvalidResponse);
        Err(telling.unwrap_or_else(|| invalid("no document".into())).with_message(texts.join("; ")))
    }

    fn read(&self, response: &Response<SecretBody>, quotes: &Quotes) -> Result<Endpoint, Error> {
        let status = response.status();
        let outcome = if is_redirect(status) {
            Err(redirected(&quotes.redirect(response, self.url.scheme_str().unwrap_or_default())))
        } else if !status.is_success() {
            Err(held_back(Error::new(ErrorKind::Status, format!("HTTP {}", status.as_u16())), response.headers()))
        } else if response.body().as_ref().len() > MOST_BYTES {
            Err(too_large())
        } else {
            match Members::of_json(&text(response.body().as_ref())) {
                Some(members) => self.token_endpoint(&members, quotes),
                None => Err(invalid(format!(
                    "the response (HTTP {}, {} bytes, {}) is not a metadata document",
                    status.as_u16(),
                    response.body().as_ref().len(),
                    quotes.header(response, CONTENT_TYPE).unwrap_or_else(|| "without a content type".into()),
                ))),
            }
        };
        outcome.map_err(|error| error.with_status(status))
    }

    fn token_endpoint(&self, members: &Members<'_>, quotes: &Quotes) -> Result<Endpoint, Error> {
        let rules = &self.rules;
        let issuer = string(members, "issuer")?;
        if *issuer != rules.issuer {
            return Err(invalid(format!("the document is of the issuer {:?}", quotes.text(&issuer)))
                .with_advice("write the issuer exactly as the server does")
                .lasting());
        }
        let aliases = members.get("mtls_endpoint_aliases").filter(|_| rules.mtls).and_then(Member::object);
        let alias = aliases.filter(|aliases| aliases.get("token_endpoint").is_some_and(|alias| !alias.is_null()));
        let text = string(alias.as_ref().unwrap_or(members), "token_endpoint")?;
        let endpoint = Endpoint::read(&text, rules.plain_http)
            .map_err(|what| invalid(format!("the document's token_endpoint {:?} {what}", quotes.text(&text))))?;
        if !self.may_be_at(&endpoint.url) {
            let origin = Target::of_uri(&endpoint.url).map(|target| quotes.text(&target.to_origin()));
            return Err(invalid(format!(
                "the document's token_endpoint is at {}, which is neither the issuer's host over https nor an origin that was named",
                origin.unwrap_or_default()
            ))
            .with_advice("if it belongs there, name that origin with `.token_endpoint_origin(..)`")
            .lasting());
        }
        // Not the URL, which the document could choose to be that of another server of the client's.
        Ok(Endpoint { audience: rules.issuer.clone(), name: quotes.text(&endpoint.name), ..endpoint })
    }

    /// On the issuer's host, and over https unless the issuer is not; or at an origin that the user named.
    fn may_be_at(&self, url: &Uri) -> bool {
        let secure = url.scheme() == Some(&Scheme::HTTPS) || self.url.scheme() == Some(&Scheme::HTTP);
        let same_host = is_same_host(url.host().unwrap_or_default(), self.url.host().unwrap_or_default());
        let named = |target| matches!(self.rules.origins.permit(&target), Permission::Granted(_));
        (secure && same_host) || Target::of_uri(url).is_some_and(named)
    }

    fn state(&self) -> MutexGuard<'_, Memory> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(url: &Uri) -> Request<SecretBody> {
    let mut request = Request::new(SecretBody::default());
    request.uri_mut().clone_from(url);
    request.extensions_mut().insert(IsTokenRequest);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    request
}

fn string(members: &Members<'_>, name: &str) -> Result<Zeroizing<String>, Error> {
    match members.string(name) {
        Some(Ok(text)) => Ok(text),
        Some(Err(what)) => Err(invalid(format!("the document's {name} is {what}, not a string"))),
        None => Err(invalid(format!("the document names no {name}"))),
    }
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidResponse, what)
}

/// The server responded, and not that it is busy or down: the document may be at the other URL.
fn is_about_the_document(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::InvalidResponse | ErrorKind::Redirect => true,
        ErrorKind::Status => {
            !error.status().is_some_and(|status| matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504))
        }
        _ => false,
    }
}
