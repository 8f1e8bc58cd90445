//! One token for all callers: shared, renewed beside the traffic, replaced when it is rejected.

mod backoff;
mod builder;
// Public only for tests.
#[cfg_attr(not(feature = "test-util"), allow(unreachable_pub))]
mod clock;
mod context;
mod endpoint;
mod fetch;
mod for_adapters;
mod keep_warm;
mod keys;
mod lease;
mod renewal;
mod slot;
mod status;
mod streaks;

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

#[cfg_attr(not(feature = "test-util"), allow(unreachable_pub))]
pub use self::clock::Clock;
pub(crate) use self::lease::{Lease, ThreadLeases};
pub use self::{
    builder::TokenCacheBuilder,
    status::{CacheStatus, ObtainedFrom},
};
use self::{
    clock::Moment,
    context::Context,
    keys::Keys,
    slot::{Slot, Step},
    streaks::BY_HAND,
};
use crate::{
    challenge::Rejection,
    client_credentials::ClientCredentials,
    error::{Error, ErrorKind},
    origin::Origins,
    report::Reporter,
    runtime,
    source::TokenSource,
    token::{AccessToken, TokenNumber},
    token_request::TokenRequest,
};

/// Always has a token: fetches, shares and renews the tokens of a [`TokenSource`].
///
/// A handle that is cheap to clone; the clones share their tokens. Make one cache per source, and give clones of it to
/// every layer, middleware and task that sends requests with these tokens.
///
/// [How it works](crate::docs::how_it_works) shows the life of a token, and lists all numbers.
///
/// # The runtime
///
/// A cached token is available anywhere. Fetching one needs a tokio runtime with a timer (`enable_all` or
/// `enable_time`; `#[tokio::main]` has it), and fails with [`ErrorKind::Runtime`] elsewhere. tokio reports a missing
/// timer only by a panic. The panic is caught, but a panic hook sees it (the default one prints "timers are disabled").
/// Where panics abort (`panic = "abort"`), a fetch or a due renewal in a runtime without a timer ends the process.
#[derive(Clone)]
pub struct TokenCache {
    core: Arc<Core>,
    /// The token of this handle, for requests that name no other.
    own: Arc<Slot>,
}

struct Core {
    context: Arc<Context>,
    origins: Origins,
    keys: Keys,
}

impl TokenCache {
    /// Starts building a cache over your own source, or with your own settings.
    pub fn builder(source: impl TokenSource) -> TokenCacheBuilder {
        TokenCacheBuilder::new(source)
    }

