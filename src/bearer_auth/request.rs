use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{AUTHORIZATION, HOST},
    uri::Authority,
};

use crate::{
    cache::TokenCache,
    challenge::{self, Rejection},
    error::Error,
    http_client::IsTokenRequest,
    origin::{Permission, Target, insecure},
    source::TokenRequest,
    token::AccessToken,
};

/// A request that a token can be attached to: `http::Request<B>` and `reqwest::Request`.
pub trait BearerRequest: sealed::Request {}

/// A response that can say that a token was rejected: `http::Response<B>` and `reqwest::Response`.
pub trait BearerResponse: sealed::Response {}

impl<T: sealed::Request> BearerRequest for T {}
impl<T: sealed::Response> BearerResponse for T {}

pub(crate) mod sealed {
    use super::{Address, HeaderMap, StatusCode, TokenRequest};

    pub trait Request {
        fn headers(&self) -> &HeaderMap;
        fn headers_mut(&mut self) -> &mut HeaderMap;
        fn address(&self) -> Address<'_>;
        fn token_request(&self) -> Option<&TokenRequest>;
        fn is_token_request(&self) -> bool;
    }

    pub trait Response {
        fn status(&self) -> StatusCode;
        fn headers(&self) -> &HeaderMap;
        /// Whether the answer comes from the origin that was asked; a client may have followed a redirect.
        fn is_from(&self, origin: &str) -> bool;
    }
}

/// Where a request goes, as far as it says so itself.
#[derive(Debug)]
pub enum Address<'a> {
    #[doc(hidden)]
    Uri(&'a Method, &'a Uri),
    #[doc(hidden)]
    #[cfg(feature = "reqwest")]
    Url(&'a reqwest::Url),
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

    fn token_request(&self) -> Option<&TokenRequest> {
        self.extensions().get()
    }

    fn is_token_request(&self) -> bool {
        self.extensions().get::<IsTokenRequest>().is_some()
    }
}

impl<B> sealed::Response for http::Response<B> {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn is_from(&self, _origin: &str) -> bool {
        true
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
        Address::Url(self.url())
    }

    /// `reqwest::Request` shows its extensions to nobody.
    fn token_request(&self) -> Option<&TokenRequest> {
        None
    }

    fn is_token_request(&self) -> bool {
        false
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

    fn is_from(&self, origin: &str) -> bool {
        Target::of_url(self.url()).to_origin() == origin
    }
}

/// What happens to a request before it is sent.
pub(crate) enum Attach {
    /// It goes as it is.
    Not,
    With(AccessToken),
    /// A token must be waited for.
    Wait(Option<TokenRequest>),
    Refuse(Error),
}

/// Decides, and looks for a token at hand.
pub(crate) fn decide<Req: sealed::Request>(
    request: &Req,
    wanted: Option<&TokenRequest>,
    tokens: &TokenCache,
) -> Attach {
    if request.headers().contains_key(AUTHORIZATION) || request.is_token_request() {
        return Attach::Not;
    }
    match permission(&request.address(), request.headers(), tokens) {
        Ok(Permission::Granted) => {}
        Ok(_) => return Attach::Not,
        Err(error) => return Attach::Refuse(error),
    }
    let wanted = request.token_request().or(wanted);
    match tokens.ready(wanted) {
        Some(token) => Attach::With(token),
        None => Attach::Wait(wanted.cloned()),
    }
}

fn permission(address: &Address<'_>, headers: &HeaderMap, tokens: &TokenCache) -> Result<Permission, Error> {
    let target = match address {
        // It speaks to a proxy, which is not whom the token is for.
        Address::Uri(method, _) if **method == Method::CONNECT => return Ok(Permission::Foreign),
        Address::Uri(_, uri) => Target::of_uri(uri),
        #[cfg(feature = "reqwest")]
        Address::Url(url) => Some(Target::of_url(url)),
    };
    let Some(target) = target else {
        // It goes where the inner service goes, unless it says otherwise itself.
        let Some(host) = headers.get(HOST) else { return Ok(Permission::Granted) };
        return Ok(match Authority::try_from(host.as_bytes()) {
            Ok(host) => tokens.permit(&Target::of_authority(&host)),
            Err(_) => Permission::Foreign,
        });
    };
    match tokens.permit(&target) {
        Permission::Insecure => Err(insecure(&target)),
        permission => Ok(permission),
    }
}

/// Where a request went, kept for the case that its answer rejects the token. Costs no allocation for an `http::Request`.
#[derive(Debug)]
pub(crate) enum Destination {
    Inner,
    Uri(Option<http::uri::Scheme>, Authority),
    #[cfg(feature = "reqwest")]
    Url(reqwest::Url),
}

impl Destination {
    pub(crate) fn of<Req: sealed::Request>(request: &Req) -> Self {
        match request.address() {
            Address::Uri(_, uri) => match uri.authority() {
                Some(authority) => Self::Uri(uri.scheme().cloned(), authority.clone()),
                None => Self::Inner,
            },
            #[cfg(feature = "reqwest")]
            Address::Url(url) => Self::Url(url.clone()),
        }
    }

    pub(crate) fn origin(&self) -> String {
        match self {
            Self::Inner => String::new(),
            Self::Uri(scheme, authority) => {
                let scheme = scheme.as_ref().map(http::uri::Scheme::as_str);
                Target { scheme, ..Target::of_authority(authority) }.to_origin()
            }
            #[cfg(feature = "reqwest")]
            Self::Url(url) => Target::of_url(url).to_origin(),
        }
    }
}

/// What the answer to a request that carried our token says about that token.
pub(crate) fn rejection<Res: sealed::Response>(response: &Res, sent_to: &Destination) -> Option<(Rejection, String)> {
    if response.status() != StatusCode::UNAUTHORIZED {
        return None;
    }
    let origin = sent_to.origin();
    let rejection = challenge::rejection(response.headers()).filter(|_| response.is_from(&origin))?;
    Some((rejection, origin))
}

pub(crate) fn set(headers: &mut HeaderMap, token: &AccessToken) {
    let value: HeaderValue = token.authorization().clone();
    headers.insert(AUTHORIZATION, value);
}
