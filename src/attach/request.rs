use http::{Extensions, HeaderMap, Method, StatusCode, Version};
use tokio::time::Instant;

use super::deadline;
use crate::origin::{Origins, PermittedBy, Target};

/// A request that a token can be attached to: `http::Request<B>` and `reqwest::Request`.
#[diagnostic::on_unimplemented(
    message = "no access token can be attached to a `{Self}`",
    note = "the layer is for clients whose requests are `http::Request<B>` or, with the feature `reqwest`, \
            `reqwest::Request`"
)]
pub trait BearerRequest: sealed::Request {}

/// A response that can say that a token was rejected: `http::Response<B>` and `reqwest::Response`.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot say that an access token was rejected",
    note = "the layer is for clients whose responses are `http::Response<B>` or, with the feature `reqwest`, \
            `reqwest::Response`"
)]
pub trait BearerResponse: sealed::Response {}

impl<T: sealed::Request> BearerRequest for T {}
impl<T: sealed::Response> BearerResponse for T {}

pub(crate) mod sealed {
    use super::{Extensions, GoesTo, HeaderMap, Instant, Origins, PermittedBy, StatusCode, Target, Version};

    pub trait Request {
        fn headers(&self) -> &HeaderMap;
        fn headers_mut(&mut self) -> &mut HeaderMap;
        /// `None`: it shows them to nobody.
        fn extensions(&self) -> Option<&Extensions>;
        /// What permits its token without a closer look, as nearly every request is written. `inner` permits what names
        /// no authority.
        fn permitted_as_written(&self, origins: &Origins, inner: Option<PermittedBy>) -> Option<PermittedBy>;
        fn goes_to(&self) -> GoesTo<'_>;
        /// What its response is to be compared with, by [`Response::redirected`].
        fn asked(&self) -> u64;
        /// When its own time limit ends.
        fn deadline(&self) -> Option<Instant>;
        /// Leaves the client what remains until then.
        fn leave_until(&mut self, deadline: Instant);
    }

    pub trait Response {
        fn status(&self) -> StatusCode;
        fn version(&self) -> Version;
        fn headers(&self) -> &HeaderMap;
        /// Where the client followed a redirect to, if it says so.
        fn redirected(&self, asked: u64) -> Option<Target<'_>>;
    }
}

/// Where a request goes, as far as it says so itself.
#[derive(Debug)]
pub enum GoesTo<'a> {
    #[doc(hidden)]
    Origin(Target<'a>),
    /// It names no authority: where the inner service goes.
    #[doc(hidden)]
    Inner,
    /// A CONNECT that opens a tunnel: a proxy is not whom the token is for.
    #[doc(hidden)]
    Proxy,
}

impl<B> sealed::Request for http::Request<B> {
    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }

    fn extensions(&self) -> Option<&Extensions> {
        Some(self.extensions())
    }

    #[inline]
    fn permitted_as_written(&self, origins: &Origins, inner: Option<PermittedBy>) -> Option<PermittedBy> {
        match self.uri().authority() {
            // A CONNECT with a scheme is an extended one (RFC 8441), and one without a scheme is nobody's.
            Some(authority) => origins.as_written(self.uri().scheme_str()?, authority.as_str()),
            None => inner.filter(|_| *self.method() != Method::CONNECT),
        }
    }

    fn goes_to(&self) -> GoesTo<'_> {
        if *self.method() == Method::CONNECT && self.uri().scheme().is_none() {
            return GoesTo::Proxy;
        }
        Target::of_uri(self.uri()).map_or(GoesTo::Inner, GoesTo::Origin)
    }

    #[inline]
    fn asked(&self) -> u64 {
        0
    }

    fn deadline(&self) -> Option<Instant> {
        deadline::grpc_timeout(self.headers()).and_then(deadline::after)
    }

    /// The server is told of the time limit as it was set.
    fn leave_until(&mut self, _deadline: Instant) {}
}

impl<B> sealed::Response for http::Response<B> {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn version(&self) -> Version {
        self.version()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn redirected(&self, _asked: u64) -> Option<Target<'_>> {
        None
    }
}

#[cfg(feature = "reqwest")]
impl sealed::Request for reqwest::Request {
    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }

    fn extensions(&self) -> Option<&Extensions> {
        None
    }

    #[inline]
    fn permitted_as_written(&self, origins: &Origins, _inner: Option<PermittedBy>) -> Option<PermittedBy> {
        if *self.method() == Method::CONNECT { None } else { origins.url_as_written(self.url()) }
    }

    /// The client sends no CONNECT but to open a tunnel.
    fn goes_to(&self) -> GoesTo<'_> {
        if *self.method() == Method::CONNECT { GoesTo::Proxy } else { GoesTo::Origin(Target::of_url(self.url())) }
    }

    fn asked(&self) -> u64 {
        fingerprint(self.url())
    }

    fn deadline(&self) -> Option<Instant> {
        self.timeout().copied().and_then(deadline::after)
    }

    fn leave_until(&mut self, deadline: Instant) {
        *self.timeout_mut() = Some(deadline.saturating_duration_since(Instant::now()));
    }
}

#[cfg(feature = "reqwest")]
impl sealed::Response for reqwest::Response {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn version(&self) -> Version {
        self.version()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn redirected(&self, asked: u64) -> Option<Target<'_>> {
        (fingerprint(self.url()) != asked).then(|| Target::of_url(self.url()))
    }
}

/// Tells two URLs apart, without their fragments, which no server sees. Each request has one made, so it is no hash
/// against people who mean harm: who makes two URLs of an API look like one gains a token request.
#[cfg(feature = "reqwest")]
fn fingerprint(url: &reqwest::Url) -> u64 {
    let text = url.as_str().as_bytes();
    let fragment = url.fragment().map_or(0, |fragment| fragment.len() + 1);
    let (words, rest) = text[..text.len() - fragment].as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let all = words.chain(rest.iter().map(|byte| u64::from(*byte)));
    all.fold(0, |hash: u64, word| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95))
}
