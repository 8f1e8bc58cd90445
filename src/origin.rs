//! Where a token may go.

use std::{
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    net::{Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex},
};

use http::{Uri, uri::Authority};

use crate::error::{Error, ErrorKind};

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
    /// As nearly every request writes it, which is compared first; empty where there is no such form.
    authority: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Exact(String),
    /// Two texts may name one address.
    V6(Ipv6Addr),
    /// `*.example.com`: the part behind the star, with its dot. The star stands for one label.
    AnyLabelOf(String),
}

/// What is known of where a request goes.
#[derive(Debug)]
pub struct Target<'a> {
    scheme: Option<&'a str>,
    host: &'a str,
    port: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// None is written: the scheme's.
    Default,
    Number(u16),
    /// Whatever a client makes of it, it is none that was listed.
    Unreadable,
}

/// Whether a token may be sent to a target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// By the listed origin at this position; `None` where several origins share the permission.
    Granted(Option<usize>),
    /// Another origin: the request goes there without a token.
    Foreign,
    /// The host is named with `https`, and would be sent the token over plain `http`.
    Insecure,
}

impl Origins {
    /// The origins listed, each such as `https://api.example.com`, `https://*.example.com` (one label) or
    /// `http://127.0.0.1:8080` (naming it with `http` is the permission for plain http there).
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

    /// Any `https` origin, and loopback over either scheme.
    pub fn any() -> Self {
        Self { any: true, listed: Vec::new() }
    }

    /// What is said where no origin was named.
    pub(crate) fn missing() -> Error {
        Error::configuration(
            "origin: none; say where the tokens may go with `.origin(\"https://api.example.com\")`, as often as needed, or with `.any_origin()`",
        )
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any && self.listed.is_empty()
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.any |= other.any;
        self.listed.extend(other.listed);
    }

    /// The position of a listed origin that is written exactly so. Most requests need no more; [`permit`](Self::permit)
    /// compares as origins are compared.
    #[inline]
    pub(crate) fn position(&self, uri: &Uri) -> Option<usize> {
        let scheme = Scheme::written(uri.scheme_str()?)?;
        let authority = uri.authority()?.as_str();
        self.listed.iter().position(|origin| origin.scheme == scheme && origin.authority == authority)
    }

    /// As [`position`](Self::position).
    #[cfg(feature = "reqwest")]
    #[inline]
    pub(crate) fn position_of_url(&self, url: &reqwest::Url) -> Option<usize> {
        let scheme = Scheme::written(url.scheme())?;
        let (host, port) = (url.host_str()?, url.port().unwrap_or(scheme.default_port()));
        self.listed.iter().position(|origin| {
            origin.scheme == scheme && origin.port == port && matches!(&origin.host, Host::Exact(own) if own == host)
        })
    }

    pub(crate) fn permit(&self, target: &Target<'_>) -> Permission {
        if target.is_unreadable() {
            return Permission::Foreign;
        }
        // Without a scheme (a Host header beside a request that has no authority), any scheme that is listed will do.
        let scheme = target.scheme.and_then(Scheme::read);
        if self.any && (scheme != Some(Scheme::Http) || is_loopback(target.host)) {
            return Permission::Granted(None);
        }
        if let Some((at, origin)) = self.listed.iter().enumerate().find(|(_, origin)| origin.is(target)) {
            return Permission::Granted((!origin.authority.is_empty()).then_some(at));
        }
        let over_https = self.any || self.listed.iter().any(|origin| origin.is_https_of(target));
        if over_https && scheme == Some(Scheme::Http) { Permission::Insecure } else { Permission::Foreign }
    }

    /// Whether the target is the listed origin at this position.
    pub(crate) fn is_at(&self, at: usize, target: &Target<'_>) -> bool {
        self.listed.get(at).is_some_and(|origin| origin.is(target))
    }

    /// How the listed origin at this position is written.
    pub(crate) fn name_at(&self, at: usize) -> String {
        self.listed
            .get(at)
            .map(|origin| format!("{}://{}", origin.scheme.as_str(), origin.authority))
            .unwrap_or_default()
    }
}

