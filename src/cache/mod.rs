//! One token for everybody: shared, renewed beside the traffic, replaced when it was rejected.

mod clock;
mod renewal;
mod slot;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Semaphore;

pub use self::clock::Clock;
use self::{
    clock::Moment,
    renewal::Settings,
    slot::{Context, Slot, Step, lock},
};
use crate::{
    challenge::Rejection,
    client_credentials::ClientCredentials,
    error::Error,
    origin::{Mentioned, Origins, Permission, Target},
    source::{TokenRequest, TokenSource},
    token::AccessToken,
};

/// Token requests in flight at once, over all keys of a source.
const MOST_IN_FLIGHT: usize = 16;
/// Tokens other than the default one that are kept.
const MOST_KEYS: usize = 1000;

/// Always has a token: fetches, shares and renews what a [`TokenSource`] gives.
///
/// A handle that is cheap to clone; the clones share their tokens. Make one for a source, and give clones of it to every layer, middleware
/// and task that sends requests with these tokens.
#[derive(Clone)]
pub struct TokenCache {
    shared: Arc<Shared>,
}

struct Shared {
    context: Arc<Context>,
    origins: Origins,
    mentioned: Mentioned,
    default: Arc<Slot>,
    keyed: Mutex<Keyed>,
}

#[derive(Default)]
struct Keyed {
    slots: HashMap<TokenRequest, (Arc<Slot>, u64)>,
    uses: u64,
}

impl TokenCache {
    /// A cache over a source of your own, or with settings of your own.
    pub fn builder(source: impl TokenSource) -> TokenCacheBuilder {
        TokenCacheBuilder {
            source: Arc::new(source),
            origins: Origins::default(),
            refused: None,
            settings: Settings::default(),
            clock: Clock::system(),
        }
    }

    /// A usable token: the one at hand, or the outcome of the one token request that all callers share.
    ///
    /// # Errors
    ///
    /// If there is no usable token and none can be had: what the token request failed with; at once while requests are held back
    /// ([`Error::retry_after`] says for how long); after 30 seconds of waiting; outside of a tokio runtime.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        self.acquire(&self.shared.default, None).await
    }

    /// As [`token`](Self::token), for another scope, resource, audience or further parameters.
    pub async fn token_for(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        self.acquire(&self.slot(Some(request)), None).await
    }

    /// The token at hand, without waiting. Starts the renewal where it is due, and the first fetch where there is no token.
    pub fn try_token(&self) -> Option<AccessToken> {
        self.ready(None)
    }

    /// Reports that an API rejected this token before it expired. The renewal starts at once if the cache still holds that token, and
    /// callers wait for it; how often a rejection can cause a token request is bounded.
    pub fn reject(&self, token: &AccessToken) {
        let slot = self.slot(token.request());
        if slot.reject(token, "", Rejection::Explicit) {
            let _ = slot.step(Some(token));
        }
    }

    /// The token to attach, if it needs no waiting.
    pub(crate) fn ready(&self, request: Option<&TokenRequest>) -> Option<AccessToken> {
        let Some(request) = request else {
            return ready(&self.shared.default);
        };
        ready(&self.slot(Some(request)))
    }

    /// The token to attach, with waiting.
    pub(crate) async fn wait(self, request: Option<TokenRequest>) -> Result<AccessToken, Error> {
        self.acquire(&self.slot(request.as_ref()), None).await
    }

    /// Another token than the rejected one, if one can be had.
    pub(crate) async fn recover(
        self,
        rejected: AccessToken,
        origin: String,
        rejection: Rejection,
    ) -> Option<AccessToken> {
        let slot = self.slot(rejected.request());
        if !slot.reject(&rejected, &origin, rejection) {
            return None;
        }
        let token = self.acquire(&slot, Some(&rejected)).await.ok()?;
        (!token.is_same_as(&rejected)).then_some(token)
    }

    /// The origin accepted the token that replaced a rejected one.
    pub(crate) fn accepted(&self, token: &AccessToken, origin: &str) {
        self.slot(token.request()).accepted(origin);
    }

    pub(crate) fn permit(&self, target: &Target<'_>) -> Permission {
        let permission = self.shared.origins.permit(target);
        if permission == Permission::Foreign && self.shared.mentioned.is_first(target) {
            crate::log::not_attached(&target.to_origin());
        }
        permission
    }

    fn slot(&self, request: Option<&TokenRequest>) -> Arc<Slot> {
        match request.filter(|request| **request != TokenRequest::default()) {
            None => Arc::clone(&self.shared.default),
            Some(request) => lock(&self.shared.keyed).slot(request, &self.shared.context),
        }
    }

    async fn acquire(&self, slot: &Arc<Slot>, unwanted: Option<&AccessToken>) -> Result<AccessToken, Error> {
        if let (None, Some(token)) = (unwanted, slot.current()) {
            return Ok(token);
        }
        let context = &self.shared.context;
        let limit = context.settings.wait_limit;
        let give_up = context.clock.now().after(limit);
        loop {
            match slot.step(unwanted) {
                Step::Serve(token) => return Ok(token),
                Step::Fail(error) => return Err(error),
                Step::WaitUntil(until) => sleep_until(&context.clock, until.min(give_up))?.await,
                Step::Join(mut joined) => {
                    let deadline = joined.deadline.min(give_up);
                    let pause = sleep_until(&context.clock, deadline)?;
                    let mut pause = std::pin::pin!(pause);
                    let outcome = joined.outcome.wait_for(Option::is_some);
                    let mut outcome = std::pin::pin!(outcome);
                    let ended = std::future::poll_fn(|cx| match outcome.as_mut().poll(cx) {
                        std::task::Poll::Ready(ended) => {
                            std::task::Poll::Ready(ended.ok().and_then(|ended| ended.clone()))
                        }
                        std::task::Poll::Pending => pause.as_mut().poll(cx).map(|()| None),
                    })
                    .await;
                    // Without an outcome, the flight is past its deadline or its runtime has ended: somebody takes over.
                    if let Some(outcome) = ended {
                        return outcome;
                    }
                }
            }
            if context.clock.now().reached(give_up) {
                return Err(slot::waited_too_long(limit));
            }
        }
    }
}

