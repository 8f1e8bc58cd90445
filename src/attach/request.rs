use http::{Extensions, HeaderMap, Method, StatusCode, Version};
use tokio::time::Instant;

use super::deadline;
use crate::origin::Target;

/// A request that a token can be attached to: `http::Request<B>` and `reqwest::Request`.
#[diagnostic::on_unimplemented(
    message = "no access token can be attached to a `{Self}`",
    label = "the layer does not work with this client",
    note = "it works with clients of `http::Request<B>` (http 1) and, with the feature `reqwest`, of reqwest 0.13",
    note = "for reqwest 0.12 and other clients, use `TokenCache::header_for`: see https://docs.rs/client-credentials/latest/client_credentials/docs/other_clients"
)]
pub trait BearerRequest: sealed::Request {}

/// A response that can say that a token was rejected: `http::Response<B>` and `reqwest::Response`.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot say that an access token was rejected",
    label = "the layer does not work with this client",
    note = "it works with clients of `http::Response<B>` (http 1) and, with the feature `reqwest`, of reqwest 0.13",
    note = "for reqwest 0.12 and other clients, use `TokenCache::header_for`: see https://docs.rs/client-credentials/latest/client_credentials/docs/other_clients"
)]
pub trait BearerResponse: sealed::Response {}

// Otherwise the compiler names the sealed trait, which tells a user nothing.
#[diagnostic::do_not_recommend]
impl<T: sealed::Request> BearerRequest for T {}
#[diagnostic::do_not_recommend]
impl<T: sealed::Response> BearerResponse for T {}

pub(crate) mod sealed {
    use super::{Extensions, HeaderMap, Instant, StatusCode, Target, Version};

    pub trait Request {
        fn headers(&self) -> &HeaderMap;
        fn headers_mut(&mut self) -> &mut HeaderMap;
        /// `None`: this type of request does not expose any.
        fn extensions(&self) -> Option<&Extensions>;
        /// `None`: it names no authority, so the inner service decides where it goes; or it opens a tunnel.
        fn target(&self) -> Option<Target<'_>>;
        /// Whether it is a CONNECT that opens a tunnel: the token is not for the proxy.
        fn opens_tunnel(&self) -> bool;
        /// A fingerprint of its URL, for [`Response::redirected`].
        fn asked(&self) -> u64;
        /// When its own time limit ends.
        fn deadline(&self) -> Option<Instant>;
        /// Sets the request's time limit to what remains until then.
        fn leave_until(&mut self, deadline: Instant);
    }

    pub trait Response {
        fn head(&self) -> (StatusCode, Version, &HeaderMap);
        /// Where the client was redirected to, if the response shows it.
        fn redirected(&self, asked: u64) -> Option<Target<'_>>;
    }
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
    fn target(&self) -> Option<Target<'_>> {
        Target::of_uri(self.uri())
    }

    /// One with a scheme is an extended CONNECT (RFC 8441), and goes where it says.
    fn opens_tunnel(&self) -> bool {
        *self.method() == Method::CONNECT && self.uri().scheme().is_none()
    }

    #[inline]
    fn asked(&self) -> u64 {
        0
    }

    fn deadline(&self) -> Option<Instant> {
        deadline::grpc_timeout(self.headers()).and_then(deadline::after)
    }

    /// `grpc-timeout` goes to the server as the caller set it.
    fn leave_until(&mut self, _deadline: Instant) {}
}

impl<B> sealed::Response for http::Response<B> {
    #[inline]
    fn head(&self) -> (StatusCode, Version, &HeaderMap) {
        (self.status(), self.version(), self.headers())
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
    fn target(&self) -> Option<Target<'_>> {
        (!self.opens_tunnel()).then(|| Target::of_url(self.url()))
    }

    fn opens_tunnel(&self) -> bool {
        *self.method() == Method::CONNECT
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
    #[inline]
    fn head(&self) -> (StatusCode, Version, &HeaderMap) {
        (self.status(), self.version(), self.headers())
    }

    fn redirected(&self, asked: u64) -> Option<Target<'_>> {
        (fingerprint(self.url()) != asked).then(|| Target::of_url(self.url()))
    }
}

/// Tells two URLs apart. Fragments are ignored, since no server sees them. It is computed for every request, so it is
/// fast and not collision-resistant: whoever makes two URLs of an API collide gains no more than one token request.
#[cfg(feature = "reqwest")]
fn fingerprint(url: &reqwest::Url) -> u64 {
    let text = url.as_str().as_bytes();
    let fragment = url.fragment().map_or(0, |fragment| fragment.len() + 1);
    let (words, rest) = text[..text.len() - fragment].as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let all = words.chain(rest.iter().map(|byte| u64::from(*byte)));
    all.fold(0, |hash: u64, word| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95))
}
