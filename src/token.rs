//! An access token as it was issued.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::{
    error::{Error, ErrorKind},
    fingerprint::{self, Fingerprint},
    token_request::TokenRequest,
};

/// The prefix of the token, unless an adapter is built with another one.
pub(crate) const SCHEME: &str = "Bearer ";

/// Which token a request carries: all that is needed to say later what became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenId {
    /// Of the [`TokenRequest`], by which a cache finds it.
    pub key: Fingerprint,
    pub number: TokenNumber,
}

/// Tells a token from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenNumber(u64);

/// Longer lifetimes are cut to this, which keeps clock arithmetic far from overflow.
pub(crate) const LONGEST_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// An access token (RFC 6749 section 1.4) that is sent as a bearer token (RFC 6750).
///
/// Cheap to clone; the clones share one copy of the token, which is wiped when the last of them is dropped. `Debug`
/// does not show it. As a [`TokenSource`](crate::TokenSource) it is a fixed token, for tests and for tokens that are
/// renewed elsewhere.
#[derive(Clone)]
pub struct AccessToken {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    /// `Bearer` and the token. Without `prefixed`, this header value is the only copy of the token.
    authorization: HeaderValue,
    /// The header value with another prefix: the first one that an adapter used.
    prefixed: OnceLock<(String, HeaderValue)>,
    number: TokenNumber,
    properties: Arc<Properties>,
}

#[derive(Clone, Default)]
struct Properties {
    expires_in: Option<Duration>,
    /// The upper bound of the lifetime if none is stated.
    expires_within: Option<Duration>,
    refresh_in: Option<Duration>,
    scope: Option<String>,
    members: BTreeMap<String, Zeroizing<String>>,
    /// Which of a cache's tokens this is; `None`: the source's own.
    request: Option<TokenRequest>,
}

