//! The request that says which token is meant, or that none is.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{error::Error, fingerprint::Fingerprint};

/// Says which token is meant: scope, resource, audience and further parameters of the token request.
///
/// The default leaves everything to the source. Two requests are equal if they mean the same token: the order of scopes
/// and repeated scopes make no difference. Cheap to clone.
#[derive(Clone, Default)]
pub struct TokenRequest {
    /// Of everything that is compared: a cache finds the request's token by it. Zero: nothing is set.
    fingerprint: Fingerprint,
    inner: Arc<Parameters>,
}

/// A request with this extension is sent without a token, and none is fetched. For public paths and health checks on an
/// origin whose other requests need one.
///
/// Insert it into the extensions of an `http::Request` or of tonic's `Request`, or use `with_extension` of
/// reqwest-middleware. (The layer cannot see the extensions of a `reqwest::Request`.)
///
/// Token requests have it too: one may pass through the very adapter that waits for its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WithoutToken;

#[derive(Clone, Default)]
struct Parameters {
    /// In the order given.
    scopes: Vec<String>,
    /// Sorted and without repetition, for comparing two requests. Made when the request is complete.
    scope_set: Vec<String>,
    resources: Vec<String>,
    audience: Option<String>,
    further: Vec<(String, String)>,
}

impl Parameters {
    fn key(&self) -> impl Eq + Hash + '_ {
        (&self.scope_set, &self.resources, &self.audience, &self.further)
    }

    fn show(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A further parameter may be a secret: its name is shown, its value is not.
        let names: Vec<_> = self.further.iter().map(|(name, _)| name).collect();
        f.debug_struct(name)
            .field("scope", &self.scopes)
            .field("resource", &self.resources)
            .field("audience", &self.audience)
            .field("parameters", &names)
            .finish()
    }
}

impl From<Parameters> for TokenRequest {
    fn from(mut parameters: Parameters) -> Self {
        parameters.scope_set.clone_from(&parameters.scopes);
        parameters.scope_set.sort_unstable();
        parameters.scope_set.dedup();
        let nothing = Parameters::default();
        let is_default = parameters.key() == nothing.key();
        let fingerprint = if is_default { Fingerprint::default() } else { Fingerprint::of(&parameters.key()) };
        Self { fingerprint, inner: Arc::new(parameters) }
    }
}

impl PartialEq for TokenRequest {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
            || (self.fingerprint == other.fingerprint && self.inner.key() == other.inner.key())
    }
}

impl Eq for TokenRequest {}

impl Hash for TokenRequest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint.hash(state);
    }
}

/// Parameters that the grant and the client authentication set themselves.
const RESERVED: [&str; 6] =
    ["grant_type", "client_id", "client_secret", "scope", "client_assertion", "client_assertion_type"];

impl TokenRequest {
    /// Starts building a request.
    pub fn builder() -> TokenRequestBuilder {
        TokenRequestBuilder::default()
    }

    /// The requested scopes (RFC 6749 section 3.3), joined by one space in the order given; `None` if there are none.
    pub fn scope(&self) -> Option<String> {
        (!self.inner.scopes.is_empty()).then(|| self.inner.scopes.join(" "))
    }

    /// The requested resources (RFC 8707).
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.inner.resources.iter().map(String::as_str)
    }

    /// The requested audience (not from an RFC; Auth0 and others need it).
    pub fn audience(&self) -> Option<&str> {
        self.inner.audience.as_deref()
    }

    /// Further parameters, by name and value, in the order given.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.further.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The requested scopes, sorted and without repetition.
    pub(crate) fn distinct_scopes(&self) -> impl Iterator<Item = &str> {
        self.inner.scope_set.iter().map(String::as_str)
    }

    /// Whether it leaves everything to the source.
    pub(crate) fn is_default(&self) -> bool {
        self.fingerprint == Fingerprint::default()
    }

    #[inline]
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// This request, completed from `defaults`.
    pub(crate) fn or(&self, defaults: &Self) -> Self {
        let (mine, theirs) = (&*self.inner, &*defaults.inner);
        if self.is_default() {
            return defaults.clone();
        }
        let mut merged = mine.clone();
        if merged.scopes.is_empty() {
            merged.scopes.clone_from(&theirs.scopes);
        }
        if merged.resources.is_empty() {
            merged.resources.clone_from(&theirs.resources);
        }
        if merged.audience.is_none() {
            merged.audience.clone_from(&theirs.audience);
        }
        let own: Vec<_> = mine.further.iter().map(|(name, _)| name).collect();
        merged.further.extend(theirs.further.iter().filter(|(name, _)| !own.contains(&name)).cloned());
        merged.into()
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.show("TokenRequest", f)
    }
}

