use http::{Uri, uri::Authority};

use super::{Scheme, canonical};

/// What is known about where a request goes.
#[derive(Debug)]
pub struct Target<'a> {
    pub(super) scheme: Option<&'a str>,
    pub(super) host: &'a str,
    pub(super) port: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// No port is written, which means the scheme's default.
    Default,
    Number(u16),
    /// Clients may read it differently, so it never matches an entry.
    Unreadable,
}

impl<'a> Target<'a> {
    /// `None`: the URI has no authority, so the inner service decides where the request goes.
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

    /// A target that cannot be read, and never matches an entry.
    pub(crate) fn unreadable() -> Self {
        Self { scheme: None, host: "", port: Port::Unreadable }
    }

    /// The scheme, the host and the port. A `Host` header has no scheme, and perhaps no port. `None`: unreadable.
    pub(super) fn read(&self) -> Option<(Option<Scheme>, &'a str, Option<u16>)> {
        let scheme = match self.scheme {
            Some(scheme) => Some(Scheme::read(scheme)?),
            None => None,
        };
        let port = match self.port {
            Port::Number(port) => Some(port),
            Port::Default => scheme.map(Scheme::default_port),
            Port::Unreadable => return None,
        };
        let host = canonical(self.host);
        (!host.is_empty()).then_some((scheme, host, port))
    }

    /// The text for errors and for the log, which mentions each once.
    pub(crate) fn to_origin(&self) -> String {
        let host = canonical(self.host).to_ascii_lowercase();
        let scheme = self.scheme.filter(|scheme| !scheme.is_empty());
        let scheme = scheme.map(|scheme| format!("{scheme}://")).unwrap_or_default();
        match self.port {
            Port::Default => format!("{scheme}{host}"),
            Port::Number(port) => format!("{scheme}{host}:{port}"),
            Port::Unreadable if host.is_empty() => "an unreadable Host header".into(),
            Port::Unreadable => format!("{scheme}{host} (with an unreadable port)"),
        }
    }
}

impl Port {
    pub(crate) fn of(authority: &Authority) -> Self {
        let behind = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
        match (behind.strip_prefix(authority.host()), authority.port_u16()) {
            (Some("" | ":"), _) => Self::Default,
            (Some(rest), Some(port)) if rest.rfind(':') == Some(0) => Self::Number(port),
            // Also a name between an address in brackets and the port, or the reverse, of which `http` takes no notice.
            _ => Self::Unreadable,
        }
    }
}