impl AccessToken {
    /// A token of which only the text is known.
    ///
    /// # Errors
    ///
    /// If it is empty, or has a character that is not allowed in the header: anything but visible ASCII, such as the
    /// line end of a file.
    pub fn new(token: impl Into<String>) -> Result<Self, Error> {
        let token = Zeroizing::new(token.into());
        let refuse = |what: String| Err(Error::new(ErrorKind::InvalidResponse, what));
        if token.is_empty() {
            return refuse("the access token is empty".into());
        }
        if let Some(at) = token.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return refuse(format!("the access token has a character at byte {at} that is not allowed in a header"));
        }
        let Some(authorization) = sensitive_header(&[SCHEME, &token]) else {
            return refuse("the access token is not allowed in a header".into());
        };
        Ok(Self {
            inner: Arc::new(Inner {
                authorization,
                prefixed: OnceLock::new(),
                number: TokenNumber(fingerprint::hash(&token.as_str())),
                properties: Arc::default(),
            }),
        })
    }

    /// Sets the lifetime, counted from when the token was requested. Zero: it has expired on arrival.
    #[must_use]
    pub fn with_expires_in(self, lifetime: Duration) -> Self {
        self.with(|properties| properties.expires_in = Some(lifetime.min(LONGEST_LIFETIME)))
    }

    /// Sets when the server wants the token to be renewed, counted from when it was requested.
    #[must_use]
    pub fn with_refresh_in(self, refresh_in: Duration) -> Self {
        self.with(|properties| properties.refresh_in = Some(refresh_in.min(LONGEST_LIFETIME)))
    }

    /// Sets the scope that was granted (RFC 6749 section 5.1), scopes separated by spaces.
    #[must_use]
    pub fn with_scope(self, scope: impl Into<String>) -> Self {
        self.with(|properties| properties.scope = Some(scope.into()))
    }

    /// Sets a further [`member`](Self::member).
    #[must_use]
    pub fn with_member(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = Zeroizing::new(value.into());
        self.with(|properties| drop(properties.members.insert(name.into(), value)))
    }

    /// The token itself. Keep it out of logs.
    pub fn expose_secret(&self) -> &str {
        let value = &self.inner.authorization.as_bytes()[SCHEME.len()..];
        // Made from a `String` in `new`.
        std::str::from_utf8(value).unwrap_or_default()
    }

    /// The value for an `Authorization` header, marked sensitive.
    pub fn authorization(&self) -> &HeaderValue {
        &self.inner.authorization
    }

    /// The value with another prefix than `Bearer`, of visible ASCII and spaces. The value for the first such prefix is
    /// made only once.
    pub(crate) fn with_prefix(&self, prefix: &str) -> HeaderValue {
        let (of, value) = self.inner.prefixed.get_or_init(|| (prefix.to_owned(), self.header(prefix)));
        if of == prefix { value.clone() } else { self.header(prefix) }
    }

    /// A header value of its own.
    fn header(&self, prefix: &str) -> HeaderValue {
        sensitive_header(&[prefix, self.expose_secret()]).unwrap_or_else(|| self.inner.authorization.clone())
    }

    /// The lifetime that the server stated, counted from when the token was requested.
    pub fn expires_in(&self) -> Option<Duration> {
        self.inner.properties.expires_in
    }

    /// When the server wants the token to be renewed, counted from when it was requested.
    pub fn refresh_in(&self) -> Option<Duration> {
        self.inner.properties.refresh_in
    }

    /// The scope that was granted, if the server stated it (it may be narrower than the one requested).
    pub fn scope(&self) -> Option<&str> {
        self.inner.properties.scope.as_deref()
    }

    /// A further member of the token response (RFC 6749 section 5.1), such as `instance_url` or `jti`: a string
    /// unchanged, anything else as JSON. Members that have their own method, `token_type` and `refresh_token` are
    /// omitted, and of more than 256 members those that are last by name.
    pub fn member(&self, name: &str) -> Option<&str> {
        self.inner.properties.members.get(name).map(|value| value.as_str())
    }

    /// All further members.
    #[cfg(feature = "store")]
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.properties.members.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The upper bound of a lifetime that is not stated, counted from the same moment.
    pub(crate) fn expires_within(&self) -> Option<Duration> {
        self.inner.properties.expires_within
    }

    pub(crate) fn with_expires_within(self, bound: Duration) -> Self {
        self.with(|properties| properties.expires_within = Some(bound.min(LONGEST_LIFETIME)))
    }

    pub(crate) fn number(&self) -> TokenNumber {
        self.inner.number
    }

    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.number() == other.number()
    }

    /// The same token with reference counts of its own: threads would contend for those that they share.
    pub(crate) fn counted_apart(&self) -> Self {
        let Inner { authorization, number, properties, .. } = &*self.inner;
        let (authorization, properties) = (counted_apart(authorization), properties.clone());
        Self { inner: Arc::new(Inner { authorization, prefixed: OnceLock::new(), number: *number, properties }) }
    }

    pub(crate) fn request(&self) -> Option<&TokenRequest> {
        self.inner.properties.request.as_ref()
    }

    pub(crate) fn with_request(self, request: TokenRequest) -> Self {
        self.with(|properties| properties.request = Some(request))
    }

    fn with(mut self, change: impl FnOnce(&mut Properties)) -> Self {
        change(Arc::make_mut(&mut Arc::make_mut(&mut self.inner).properties));
        self
    }
}

/// A header value that is marked sensitive and wiped when it is dropped. `None` if a header must not have these bytes.
pub(crate) fn sensitive_header(parts: &[&str]) -> Option<HeaderValue> {
    let mut value = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| value.extend_from_slice(part.as_bytes()));
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(value)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The same bytes with a reference count of its own.
fn counted_apart(value: &HeaderValue) -> HeaderValue {
    let Ok(mut apart) = HeaderValue::from_maybe_shared(Bytes::from_owner(value.clone())) else { return value.clone() };
    apart.set_sensitive(value.is_sensitive());
    apart
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("token", &"[redacted]")
            .field("expires_in", &self.inner.properties.expires_in)
            .field("refresh_in", &self.inner.properties.refresh_in)
            .finish_non_exhaustive()
    }
}
