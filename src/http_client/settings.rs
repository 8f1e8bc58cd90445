//! What a reqwest client tells of its settings: by its `Debug`, as far as that goes, and nowhere else.

use std::fmt;

use http::uri::Scheme;

/// The `Debug` of a `reqwest::Client`. What it does not say counts as reqwest's default.
pub(super) struct ReqwestSettings(String);

impl ReqwestSettings {
    pub(super) fn of(client: &impl fmt::Debug) -> Self {
        Self(format!("{client:?}"))
    }

    /// Whether it sends a `User-Agent` of the application's, over which a header of the request would win.
    pub(super) fn has_user_agent(&self) -> bool {
        self.0.contains("\"user-agent\": ")
    }

    /// What it follows by default, or by a policy of the application's, is not known.
    pub(super) fn follows_redirects(&self) -> bool {
        !self.0.contains("redirect_policy: \"Policy(None)\"")
    }

    /// Whether there may be a proxy, also one that a function chooses.
    pub(super) fn may_use_proxy(&self) -> bool {
        self.0.contains("proxies: [") && !self.0.contains("proxies: [Matcher]")
    }

    /// The proxy for URLs of this scheme, without credentials. Hosts that `NO_PROXY` names do not go there.
    pub(super) fn proxy(&self, scheme: &Scheme) -> Option<&str> {
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