impl Origin {
    fn parse(text: &str) -> Result<Self, Error> {
        // User info is most often a password.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let refuse = |what: &str| {
            Err(Error::configuration(format!("origin: {shown:?} {what}; write it as `https://api.example.com`")))
        };
        if text.contains('#') {
            return refuse("has a fragment");
        }
        if !text.is_ascii() {
            return refuse("has letters beyond ASCII, which DNS writes as `xn--…`");
        }
        let Ok(uri) = text.parse::<Uri>() else { return refuse("is not a URI") };
        let scheme = match uri.scheme_str() {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            Some(_) => return refuse("has a scheme other than https and http"),
            None => return refuse("has no scheme"),
        };
        // `Uri` reads a missing path as `/`; anything beyond that could look like a restriction that nobody enforces.
        if uri.path() != "/" || uri.query().is_some() || text.ends_with('/') {
            return refuse("has a path, which an origin does not have");
        }
        let Some(authority) = uri.authority() else { return refuse("has no host") };
        if authority.as_str().contains('@') {
            return refuse("has user info");
        }
        let port = match Port::of(authority) {
            Port::Default => scheme.default_port(),
            Port::Number(port) => port,
            Port::Unreadable => return refuse("has a port that is not a number"),
        };
        let host = canonical(authority.host()).to_ascii_lowercase();
        if is_short_address(&host) {
            return refuse("has an IPv4 address that is not four decimal numbers, as clients send it");
        }
        let host = match host.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') && rest[1..].contains('.') && !rest.contains('*') => {
                Host::AnyLabelOf(rest.to_owned())
            }
            None if !host.is_empty() && !host.contains('*') => v6(&host).map_or(Host::Exact(host), Host::V6),
            _ => return refuse("has a `*` that is not the whole first label, or no host"),
        };
        let authority = match &host {
            Host::AnyLabelOf(_) => String::new(),
            _ if port == scheme.default_port() => canonical(authority.host()).to_ascii_lowercase(),
            _ => format!("{}:{port}", canonical(authority.host()).to_ascii_lowercase()),
        };
        Ok(Self { scheme, host, port, authority })
    }

    fn is(&self, target: &Target<'_>) -> bool {
        let scheme = match target.scheme.map(Scheme::read) {
            Some(None) => return false,
            Some(scheme) => scheme,
            None => None,
        };
        let port = match target.port {
            Port::Number(port) => port,
            Port::Default => scheme.map_or(self.port, Scheme::default_port),
            Port::Unreadable => return false,
        };
        scheme.is_none_or(|scheme| scheme == self.scheme)
            && port == self.port
            && self.host.covers(canonical(target.host))
    }

    fn is_https_of(&self, target: &Target<'_>) -> bool {
        self.scheme == Scheme::Https && self.host.covers(canonical(target.host))
    }
}

impl Port {
    pub(crate) fn of(authority: &Authority) -> Self {
        let behind = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
        match (behind.strip_prefix(authority.host()), authority.port_u16()) {
            (Some("" | ":"), _) => Self::Default,
            (_, Some(port)) => Self::Number(port),
            (_, None) => Self::Unreadable,
        }
    }
}

impl Scheme {
    /// As nearly every request writes it.
    #[inline]
    fn written(text: &str) -> Option<Self> {
        match text {
            "https" => Some(Self::Https),
            "http" => Some(Self::Http),
            _ => None,
        }
    }

    /// A WebSocket begins as a request of the scheme beneath.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let is = |name: &str| text.eq_ignore_ascii_case(name);
        if is("https") || is("wss") {
            Some(Self::Https)
        } else if is("http") || is("ws") {
            Some(Self::Http)
        } else {
            None
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
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

impl Host {
    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Exact(own) => own.eq_ignore_ascii_case(host),
            Self::V6(own) => v6(host) == Some(*own),
            Self::AnyLabelOf(suffix) => {
                host.len().checked_sub(suffix.len()).and_then(|at| host.split_at_checked(at)).is_some_and(
                    |(label, rest)| !label.is_empty() && !label.contains('.') && rest.eq_ignore_ascii_case(suffix),
                )
            }
        }
    }
}

