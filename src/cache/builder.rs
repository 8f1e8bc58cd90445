//! What a user configures.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use super::{
    Clock, Shared, TokenCache,
    context::Context,
    endpoint::Endpoint,
    keys::{self, Keys},
    lease::Leases,
    renewal::Settings,
    slot::Slot,
};
use crate::{
    error::Error, origin::Origins, report::Reporter, source::TokenSource, token::LONGEST_LIFETIME,
    token_request::TokenRequest,
};

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
    pub(super) fn new(source: impl TokenSource) -> Self {
        Self {
            source: Arc::new(source),
            origins: Origins::default(),
            refused: None,
            settings: Settings::default(),
            most_keys: keys::MOST,
            clock: Clock::system(),
        }
    }

    /// With the origins that the source names itself.
    pub(super) fn with_origins_of_source(mut self) -> Self {
        if let Some(origins) = self.source.origins() {
            self.origins.extend(origins);
        }
        self
    }

    /// Names an origin that the tokens may be sent to, such as `https://api.example.com`; as often as needed. Adds to
    /// the origins that the source names itself.
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

    /// How long before its end a token counts as expired; 5 % of its lifetime, and 10 seconds at most. For servers and
    /// APIs whose clocks differ from this machine's by more than that. At most half of the lifetime.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.settings.leeway = Some(leeway);
        self
    }

    /// The lifetime of a token whose server does not state one (`expires_in` is only recommended by RFC 6749 section
    /// 5.1); one hour.
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

    /// Renews the source's own token with or without traffic, for those who cannot have a cold call after an idle time.
    /// Starts with the first call ([`TokenCache::try_token`] starts it without waiting) and stops when the last handle
    /// is gone. When the runtime that it runs in ends, it goes on in that of the next call. Costs a token request per
    /// lifetime, forever; without it, idle costs nothing.
    pub fn keep_warm(mut self) -> Self {
        self.settings.keep_warm = true;
        self
    }

    /// How many tokens are kept beside the source's own, for requests that ask for another scope, resource, audience or
    /// parameter; 1 000. For those who serve more tenants: beyond it the least used goes, and is asked for again when
    /// it is wanted. One that somebody waits for, or that has a handle of its own, stays; of those that are held back
    /// after a failure, as many again may stay.
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
    pub fn build(self) -> Result<TokenCache, Error> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let complete = self.with_origins_of_source();
        if complete.origins.is_empty() {
            return Err(Origins::missing());
        }
        Ok(complete.finish())
    }

    pub(super) fn finish(self) -> TokenCache {
        let report = Reporter::new(self.source.name());
        let keys = Keys::new(self.most_keys, self.source.defaults());
        let context = Arc::new(Context {
            source: self.source,
            settings: self.settings,
            clock: self.clock,
            endpoint: Endpoint::default(),
            report,
            streaks: AtomicUsize::new(0),
        });
        let default = Slot::new(Arc::clone(&context), TokenRequest::default(), Leases::copied());
        let shared = Shared { context, origins: self.origins, default: Arc::clone(&default), keys };
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
