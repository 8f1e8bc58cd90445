//! One token for everybody: shared, renewed beside the traffic, replaced when it was rejected.

// Public for tests alone.
#[cfg_attr(not(feature = "test-util"), allow(unreachable_pub))]
mod clock;
mod endpoint;
#[cfg(test)]
mod fleet;
mod flight;
mod keys;
mod renewal;
mod slot;
mod status;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, Sleep};

#[cfg_attr(not(feature = "test-util"), allow(unreachable_pub))]
pub use self::clock::Clock;
pub use self::status::Status;
use self::{
    clock::Moment,
    endpoint::Endpoint,
    flight::{Joined, Outcome},
    keys::Keys,
    renewal::Settings,
    slot::{AskedBy, Context, Slot, Step},
};
use crate::{
    challenge::Rejection,
    client_credentials::ClientCredentials,
    error::{Error, ErrorKind},
    origin::{Mentioned, Origins},
    report::Reporter,
    runtime,
    source::{TokenRequest, TokenSource},
    token::{AccessToken, LONGEST_LIFETIME},
};

/// Always has a token: fetches, shares and renews what a [`TokenSource`] gives.
///
/// A handle that is cheap to clone; the clones share their tokens. Make one for a source, and give clones of it to every layer, middleware
/// and task that sends requests with these tokens.
///
/// # The life of a token
///
/// - *Fresh*: attached at once.
/// - *Aging*, from a quarter of its lifetime before its end (at most an hour, and up to a tenth of that earlier, differently for each
///   cache): attached at once; the first caller starts the renewal beside the traffic. If it fails, it is tried again with
///   back-off, and the token serves on.
/// - *Expired*, from a little before its end (5 % of the lifetime, at most 10 seconds): callers wait for the one token request in flight.
///   While requests are held back after a failure they fail at once, with its cause and the time to come back.
/// - *Suspect*: rejected before it expired. It is renewed; if that fails it serves on, since other APIs may still take it.
///
/// Expiry counts from when the token was asked for, on the monotonic and on the wall clock, whichever is first there. (On Linux as of the kernel's last tick,
/// which is at most 10 ms ago.)
///
/// # The runtime
///
/// A token at hand is served anywhere. To fetch one, a call needs to be made within a tokio runtime with a timer (`enable_all` or `enable_time`; `#[tokio::main]` has it), and
/// is an [`ErrorKind::Runtime`] elsewhere. Whether a runtime has a timer, tokio says by a panic alone. It is caught, but a panic hook sees it (the usual one
/// prints "timers are disabled"), and where panics abort (`panic = "abort"`) a fetch or a due renewal in a runtime without a timer ends the process.
///
/// # Why a quarter
///
/// Of 1 000 instances with one-hour tokens, an outage of the authorization server of 10, 15 or 30 minutes leaves 94,
/// 192 or 460 without a token if they renew five minutes before the end, and 0, 1 or 347 if they renew a quarter before it. When 1 000
/// instances restart at once against a limit of 100 token requests a minute, the last is served after 9.7 minutes, of 10 that the limit
/// allows for. (`cargo test --lib fleet -- --nocapture` in the repository computes these figures.)
#[derive(Clone)]
pub struct TokenCache {
    shared: Arc<Shared>,
    /// The token that this handle means where nothing else is said.
    own: Arc<Slot>,
}

struct Shared {
    context: Arc<Context>,
    origins: Origins,
    mentioned: Mentioned,
    default: Arc<Slot>,
    keys: Keys,
}

impl TokenCache {
    /// A cache over a source of your own, or with settings of your own.
    pub fn builder(source: impl TokenSource) -> TokenCacheBuilder {
        TokenCacheBuilder {
            source: Arc::new(source),
            origins: Origins::default(),
            refused: None,
            settings: Settings::default(),
            most_keys: keys::MOST,
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
        self.acquire(&self.own, None).await
    }

    /// As [`token`](Self::token), for another scope, resource, audience or further parameters.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub async fn token_for(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        self.acquire(&self.slot(Some(request)), None).await
    }

