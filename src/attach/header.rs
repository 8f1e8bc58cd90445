use http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, HOST, PROXY_AUTHORIZATION},
};

use crate::{
    error::Error,
    token::{AccessToken, SCHEME},
};

/// Which header carries the token, and the word in front of it, where it is not `Authorization: Bearer`.
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
/// In all else it is as with the usual one: it is marked sensitive, it is attached only where tokens may go, a header
/// of that name that the caller set stays, and it is replaced when the token was rejected. To send two tokens, put one
/// layer around another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHeader {
    name: HeaderName,
    /// With the space that divides it from the token.
    prefix: String,
}

impl TokenHeader {
    /// `Authorization`, with a scheme other than `Bearer`; an empty one: the token alone.
    ///
    /// # Errors
    ///
    /// If the scheme has anything but visible ASCII and spaces in it.
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
    /// As [`authorization`](Self::authorization).
    pub fn proxy_authorization(scheme: &str) -> Result<Self, Error> {
        Self::new(PROXY_AUTHORIZATION, scheme)
    }

    /// Any header, for a client that follows no redirects, such as `reqwest::redirect::Policy::none()` makes one.
    ///
    /// reqwest and tower-http's `FollowRedirect` remove `Authorization` and `Proxy-Authorization` on the way to another
    /// host, and no other header: inside of this adapter, either of them would carry the token wherever a server
    /// redirects to.
    ///
    /// # Errors
    ///
    /// If the name is not a header's, or is `Host`; and as [`authorization`](Self::authorization).
    pub fn for_client_without_redirects(name: &str, prefix: &str) -> Result<Self, Error> {
        match HeaderName::try_from(name) {
            Ok(name) if name != HOST => Self::new(name, prefix),
            _ => Err(Error::configuration(format!("token header: a token cannot be sent in a header named {name:?}"))),
        }
    }

    fn new(name: HeaderName, prefix: &str) -> Result<Self, Error> {
        if !prefix.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(Error::configuration("token header: the prefix has characters that a header cannot have"));
        }
        let prefix = prefix.trim();
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix} ") };
        Ok(Self { name, prefix })
    }

    /// Whether it is what is sent without one.
    pub(super) fn is_usual(&self) -> bool {
        self.name == AUTHORIZATION && self.prefix == SCHEME
    }

    pub(super) fn name(&self) -> &HeaderName {
        &self.name
    }

    pub(super) fn value(&self, token: &AccessToken) -> HeaderValue {
        if self.prefix == SCHEME { token.authorization().clone() } else { token.with_prefix(&self.prefix) }
    }
}