fn ready(slot: &Arc<Slot>) -> Option<AccessToken> {
    if let Some(token) = slot.current() {
        return Some(token);
    }
    match slot.step(None) {
        Step::Serve(token) => Some(token),
        _ => None,
    }
}

/// A timer on the caller's runtime; an error where it has none.
fn sleep_until(clock: &Clock, until: Moment) -> Result<tokio::time::Sleep, Error> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(slot::no_runtime());
    }
    let wait = clock.now().until(until);
    // tokio panics where the timer is disabled, and has no other way to tell.
    std::panic::catch_unwind(|| tokio::time::sleep(wait)).map_err(|_| slot::no_runtime())
}

impl Keyed {
    fn slot(&mut self, request: &TokenRequest, context: &Arc<Context>) -> Arc<Slot> {
        self.uses += 1;
        if let Some((slot, used)) = self.slots.get_mut(request) {
            *used = self.uses;
            return Arc::clone(slot);
        }
        if self.slots.len() >= MOST_KEYS {
            let least = self.slots.iter().min_by_key(|(_, (_, used))| *used).map(|(request, _)| request.clone());
            if let Some(least) = least {
                self.slots.remove(&least);
            }
        }
        let slot = Slot::new(Arc::clone(context), request.clone());
        self.slots.insert(request.clone(), (Arc::clone(&slot), self.uses));
        slot
    }
}

impl From<ClientCredentials> for TokenCache {
    fn from(source: ClientCredentials) -> Self {
        let origins = source.origins().unwrap_or_default();
        TokenCacheBuilder { origins, ..Self::builder(source) }.finish()
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("origins", &self.shared.origins).finish_non_exhaustive()
    }
}

/// Makes a [`TokenCache`].
#[must_use]
pub struct TokenCacheBuilder {
    source: Arc<dyn TokenSource>,
    origins: Origins,
    refused: Option<Error>,
    settings: Settings,
    clock: Clock,
}

impl TokenCacheBuilder {
    /// Names an origin that the tokens may be sent to, such as `https://api.example.com`; as often as needed. Adds to the origins that
    /// the source names itself.
    pub fn origin(mut self, origin: impl AsRef<str>) -> Self {
        match Origins::new([origin]) {
            Ok(origins) => self.origins.extend(origins),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Lets the tokens go to any `https` origin, and to loopback.
    pub fn any_origin(mut self) -> Self {
        self.origins.extend(Origins::any());
        self
    }

    /// How much of its lifetime before its end a token is renewed; a quarter. Between 0.05 and 0.9.
    pub fn renewal_share(mut self, share: f64) -> Self {
        if (0.05..=0.9).contains(&share) {
            self.settings.share = share;
        } else {
            self.refuse(Error::configuration(format!("renewal_share: {share} is not between 0.05 and 0.9")));
        }
        self
    }

    /// The lifetime of a token whose server does not state one (`expires_in` is only recommended by RFC 6749 section 5.1); one hour.
    pub fn assumed_lifetime(mut self, lifetime: Duration) -> Self {
        if lifetime.is_zero() {
            self.refuse(Error::configuration("assumed_lifetime: zero; write how long such a token is used"));
        } else {
            self.settings.assumed_lifetime = lifetime;
        }
        self
    }

    /// How long a caller waits for a token; 30 seconds. The token request goes on for the others.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        if limit.is_zero() {
            self.refuse(Error::configuration("wait_limit: zero; no caller would ever see a first token"));
        } else {
            self.settings.wait_limit = limit;
        }
        self
    }

    /// Where the cache reads the time; for tests.
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks and finishes it.
    ///
    /// # Errors
    ///
    /// If neither the source nor this builder names an origin, or a setting was refused.
    pub fn build(mut self) -> Result<TokenCache, Error> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        if let Some(origins) = self.source.origins() {
            self.origins.extend(origins);
        }
        if self.origins.is_empty() {
            return Err(missing_origin());
        }
        Ok(self.finish())
    }

    fn finish(self) -> TokenCache {
        let context = Arc::new(Context {
            source: self.source,
            settings: self.settings,
            clock: self.clock,
            permits: Semaphore::new(MOST_IN_FLIGHT),
            endpoint_hold: Mutex::default(),
        });
        let default = Slot::new(Arc::clone(&context), TokenRequest::default());
        let shared = Shared {
            context,
            origins: self.origins,
            mentioned: Mentioned::default(),
            default,
            keyed: Mutex::default(),
        };
        TokenCache { shared: Arc::new(shared) }
    }

    fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }
}

pub(crate) fn missing_origin() -> Error {
    Error::configuration(
        "origin: none; say where the tokens may go with `.origin(\"https://api.example.com\")`, as often as needed, or with `.any_origin()`",
    )
}

impl fmt::Debug for TokenCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCacheBuilder")
            .field("origins", &self.origins)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