    /// A handle of this cache that means another token: what [`token`](Self::token) gives, and what an adapter attaches where a request does
    /// not say otherwise itself.
    ///
    /// For the layer over `reqwest::Request`, which shows its extensions to nobody, and for clients that each have their own scope. Such a
    /// token is not forgotten while its handle lives.
    ///
    /// ```no_run
    /// use client_credentials::{BearerAuthLayer, ClientCredentials, TokenCache, TokenRequest};
    ///
    /// let tokens = TokenCache::from(
    ///     ClientCredentials::builder("https://auth.example.com/oauth2/token", "abcde", "12345")
    ///         .origin("https://api.example.com")
    ///         .build()?,
    /// );
    /// let orders = tokens.with_request(&TokenRequest::builder().scope("orders:write").build()?);
    /// let stats = tokens.with_request(&TokenRequest::builder().scope("stats:read").build()?);
    /// let layers = [BearerAuthLayer::new(orders), BearerAuthLayer::new(stats)];
    /// # Ok::<(), client_credentials::Error>(())
    /// ```
    #[must_use]
    pub fn with_request(&self, request: &TokenRequest) -> Self {
        Self { shared: Arc::clone(&self.shared), own: self.slot_of(request, AskedBy::Handle) }
    }

    /// How the source's own token stands, for readiness probes and status pages.
    ///
    /// A probe can bring back what it took out of traffic: while there is no token because the last token request failed, asking starts the
    /// next one when it is due. Otherwise asking starts nothing.
    pub fn status(&self) -> Status {
        let slot = &self.own;
        let status = slot.status();
        if !status.is_ready() && status.held_back_for().is_none() {
            let _ = slot.step(None);
        }
        status
    }

    /// The token at hand, without waiting. Starts the renewal where it is due, and the first fetch where there is no token.
    pub fn try_token(&self) -> Option<AccessToken> {
        match self.own.current() {
            Some(token) => Some(token),
            None => match self.own.step(None) {
                Step::Serve(token) => Some(token),
                _ => None,
            },
        }
    }

    /// Reports that an API rejected this token before it expired. The renewal starts at once if the cache still holds that token, and
    /// callers wait for it; how often a rejection can cause a token request is bounded.
    pub fn reject(&self, token: &AccessToken) {
        let slot = self.slot(token.request());
        self.shared.context.report.rejection(None);
        if slot.reject(token, "", Rejection::Explicit) {
            let _ = slot.step(Some(token));
        }
    }

    /// The token to attach, if nothing about it needs to be decided. Starts nothing.
    #[inline]
    pub(crate) fn at_hand(&self, request: Option<&TokenRequest>) -> Option<AccessToken> {
        match request {
            None => self.own.current(),
            Some(request) => self.slot(Some(request)).current(),
        }
    }

    /// The token to attach, with waiting.
    pub(crate) async fn wait(self, request: Option<TokenRequest>) -> Result<AccessToken, Error> {
        self.acquire(&self.slot(request.as_ref()), None).await
    }

    /// An API at this origin rejected the token. The renewal starts at once, and nobody waits for it.
    pub(crate) fn reject_at(&self, token: &AccessToken, origin: &str, rejection: Rejection) {
        let slot = self.slot(token.request());
        self.shared.context.report.rejection(Some(rejection));
        if slot.reject(token, origin, rejection) {
            let _ = slot.step(None);
        }
    }

