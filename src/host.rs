//! Hosts, and how they are compared.

use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Exact(String),
    /// `*.example.com`: the part after the star, with its dot. The star stands for one label.
    AnyLabelOf(String),
}

impl Host {
    /// Reads the host of an origin, in lower case and without a trailing dot. The error says what is wrong with it.
    pub(crate) fn parse(host: String) -> Result<Self, &'static str> {
        if is_short_address(&host) {
            return Err("has an IPv4 address that is not written as four decimal numbers");
        }
        match host.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') && rest[1..].contains('.') && !rest.contains('*') => {
                Ok(Self::AnyLabelOf(rest.to_owned()))
            }
            None if !host.is_empty() && !host.contains('*') => Ok(Self::Exact(host)),
            _ => Err("has a `*` that is not the whole first label, or no host"),
        }
    }

    pub(crate) fn covers(&self, host: &str) -> bool {
        match self {
            Self::Exact(own) => is_same_host(own, host),
            Self::AnyLabelOf(suffix) => {
                host.find('.').is_some_and(|dot| dot > 0 && host[dot..].eq_ignore_ascii_case(suffix))
            }
        }
    }
}

/// The host without the trailing dot of DNS's root. The comparison ignores case.
pub(crate) fn canonical(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Whether this is an IPv4 address such as `127.1` or `0x7f000001`. Clients that parse URLs like a browser send it as
/// four numbers.
fn is_short_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    is_number && host.parse::<Ipv4Addr>().is_err()
}

/// Whether this is in 127.0.0.0/8, `[::1]` or `localhost`.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = canonical(host);
    host.eq_ignore_ascii_case("localhost")
        || v6(host).is_some_and(|address| address.is_loopback())
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// For hosts without a trailing dot. An IPv6 address can be written in several ways.
pub(crate) fn is_same_host(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || v6(one).is_some_and(|address| v6(other) == Some(address))
}

/// The IPv6 address in brackets.
fn v6(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}
