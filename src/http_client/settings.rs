//! The settings of a reqwest client, as far as they can be read from its `Debug`; reqwest has no other way.

use std::fmt;

/// The `Debug` of a `reqwest::Client`. A setting that it does not show is assumed to be reqwest's default.
pub(super) struct ReqwestSettings(String);

impl ReqwestSettings {
    pub(super) fn of(client: &impl fmt::Debug) -> Self {
        Self(format!("{client:?}"))
    }

    /// Whether the application has set a `User-Agent`, which a header of the request would override.
    pub(super) fn has_user_agent(&self) -> bool {
        self.0.contains("\"user-agent\": ")
    }

    /// Whether it may follow redirects, by default or by a policy of the application.
    pub(super) fn follows_redirects(&self) -> bool {
        !self.0.contains("redirect_policy: \"Policy(None)\"")
    }

    /// Whether there may be a proxy, including one that a function selects.
    pub(super) fn may_use_proxy(&self) -> bool {
        self.0.contains("proxies: [") && !self.0.contains("proxies: [Matcher]")
    }

    /// The proxy for URLs with this scheme, without credentials. Hosts that `NO_PROXY` lists do not use it.
    pub(super) fn proxy(&self, scheme: &str) -> Option<&str> {
        let (_, proxies) = self.0.split_once("proxies: [")?;
        let (_, proxy) = proxies.split_once(&format!("{scheme}: Intercept {{ uri: "))?;
        Some(proxy.split_once(' ')?.0.trim_end_matches('/'))
    }
}

/// Whether reqwest was compiled with TLS.
pub(super) fn has_tls() -> bool {
    cfg!(any(feature = "rustls", feature = "native-tls"))
        || format!("{:?}", reqwest::Client::builder()).contains("tls_sni: ")
}