    /// Another token than the rejected one, if one can be had.
    pub(crate) async fn recover(
        self,
        rejected: AccessToken,
        origin: String,
        rejection: Rejection,
    ) -> Option<AccessToken> {
        let slot = self.slot(rejected.request());
        self.shared.context.report.rejection(Some(rejection));
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

    /// Where the tokens may go.
    #[inline]
    pub(crate) fn origins(&self) -> &Origins {
        &self.shared.origins
    }

    /// The origins that the log has mentioned.
    pub(crate) fn mentioned(&self) -> &Mentioned {
        &self.shared.mentioned
    }

    pub(crate) fn report(&self) -> &Reporter {
        &self.shared.context.report
    }

    fn slot(&self, request: Option<&TokenRequest>) -> Arc<Slot> {
        match request {
            None => Arc::clone(&self.own),
            Some(request) => self.slot_of(request, AskedBy::Requests),
        }
    }

    fn slot_of(&self, request: &TokenRequest, asked_by: AskedBy) -> Arc<Slot> {
        if request.is_default() {
            return Arc::clone(&self.shared.default);
        }
        self.shared.keys.slot(request, &self.shared.context, asked_by)
    }

    async fn acquire(&self, slot: &Arc<Slot>, unwanted: Option<&AccessToken>) -> Result<AccessToken, Error> {
        if let (None, Some(token)) = (unwanted, slot.current()) {
            return Ok(token);
        }
        let step = match slot.step(unwanted) {
            Step::Serve(token) => return Ok(token),
            step => step,
        };
        let wait = self.shared.context.report.wait();
        let outcome = self.acquire_from(step, slot, unwanted).await;
        wait.ended(outcome.is_ok());
        outcome
    }

    async fn acquire_from(
        &self,
        mut step: Step,
        slot: &Arc<Slot>,
        unwanted: Option<&AccessToken>,
    ) -> Result<AccessToken, Error> {
        let context = &self.shared.context;
        let limit = context.settings.wait_limit;
        // By the monotonic clock alone: a caller's patience has not run out because somebody set the time.
        let give_up = Instant::now() + limit;
        loop {
            match step {
                Step::Serve(token) => return Ok(token),
                Step::Fail(error) => return Err(error),
                Step::Join(_) if flight::is_asked_for(slot) => return Err(waits_for_itself()),
                Step::WaitUntil(until) => self.sleep(until, give_up)?.await,
                Step::Join(flight) => {
                    let deadline = self.sleep(flight.deadline, give_up)?;
                    if let Some(outcome) = outcome_of(flight, deadline).await {
                        return outcome.or_else(|error| slot.usable(unwanted).ok_or(error));
                    }
                }
            }
            if Instant::now() >= give_up {
                return slot.usable(unwanted).ok_or_else(|| waited_too_long(limit));
            }
            step = slot.step(unwanted);
        }
    }

    /// A timer on the caller's runtime; an error where it has none.
    fn sleep(&self, until: Moment, give_up: Instant) -> Result<Sleep, Error> {
        let Some(_runtime) = runtime::with_timer() else { return Err(runtime::missing()) };
        let until = Instant::now() + self.shared.context.clock.now().until(until);
        Ok(tokio::time::sleep_until(until.min(give_up)))
    }
}

/// `None`: the flight is past its deadline, or its runtime has ended.
async fn outcome_of(mut flight: Joined, deadline: Sleep) -> Option<Outcome> {
    let mut deadline = pin!(deadline);
    let mut outcome = pin!(flight.outcome.wait_for(Option::is_some));
    poll_fn(|cx| match outcome.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(outcome.ok().and_then(|outcome| outcome.clone())),
        Poll::Pending => deadline.as_mut().poll(cx).map(|()| None),
    })
    .await
}

fn waits_for_itself() -> Error {
    Error::configuration(
        "the token request would wait for itself: what the token source sends goes through the adapter that waits for its token; give it a client of its own",
    )
}

fn waited_too_long(limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("no token within {limit:?}; the token request goes on"))
}

/// No code that can panic runs under these locks; a poisoned one would still hold a consistent state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    most_keys: usize,
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
            self.settings.assumed_lifetime = lifetime.min(LONGEST_LIFETIME);
        }
        self
    }

    /// How long a caller waits for a token; 30 seconds. The token request goes on for the others.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        if limit.is_zero() {
            self.refuse(Error::configuration("wait_limit: zero; no caller would ever see a first token"));
        } else {
            self.settings.wait_limit = limit.min(LONGEST_LIFETIME);
        }
        self
    }

    /// Renews the source's own token when nobody asks for it, for those who cannot have a cold call after an idle time. Starts
    /// with the first call ([`TokenCache::try_token`] starts it without waiting) and stops when the last handle is gone, or with the runtime of the call that
    /// started the last token request; the next one starts it again. Costs a token request per lifetime, forever; without it, idle costs nothing.
    pub fn keep_warm(mut self) -> Self {
        self.settings.keep_warm = true;
        self
    }

    /// How many tokens are kept beside the source's own, for requests that ask for another scope, resource, audience or parameter; 1 000. For those
    /// who serve more tenants: beyond it the least used goes, and is asked for again when it is wanted. One that somebody waits for, that has
    /// a handle of its own, or that is held back after a failure is not counted out.
    pub fn most_keys(mut self, most: usize) -> Self {
        if most == 0 {
            self.refuse(Error::configuration("most_keys: zero; every such request would ask for a token"));
        }
        self.most_keys = most;
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
            return Err(Origins::missing());
        }
        Ok(self.finish())
    }

    fn finish(self) -> TokenCache {
        let report = Reporter::new(self.source.name());
        let context = Arc::new(Context {
            source: self.source,
            settings: self.settings,
            clock: self.clock,
            endpoint: Endpoint::default(),
            report,
        });
        let default = Slot::new(Arc::clone(&context), TokenRequest::default(), AskedBy::Handle);
        let shared = Shared {
            context,
            origins: self.origins,
            mentioned: Mentioned::default(),
            default: Arc::clone(&default),
            keys: Keys::new(self.most_keys),
        };
        TokenCache { shared: Arc::new(shared), own: default }
    }

    fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }
}

impl fmt::Debug for TokenCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCacheBuilder")
            .field("origins", &self.origins)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
