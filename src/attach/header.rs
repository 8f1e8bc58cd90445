use http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, HOST, PROXY_AUTHORIZATION},
};

use crate::{
    error::Error,
    token::{AccessToken, SCHEME},
};

/// Which header carries the token, and with which prefix, instead of `Authorization: Bearer`.
///
/// ```
/// use client_credentials::{BearerAuthLayer, TokenHeader};
/// # use client_credentials::{AccessToken, TokenCache};
/// # let tokens = TokenCache::builder(AccessToken::new("abcde12345")?).any_origin().build()?;
///
/// // Authorization: Zoho-oauthtoken abcde12345
/// let layer = BearerAuthLayer::new(tokens.clone()).with_header(TokenHeader::authorization("Zoho-oauthtoken")?);
/// // Proxy-Authorization: Bearer abcde12345, beside the `Authorization` that the API wants
/// let layer = BearerAuthLayer::new(tokens.clone()).with_header(TokenHeader::proxy_authorization("Bearer")?);
/// // X-Api-Token: abcde12345
/// let header = TokenHeader::for_client_without_redirects("x-api-token", "")?;
/// let layer = BearerAuthLayer::new(tokens).with_header(header);
/// # Ok::<(), client_credentials::Error>(())
/// ```
///
/// Everything else stays the same: the header is marked sensitive, it is attached only where tokens may go, a header of
/// that name that the caller set stays, and a rejected token is replaced. To send two tokens, put one layer around
/// another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHeader {
    pub(super) name: HeaderName,
    /// Ends with a space, unless it is empty.
    prefix: String,
}

impl TokenHeader {
    /// `Authorization`, with a scheme other than `Bearer`. If the scheme is empty, the value is the token alone.
    ///
    /// # Errors
    ///
    /// If the scheme contains anything but visible ASCII characters and spaces.
    pub fn authorization(scheme: &str) -> Result<Self, Error> {
        Self::new(AUTHORIZATION, scheme)
    }

    /// `Proxy-Authorization`, for gateways that read it and leave `Authorization` to the API behind them, such as
    /// Google's Identity-Aware Proxy.
    ///
    /// A 407 does not reject the token, unless `with_rejection` says so. Over plain http, a forward proxy on the way
    /// takes this header as its own.
    ///
    /// # Errors
    ///
    /// Those of [`authorization`](Self::authorization).
    pub fn proxy_authorization(scheme: &str) -> Result<Self, Error> {
        Self::new(PROXY_AUTHORIZATION, scheme)
    }

    /// Any header, for a client that follows no redirects (`reqwest::redirect::Policy::none()`).
    ///
    /// reqwest and tower-http's `FollowRedirect` remove only `Authorization` and `Proxy-Authorization` when a redirect
    /// leads to another host. Behind this adapter, they would send any other header, and the token in it, wherever a
    /// server redirects to.
    ///
    /// # Errors
    ///
    /// If the name is not a valid header name, or is `Host`; and those of [`authorization`](Self::authorization).
    pub fn for_client_without_redirects(name: &str, prefix: &str) -> Result<Self, Error> {
        match HeaderName::try_from(name) {
            Ok(name) if name != HOST => Self::new(name, prefix),
            _ => Err(Error::configuration(format!("token header: a token cannot be sent in a header named {name:?}"))),
        }
    }

    fn new(name: HeaderName, prefix: &str) -> Result<Self, Error> {
        if !prefix.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(Error::configuration("token header: the prefix contains characters that a header cannot have"));
        }
        let prefix = prefix.trim();
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix} ") };
        Ok(Self { name, prefix })
    }

    /// Whether it is the default.
    pub(super) fn is_usual(&self) -> bool {
        self.name == AUTHORIZATION && self.prefix == SCHEME
    }

    pub(super) fn value(&self, token: &AccessToken) -> HeaderValue {
        if self.prefix == SCHEME { token.authorization().clone() } else { token.with_prefix(&self.prefix) }
    }
}
