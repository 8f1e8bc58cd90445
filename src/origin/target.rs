use http::{HeaderValue, Uri};

use super::{Scheme, canonical};

/// Where a request goes, as it is written.
#[derive(Debug)]
pub struct Target<'a> {
    /// A `Host` header has none. Empty: the URI has none.
    pub(super) scheme: Option<&'a str>,
    pub(super) authority: &'a str,
}

impl<'a> Target<'a> {
    /// `None`: the URI has no authority, so the inner service decides where the request goes.
    #[inline]
    pub(crate) fn of_uri(uri: &'a Uri) -> Option<Self> {
        Some(Self { scheme: Some(uri.scheme_str().unwrap_or_default()), authority: uri.authority()?.as_str() })
    }

    #[cfg(feature = "reqwest")]
    #[inline]
    pub(crate) fn of_url(url: &'a reqwest::Url) -> Self {
        Self { scheme: Some(url.scheme()), authority: url.authority() }
    }

    pub(crate) fn of_host(host: &'a HeaderValue) -> Self {
        Self { scheme: None, authority: host.to_str().unwrap_or("(not ASCII)") }
    }

    /// The scheme, the host and the port. A `Host` header has no scheme, and perhaps no port. `None`: unreadable.
    pub(super) fn read(&self) -> Option<(Option<Scheme>, &'a str, Option<u16>)> {
        let scheme = match self.scheme {
            Some(scheme) => Some(Scheme::read(scheme)?),
            // A gateway may read anything else in `Host`, such as user info, as the host (RFC 9110 section 7.2).
            None if self.authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte)) => {
                None
            }
            None => return None,
        };
        let (host, port) = host_and_port(without_user_info(self.authority))?;
        let host = canonical(host);
        (!host.is_empty()).then_some((scheme, host, port.or(scheme.map(Scheme::default_port))))
    }

    /// The text for errors and for the log, which mentions each once.
    pub(crate) fn to_origin(&self) -> String {
        let scheme = self.scheme.filter(|scheme| !scheme.is_empty());
        let scheme = scheme.map(|scheme| format!("{scheme}://")).unwrap_or_default();
        let authority = without_user_info(self.authority).to_ascii_lowercase();
        match host_and_port(&authority) {
            Some((host, None)) => format!("{scheme}{}", canonical(host)),
            Some((host, Some(port))) => format!("{scheme}{}:{port}", canonical(host)),
            // Not all of it: what looks like a port may be a password.
            None => match authority.rsplit_once(':') {
                Some((host, _)) => format!("{scheme}{host} (with an unreadable port)"),
                None => format!("{scheme}{authority}"),
            },
        }
    }
}

/// Takes an authority apart that has no user info. `None`: clients may read it differently.
pub(crate) fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = match authority.starts_with('[') {
        true => authority.find(']')? + 1,
        false => authority.find([':', '[', ']']).unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(end);
    let port = match rest {
        "" | ":" => None,
        _ => Some(rest.strip_prefix(':')?.parse().ok()?),
    };
    Some((host, port))
}

/// User info often contains a password.
pub(super) fn without_user_info(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}