    /// Returns a usable token: the cached one, or the result of the one token request that all callers share.
    ///
    /// It does not check where you send the token. For requests that you send yourself,
    /// [`header_for`](Self::header_for) does, and later reads the response.
    ///
    /// # Errors
    ///
    /// If there is no usable token and none can be obtained: the error of the token request; at once while token
    /// requests are held back ([`Error::retry_after`] says for how long); after 30 seconds of waiting; outside of a
    /// tokio runtime.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        self.hand_out(&self.own).await
    }

    /// Like [`token`](Self::token), for another scope, resource, audience or further parameters.
    ///
    /// # Errors
    ///
    /// Like [`token`](Self::token).
    pub async fn token_for(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        self.hand_out(&self.core.keys.slot(request)).await
    }

    /// Like [`token`](Self::token), for handing the token to a program that cannot renew it: the token can be used for
    /// at least `time`, and its renewal is not due. If that is not so for the cached token, another one is requested;
    /// callers of other methods get the cached token meanwhile.
    ///
    /// ```no_run
    /// # async fn example(tokens: client_credentials::TokenCache) -> Result<(), client_credentials::Error> {
    /// let token = tokens.token_valid_for(std::time::Duration::from_secs(20 * 60)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`token`](Self::token); also while the cached token can still be used, but not for as long as `time`. With
    /// [`ErrorKind::Configuration`], if not even a new token can.
    pub async fn token_valid_for(&self, time: Duration) -> Result<AccessToken, Error> {
        let (slot, since) = (&self.own, self.core.context.clock.now());
        let mut token = self.acquire(slot, None, self.wait_limit()).await?;
        while !slot.lasts(&token, time, since)? {
            token = self.acquire(slot, Some(token.number()), self.wait_limit()).await?;
        }
        self.handed_out(slot, &token);
        Ok(token)
    }

    /// Returns a handle of this cache for another token: [`token`](Self::token) returns it, and adapters attach it to
    /// requests that do not name a token themselves.
    ///
    /// For the layer over `reqwest::Request`, whose extensions are not readable, and for clients that each have their
    /// own scope. The token is kept while its handle exists.
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
        Self { core: Arc::clone(&self.core), own: self.core.keys.slot(request) }
    }

    /// Returns the status of this handle's token, for readiness probes and status pages.
    ///
    /// A call starts the next token request when it is due, if there is no token because the last request failed. So an
    /// instance that a probe took out of traffic recovers. Otherwise a call starts nothing.
    pub fn status(&self) -> CacheStatus {
        let slot = &self.own;
        let status = slot.status();
        if !status.is_ready() && status.held_back_for().is_none() {
            let _ = step(slot, None);
        }
        status
    }

    /// Returns the cached token, without waiting. Starts the renewal if it is due, and a fetch if there is no token.
    pub fn try_token(&self) -> Option<AccessToken> {
        self.try_hand_out().ok().flatten()
    }

    /// Reports that an API rejected this token before it expired. If the cache still holds that token, the renewal
    /// starts as soon as it may, and callers wait for it, at most 5 seconds. The number of token requests that
    /// rejections cause is limited: a token that was handed out and not reported for ten seconds counts as accepted.
    /// While new tokens are rejected before that, renewals are at least 10, 20, 40 … seconds apart.
    pub fn reject(&self, token: &AccessToken) {
        self.report().rejection(None);
        self.reject_by(BY_HAND, "", self.id(token), Rejection::Explicit);
    }

    /// Like [`try_token`](Self::try_token), with the reason if no token request is in flight.
    pub(crate) fn try_hand_out(&self) -> Result<Option<AccessToken>, Error> {
        let slot = &self.own;
        let cached = match slot.leased().map_or_else(|| step(slot, None), Step::Serve) {
            Step::Serve(token) => Some(token),
            Step::Fail(error) => return Err(error),
            _ => None,
        };
        Ok(cached.inspect(|token| self.handed_out(slot, token)))
    }

    /// Where the tokens may be sent.
    #[inline]
    pub(crate) fn origins(&self) -> &Origins {
        &self.core.origins
    }

    pub(crate) fn report(&self) -> &Reporter {
        &self.core.context.report
    }

    fn wait_limit(&self) -> Duration {
        self.core.context.settings.wait_limit
    }

    /// For applications that attach tokens themselves.
    async fn hand_out(&self, slot: &Arc<Slot>) -> Result<AccessToken, Error> {
        let token = self.acquire(slot, None, self.wait_limit()).await?;
        self.handed_out(slot, &token);
        Ok(token)
    }

    /// A token that is handed out counts as accepted until it is reported. That is of interest only while an origin has
    /// a streak of rejections.
    fn handed_out(&self, slot: &Slot, token: &AccessToken) {
        if self.core.context.has_streaks() {
            slot.accepted(token.number(), BY_HAND);
        }
    }

    async fn acquire(
        &self,
        slot: &Arc<Slot>,
        unwanted: Option<TokenNumber>,
        limit: Duration,
    ) -> Result<AccessToken, Error> {
        if let (None, Some(token)) = (unwanted, slot.leased()) {
            return Ok(token);
        }
        let next = match step(slot, unwanted) {
            Step::Serve(token) => return Ok(token),
            next => next,
        };
        let wait = self.report().wait();
        let outcome = self.acquire_from(next, slot, unwanted, limit).await;
        wait.ended(outcome.is_ok(), unwanted.is_some());
        outcome
    }

    async fn acquire_from(
        &self,
        mut next: Step,
        slot: &Arc<Slot>,
        unwanted: Option<TokenNumber>,
        limit: Duration,
    ) -> Result<AccessToken, Error> {
        // On the monotonic clock alone: setting the wall clock does not end a caller's wait.
        let give_up = Instant::now() + limit;
        loop {
            match next {
                Step::Serve(token) => return Ok(token),
                Step::Fail(error) => return Err(error),
                Step::Join(..) if fetch::is_source_of(slot) => return Err(waits_for_itself()),
                Step::WaitUntil(until) => sleep_until(self.wakes_at(until)?.min(give_up)).await,
                Step::Join(flight, until) => {
                    let until = self.wakes_at(until)?.min(give_up);
                    if let Some(outcome) = flight.outcome(until).await {
                        return outcome.or_else(|error| slot.usable(unwanted).ok_or(error));
                    }
                }
            }
            if Instant::now() >= give_up {
                return slot.usable(unwanted).ok_or_else(|| self.waited_too_long(limit));
            }
            next = step(slot, unwanted);
        }
    }

    fn waited_too_long(&self, limit: Duration) -> Error {
        let error = Error::new(ErrorKind::Timeout, format!("no token within {limit:?}; the token request continues"));
        match self.core.context.endpoint.trouble() {
            Some(cause) => error.caused_by(Box::new(cause)),
            None => error,
        }
    }

    /// When a timer of the caller's runtime fires; an error if it has none.
    fn wakes_at(&self, until: Moment) -> Result<Instant, Error> {
        runtime::with_timer().ok_or_else(runtime::missing)?;
        Ok(Instant::now() + self.core.context.clock.now().until(until))
    }
}

/// What a caller does now; starts what is due.
fn step(slot: &Arc<Slot>, unwanted: Option<TokenNumber>) -> Step {
    let step = fetch::step(slot, unwanted);
    keep_warm::ensure(slot);
    step
}

fn waits_for_itself() -> Error {
    Error::configuration(
        "the token request would wait for itself: the token source sends it through the adapter that waits \
         for its token; pass the source a client of its own",
    )
}

impl From<ClientCredentials> for TokenCache {
    fn from(source: ClientCredentials) -> Self {
        TokenCacheBuilder::new(source).finish()
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("origins", &self.core.origins).finish_non_exhaustive()
    }
}