/// Builds a [`TokenRequest`].
#[derive(Clone, Default)]
#[must_use]
pub struct TokenRequestBuilder {
    parameters: Parameters,
    refused: Option<Error>,
}

impl TokenRequestBuilder {
    /// Adds scopes (RFC 6749 section 3.3): one, or several separated by spaces.
    pub fn scope(self, scope: impl AsRef<str>) -> Self {
        let scope = scope.as_ref();
        for token in scope.split(' ') {
            let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            if token.is_empty() {
                return self.refuse("scope: empty; write one scope, or several with one space between them");
            }
            if let Some(at) = token.bytes().position(|byte| !allowed(byte)) {
                return self.refuse(format!(
                    "scope: {token:?} has a character at byte {at} that RFC 6749 section 3.3 does not allow \
                     (visible ASCII without `\"` and `\\`)"
                ));
            }
        }
        self.with(|inner| inner.scopes.extend(scope.split(' ').map(str::to_owned)))
    }

    /// Adds a resource (RFC 8707 section 2): the absolute URI of an API that the token is for, without a fragment.
    ///
    /// For servers whose resources are not URIs (the ids of Entra's first version), use `parameter("resource", ..)`.
    pub fn resource(self, resource: impl Into<String>) -> Self {
        let resource = resource.into();
        match not_a_resource(&resource) {
            Some(what) => self.refuse(format!("resource: {what}; write the absolute URI of the API")),
            None => self.with(|inner| inner.resources.push(resource)),
        }
    }

    /// Sets the audience, for servers that need one (Auth0).
    pub fn audience(self, audience: impl Into<String>) -> Self {
        let audience = audience.into();
        if audience.is_empty() {
            return self.refuse("audience: empty");
        }
        self.with(|inner| inner.audience = Some(audience))
    }

    /// Adds a further parameter; a name may be repeated.
    pub fn parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        match name.as_str() {
            "" => self.refuse("parameter: the name is empty"),
            "resource" if value.is_empty() => self.resource(value),
            "resource" => self.with(|inner| inner.resources.push(value)),
            "audience" => self.audience(value),
            reserved if RESERVED.contains(&reserved) => {
                self.refuse(format!("parameter: `{reserved}` is set by the grant; use the builder's own method for it"))
            }
            _ => self.with(|inner| inner.further.push((name, value))),
        }
    }

    /// Checks and builds the request.
    ///
    /// # Errors
    ///
    /// The first invalid setting, by its name.
    pub fn build(self) -> Result<TokenRequest, Error> {
        match self.refused {
            Some(error) => Err(error),
            None => Ok(self.parameters.into()),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Parameters)) -> Self {
        change(&mut self.parameters);
        self
    }

    fn refuse(mut self, why: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        self.refused.get_or_insert_with(|| Error::configuration(why));
        self
    }
}

/// Why `text` is not an absolute URI without a fragment (RFC 3986 section 4.3).
fn not_a_resource(text: &str) -> Option<&'static str> {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    if text.is_empty() {
        Some("empty")
    } else if text.contains('#') {
        Some("has a fragment")
    } else if !text.bytes().all(allowed) {
        Some("has a character that is not allowed in a URI")
    } else if !text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty()) {
        Some("has no scheme")
    } else {
        None
    }
}

impl fmt::Debug for TokenRequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parameters.show("TokenRequestBuilder", f)
    }
}
