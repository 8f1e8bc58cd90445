use http::{Extensions, HeaderMap, Method, StatusCode, Uri};

use crate::origin::Target;

/// A request that a token can be attached to: `http::Request<B>` and `reqwest::Request`.
#[diagnostic::on_unimplemented(
    message = "no access token can be attached to a `{Self}`",
    label = "not a client that the layer fits",
    note = "it fits clients of `http::Request<B>` (http 1) and, with the feature `reqwest`, of reqwest 0.13",
    note = "reqwest 0.12 and others do not fit, and need not: `TokenCache::header_for`, in docs/other-clients.md"
)]
pub trait BearerRequest: sealed::Request {}

/// A response that can say that a token was rejected: `http::Response<B>` and `reqwest::Response`.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot say that an access token was rejected",
    label = "not a client that the layer fits",
    note = "it fits clients of `http::Response<B>` (http 1) and, with the feature `reqwest`, of reqwest 0.13",
    note = "reqwest 0.12 and others do not fit, and need not: `TokenCache::header_for`, in docs/other-clients.md"
)]
pub trait BearerResponse: sealed::Response {}

// Else the compiler names the sealed trait, which says nothing to a user.
#[diagnostic::do_not_recommend]
impl<T: sealed::Request> BearerRequest for T {}
#[diagnostic::do_not_recommend]
impl<T: sealed::Response> BearerResponse for T {}

pub(crate) mod sealed {
    use super::{Address, Extensions, HeaderMap, StatusCode, Target};

    pub trait Request {
        fn headers(&self) -> &HeaderMap;
        fn headers_mut(&mut self) -> &mut HeaderMap;
        fn address(&self) -> Address<'_>;
        /// `None`: it shows them to nobody.
        fn extensions(&self) -> Option<&Extensions>;
    }

    pub trait Response {
        fn status(&self) -> StatusCode;
        fn headers(&self) -> &HeaderMap;
        /// Where the answer comes from, if it says so: a client may have followed a redirect.
        fn answered_by(&self) -> Option<Target<'_>>;
    }
}

/// Where a request goes, as far as it says so itself.
#[derive(Debug)]
pub enum Address<'a> {
    #[doc(hidden)]
    Uri(&'a Method, &'a Uri),
    #[doc(hidden)]
    #[cfg(feature = "reqwest")]
    Url(&'a Method, &'a reqwest::Url),
}

impl<B> sealed::Request for http::Request<B> {
    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }

    fn address(&self) -> Address<'_> {
        Address::Uri(self.method(), self.uri())
    }

    fn extensions(&self) -> Option<&Extensions> {
        Some(self.extensions())
    }
}

impl<B> sealed::Response for http::Response<B> {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn answered_by(&self) -> Option<Target<'_>> {
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

    fn address(&self) -> Address<'_> {
        Address::Url(self.method(), self.url())
    }

    fn extensions(&self) -> Option<&Extensions> {
        None
    }
}

#[cfg(feature = "reqwest")]
impl sealed::Response for reqwest::Response {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn answered_by(&self) -> Option<Target<'_>> {
        Some(Target::of_url(self.url()))
    }
}