impl<'a> Target<'a> {
    /// `None`: the URI has no authority, so that the request goes wherever the service sends it.
    pub(crate) fn of_uri(uri: &'a Uri) -> Option<Self> {
        Some(Self::of_parts(Some(uri.scheme_str().unwrap_or("")), uri.authority()?))
    }

    pub(crate) fn of_parts(scheme: Option<&'a str>, authority: &'a Authority) -> Self {
        Self { scheme, host: authority.host(), port: Port::of(authority) }
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn of_url(url: &'a reqwest::Url) -> Self {
        let port = url.port().map_or(Port::Default, Port::Number);
        Self { scheme: Some(url.scheme()), host: url.host_str().unwrap_or(""), port }
    }

    /// One that cannot be read, and is nobody's.
    pub(crate) fn unreadable() -> Self {
        Self { scheme: None, host: "", port: Port::Unreadable }
    }

    /// Whether no client could tell where it is.
    fn is_unreadable(&self) -> bool {
        canonical(self.host).is_empty()
            || self.port == Port::Unreadable
            || self.scheme.is_some_and(|scheme| Scheme::read(scheme).is_none())
    }

    /// As it is written in logs and errors, and remembered for them.
    pub(crate) fn to_origin(&self) -> String {
        let host = canonical(self.host).to_ascii_lowercase();
        let scheme = self.scheme.map(|scheme| format!("{scheme}://")).unwrap_or_default();
        match self.port {
            Port::Default => format!("{scheme}{host}"),
            Port::Number(port) => format!("{scheme}{host}:{port}"),
            Port::Unreadable if host.is_empty() => "an unreadable Host header".into(),
            Port::Unreadable => format!("{scheme}{host} (with an unreadable port)"),
        }
    }
}

/// The same for the same origin, however it is written.
impl Hash for Target<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let scheme = self.scheme.and_then(Scheme::read);
        let port = match self.port {
            Port::Default => scheme.map(Scheme::default_port),
            Port::Number(port) => Some(port),
            Port::Unreadable => None,
        };
        (scheme.map(Scheme::default_port), port).hash(state);
        canonical(self.host).bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
    }
}

/// A host as hosts are compared: without the root's dot. Case is left to the comparison.
fn canonical(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// An IPv4 address such as `127.1` or `0x7f000001`, which clients that read URLs as browsers do send as four numbers.
fn is_short_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    is_number && host.parse::<Ipv4Addr>().is_err()
}

/// 127.0.0.0/8, `[::1]` and `localhost`.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = canonical(host);
    host.eq_ignore_ascii_case("localhost")
        || v6(host).is_some_and(|address| address.is_loopback())
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

pub(crate) fn is_same_host(one: &str, other: &str) -> bool {
    canonical(one).eq_ignore_ascii_case(canonical(other)) || v6(one).is_some_and(|address| v6(other) == Some(address))
}

/// The address of a host in brackets.
fn v6(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

pub(crate) fn insecure(target: &Target<'_>) -> Error {
    Error::new(ErrorKind::InsecureTransport, format!("a token would go over plain http to {}", target.to_origin()))
        .with_advice("use https, or name this origin with `http://` to allow it")
}

/// Origins that were mentioned in the log already. Bounded, since a crawler may ask any number of them.
#[derive(Clone, Default)]
pub(crate) struct Mentioned(Arc<Mutex<HashSet<String>>>);

impl Mentioned {
    const MOST: usize = 256;

    pub(crate) fn is_first(&self, target: &Target<'_>) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.len() < Self::MOST && seen.insert(target.to_origin())
    }
}

impl fmt::Debug for Mentioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mentioned")
    }
}
