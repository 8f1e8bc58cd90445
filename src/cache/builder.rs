//! The settings of a cache.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use super::{
    Clock, Core, TokenCache, context::Context, endpoint::Endpoint, keys::Keys, lease::Leases, renewal::Settings,
};
#[cfg(feature = "store")]
use crate::store::{EncryptionKey, Seal, SharedTokens, TokenStore};
use crate::{
    error::Error, origin::Origins, report::Reporter, source::TokenSource, token::LONGEST_LIFETIME,
    token_request::TokenRequest,
};

/// Builds a [`TokenCache`].
///
/// ```
/// use std::time::Duration;
///
/// use client_credentials::{AccessToken, Error, TokenCache, token_fn};
///
/// # fn example() -> Result<(), Error> {
/// let source = token_fn(|_request| async { AccessToken::new("abcde12345") });
/// let tokens = TokenCache::builder(source)
///     .origin("https://api.example.com")
///     .wait_limit(Duration::from_secs(10))
///     .build()?;
/// # let _ = tokens;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct TokenCacheBuilder {
    source: Arc<dyn TokenSource>,
    origins: Origins,
    refused: Option<Error>,
    settings: Settings,
    clock: Clock,
    #[cfg(feature = "store")]
    shared: SharedIn,
}

impl TokenCacheBuilder {
    pub(super) fn new(source: impl TokenSource) -> Self {
        Self {
            origins: source.origins().unwrap_or_default(),
            source: Arc::new(source),
            refused: None,
            settings: Settings::default(),
            clock: Clock::system(),
            #[cfg(feature = "store")]
            shared: SharedIn::default(),
        }
    }

    /// Names an origin that the tokens may be sent to, such as `https://api.example.com`. Can be called repeatedly;
    /// adds to the origins that the source names itself.
    pub fn origin(mut self, origin: impl AsRef<str>) -> Self {
        match Origins::new([origin]) {
            Ok(origins) => self.origins.extend(origins),
            Err(error) => self.refused = self.refused.or(Some(error)),
        }
        self
    }

    /// Allows the tokens to be sent to any `https` origin, and to loopback.
    pub fn any_origin(mut self) -> Self {
        self.origins.extend(Origins::any());
        self
    }

    /// Sets how early a token is renewed, as a share of its lifetime before its end, between 0.05 and 0.9. The default
    /// is a quarter.
    pub fn renewal_share(mut self, share: f64) -> Self {
        self.settings.share = share;
        let is_valid = (0.05..=0.9).contains(&share);
        self.refuse_unless(is_valid, format!("renewal_share: {share} is not between 0.05 and 0.9"))
    }

