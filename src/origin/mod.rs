//! Where a token may go.

mod target;

use std::fmt;

use http::Uri;

use self::target::without_user_info;
pub(crate) use self::target::{Target, host_and_port};
use crate::{
    error::{Error, ErrorKind},
    host::{Host, canonical, is_loopback},
};

/// The origins (RFC 6454) that a source's tokens may be sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    listed: Vec<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: Scheme,
    host: Host,
    port: u16,
    /// The form that nearly every request uses. It is compared first.
    authority: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// What permits a token at an origin: the entry at this position, which may be a wildcard, or `any_origin`. Small,
/// since every request carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PermittedBy(u32);

impl PermittedBy {
    const ANY_ORIGIN: Self = Self(u32::MAX);

    /// By which it is noted who accepted a token, and rejections are counted. Beyond 64 entries, some share a bit.
    #[inline]
    pub(crate) fn bit(self) -> u64 {
        1 << (self.0 % u64::BITS)
    }
}

impl Origins {
    /// Permits these origins, such as `https://api.example.com`, `https://*.example.com` (the `*` stands for one label)
    /// or `http://127.0.0.1:8080` (an origin that is named with `http` is permitted over plain http).
    ///
    /// # Errors
    ///
    /// If one of them is not an origin: it has a path, a query or user info, another scheme, or no host.
    pub fn new<I>(origins: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let listed = origins.into_iter().map(|origin| Origin::parse(origin.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { any: false, listed })
    }

    /// Permits any `https` origin, and loopback over either scheme.
    #[must_use]
    pub fn any() -> Self {
        Self { any: true, listed: Vec::new() }
    }

    /// The error if no origin was named.
    pub(crate) fn missing() -> Error {
        Error::configuration(
            "origin: none; name each origin that the tokens may be sent to with `.origin(\"https://api.example.com\")`, \
             or permit any with `.any_origin()`",
        )
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any && self.listed.is_empty()
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.any |= other.any;
        self.listed.extend(other.listed);
    }

    /// The entry with exactly this text, which is enough for most requests. [`permit`](Self::permit) is the full
    /// comparison.
    #[inline]
    pub(crate) fn as_written(&self, target: &Target<'_>) -> Option<PermittedBy> {
        let scheme = Scheme::written(target.scheme?)?;
        self.entry(|origin| origin.authority == target.authority && origin.scheme == scheme)
    }

    /// What permits a token at a target. `None`: it is another origin. Error: the host is named with `https`, but the
    /// token would go there over plain `http`.
    pub(crate) fn permit(&self, target: &Target<'_>) -> Result<Option<PermittedBy>, Error> {
        let Some((scheme, host, port)) = target.read() else { return Ok(None) };
        let is_http = scheme == Some(Scheme::Http);
        if self.any && (!is_http || is_loopback(host)) {
            return Ok(Some(PermittedBy::ANY_ORIGIN));
        }
        let entry = self.entry(|origin| {
            scheme.is_none_or(|scheme| scheme == origin.scheme)
                && port.is_none_or(|port| port == origin.port)
                && origin.host.covers(host)
        });
        let https = |origin: &Origin| origin.scheme == Scheme::Https && origin.host.covers(host);
        if entry.is_none() && is_http && (self.any || self.listed.iter().any(https)) {
            let what = format!("a token would go over plain http to {}", target.to_origin());
            return Err(Error::new(ErrorKind::InsecureTransport, what)
                .with_advice("use https, or name this origin with `http://` to allow it"));
        }
        Ok(entry)
    }

    #[inline]
    fn entry(&self, is: impl FnMut(&Origin) -> bool) -> Option<PermittedBy> {
        self.listed.iter().position(is).map(|at| PermittedBy(at as u32))
    }

    /// What permits a token at this single origin.
    pub(crate) fn permit_origin(&self, text: &str) -> Result<PermittedBy, Error> {
        let origin = Origin::parse(text)?;
        if matches!(origin.host, Host::AnyLabelOf(_)) {
            return Err(Error::configuration(format!("origin: {text:?} has a `*`, so it is not a single origin")));
        }
        let target = Target { scheme: Some(origin.scheme.as_str()), authority: &origin.authority };
        self.permit(&target)?.ok_or_else(|| {
            Error::configuration(format!(
                "origin: {text:?} is not among those that the tokens may be sent to; add it where they are named, \
                 with `.origin({text:?})`"
            ))
        })
    }

    /// The name of the origin in the log.
    pub(crate) fn name(&self, permitted_by: PermittedBy) -> String {
        self.listed.get(permitted_by.0 as usize).map_or_else(|| "*".into(), Origin::to_string)
    }
}

impl Origin {
    fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).map_err(|what| {
            let shown = without_user_info(text);
            Error::configuration(format!("origin: {shown:?} {what}; write it as `https://api.example.com`"))
        })
    }

    /// The error says what is wrong with the origin.
    fn read(text: &str) -> Result<Self, &'static str> {
        if text.contains('#') {
            return Err("has a fragment");
        }
        if !text.is_ascii() {
            return Err("has non-ASCII letters, which DNS writes as `xn--…`");
        }
        let uri: Uri = text.parse().map_err(|_| "is not a URI")?;
        let scheme = uri.scheme_str().ok_or("has no scheme")?.to_ascii_lowercase();
        let scheme = Scheme::written(&scheme).ok_or("has a scheme other than https and http")?;
        // `Uri` reads a missing path as `/`. Any other path would look like a restriction, and it would not be
        // enforced.
        if uri.path() != "/" || uri.query().is_some() || text.ends_with('/') {
            return Err("has a path, which an origin does not have");
        }
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("has user info");
        }
        let (host, port) = host_and_port(authority.as_str()).ok_or("has a port that is not a number")?;
        let port = port.unwrap_or(scheme.default_port());
        let host = canonical(host).to_ascii_lowercase();
        let authority = if port == scheme.default_port() { host.clone() } else { format!("{host}:{port}") };
        Ok(Self { scheme, host: Host::parse(host)?, port, authority })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority)
    }
}

impl Scheme {
    /// The spelling that nearly every request uses.
    #[inline]
    fn written(text: &str) -> Option<Self> {
        match text {
            "https" => Some(Self::Https),
            "http" => Some(Self::Http),
            _ => None,
        }
    }

    /// A WebSocket begins as an `http` or `https` request.
    fn read(text: &str) -> Option<Self> {
        let is = |name: &str| text.eq_ignore_ascii_case(name);
        if is("https") || is("wss") {
            Some(Self::Https)
        } else if is("http") || is("ws") {
            Some(Self::Http)
        } else {
            None
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}