    /// Sets how long before its end a token counts as expired. The default is 5 % of its lifetime, at most 10 seconds.
    /// For servers and APIs whose clocks differ from this machine's by more than that. At most half of the lifetime.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.settings.leeway = Some(leeway);
        self
    }

    /// Sets the lifetime of a token whose server does not state one (RFC 6749 section 5.1 only recommends
    /// `expires_in`). The default is one hour.
    pub fn assumed_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.assumed_lifetime = lifetime.min(LONGEST_LIFETIME);
        self.refuse_unless(!lifetime.is_zero(), "assumed_lifetime: zero; state how long such a token can be used")
    }

    /// Sets how long a caller waits for a token. The default is 30 seconds. The token request continues for other
    /// callers.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.settings.wait_limit = limit.min(LONGEST_LIFETIME);
        self.refuse_unless(!limit.is_zero(), "wait_limit: zero; no caller would ever get a first token")
    }

    /// Renews the source's own token with or without traffic, so that no request has to wait after an idle time. Starts
    /// with the first call ([`TokenCache::try_token`] starts it without waiting) and stops when the last handle is
    /// dropped. When its runtime ends, it continues in the runtime of the next call. Costs one token request per
    /// lifetime, forever; without it, an idle cache costs nothing.
    pub fn keep_warm(mut self) -> Self {
        self.settings.keep_warm = true;
        self
    }

    /// Sets how many tokens are kept beside the source's own, for requests that name another scope, resource, audience
    /// or parameter. The default is 1,000. For services with more tenants: beyond the limit, the least recently used
    /// token is removed, and requested again when it is needed. A token that a caller waits for, or that has a handle
    /// of its own, stays; of the tokens that requests use, or that are held back after a failure, as many again may
    /// stay.
    pub fn most_keys(mut self, most: usize) -> Self {
        self.settings.most_keys = most;
        self.refuse_unless(most > 0, "most_keys: zero; every such request would need a new token")
    }

    /// Shares the tokens with other instances of the application, through a [store](crate::store) that all of them use.
    /// The key encrypts them; all instances need the same.
    ///
    /// ```no_run
    /// use client_credentials::{ClientCredentials, TokenCache, store::EncryptionKey};
    ///
    /// # fn example(credentials: ClientCredentials, store: impl client_credentials::store::TokenStore)
    /// # -> Result<(), client_credentials::Error> {
    /// let key = EncryptionKey::from_file("/run/secrets/token-key")?;
    /// let tokens = TokenCache::builder(credentials).shared(store, key).build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "store")]
    pub fn shared(mut self, store: impl TokenStore, key: EncryptionKey) -> Self {
        self.shared.store = Some((Arc::new(store), Seal::Keys(key)));
        self
    }

    /// Shares the tokens like [`shared`](Self::shared), without encryption: whoever reads the store has them. For a
    /// folder that only this user can read.
    #[cfg(feature = "store")]
    pub fn shared_in_the_clear(mut self, store: impl TokenStore) -> Self {
        self.shared.store = Some((Arc::new(store), Seal::Clear));
        self
    }

    /// Names the tokens in the [store](crate::store): only caches with the same namespace share them. Needed for a
    /// source that does not say [what identifies its tokens](TokenSource::identity); for others it keeps apart what
    /// would be the same token, such as those of two environments.
    #[cfg(feature = "store")]
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.shared.namespace = Some(name.into());
        self
    }

    /// Sets the clock that the cache reads; for tests.
    #[cfg(feature = "test-util")]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings and builds the cache.
    ///
    /// # Errors
    ///
    /// If neither the source nor this builder names an origin, or a setting is invalid; if tokens are shared, there is
    /// no namespace, and the source does not say what identifies them.
    pub fn build(self) -> Result<TokenCache, Error> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        if self.origins.is_empty() {
            return Err(Origins::missing());
        }
        #[cfg(feature = "store")]
        self.shared.check(&*self.source)?;
        Ok(self.finish())
    }

    pub(super) fn finish(self) -> TokenCache {
        let report = Reporter::new(self.source.name());
        let context = Arc::new(Context {
            defaults: self.source.defaults(),
            source: self.source,
            settings: self.settings,
            endpoint: Endpoint::new(self.clock.clone()),
            clock: self.clock,
            leases: Leases::new(),
            streaks: Arc::default(),
            #[cfg(feature = "store")]
            shared_tokens: self.shared.tokens(&report),
            report,
        });
        let keys = Keys::new(Arc::clone(&context));
        let own = keys.slot(&TokenRequest::default());
        TokenCache { core: Arc::new(Core { context, origins: self.origins, keys }), own }
    }

    /// The first refusal is what [`build`](Self::build) returns.
    fn refuse_unless(mut self, is_valid: bool, why: impl Into<Cow<'static, str>>) -> Self {
        if !is_valid {
            self.refused.get_or_insert_with(|| Error::configuration(why));
        }
        self
    }
}

/// How the tokens are shared with other instances.
#[cfg(feature = "store")]
#[derive(Default)]
struct SharedIn {
    store: Option<(Arc<dyn TokenStore>, Seal)>,
    namespace: Option<String>,
}

#[cfg(feature = "store")]
impl SharedIn {
    fn check(&self, source: &dyn TokenSource) -> Result<(), Error> {
        let says_nothing = || source.identity(&TokenRequest::default()).is_none();
        Err(Error::configuration(match (&self.store, &self.namespace) {
            (_, Some(namespace)) if namespace.is_empty() => "namespace: empty",
            (None, Some(_)) => "namespace: no tokens are shared; use `.shared(..)`, or omit it",
            (Some(_), None) if says_nothing() => {
                "namespace: missing; the token source does not say what identifies its tokens, so give them a name \
                 that nobody else uses in this store, such as `.namespace(\"my-service\")`"
            }
            _ => return Ok(()),
        }))
    }

    fn tokens(self, report: &Reporter) -> Option<Arc<SharedTokens>> {
        let (store, seal) = self.store?;
        Some(Arc::new(SharedTokens::new(store, seal, self.namespace.unwrap_or_default(), report.clone())))
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
