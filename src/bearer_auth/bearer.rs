//! What both adapters do: decide whether a request gets a token, and read what the answer says about it.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use http::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, HOST},
    uri::{Authority, Scheme},
};

use super::request::{
    Address,
    sealed::{Request, Response},
};
use crate::{
    cache::TokenCache,
    challenge::{self, Rejection},
    error::Error,
    log,
    origin::{Permission, Target, insecure},
    source::TokenRequest,
    token::AccessToken,
};

/// Where the tokens come from, and which answers reject them.
#[derive(Clone)]
pub(crate) struct Bearer {
    tokens: TokenCache,
    also_rejected: Option<Arc<Predicate>>,
}

type Predicate = dyn Fn(StatusCode, &HeaderMap) -> bool + Send + Sync;

/// What happens to a request before it is sent.
pub(crate) enum Attach {
    /// It goes as it is.
    Not,
    With(AccessToken),
    /// There is no token at hand.
    Wait(Option<TokenRequest>),
    Refuse(Error),
}

/// A token on its way, and what is needed to read the answer.
pub(crate) struct Attached {
    pub token: AccessToken,
    destination: Destination,
    bearer: Bearer,
}

/// Where a request went. Made without an allocation, since it is needed only if the answer rejects the token.
enum Destination {
    /// Where the inner service goes.
    Inner,
    Uri(Option<Scheme>, Authority),
    /// A hash of the origin: the answer of a `reqwest::Client` has the URL itself.
    #[cfg(feature = "reqwest")]
    Url(u64),
}

/// An answer that rejects the token.
pub(crate) struct Rejected {
    attached: Attached,
    origin: String,
    rejection: Rejection,
}

/// Whether this is the answer of a gRPC server that refused the call as unauthenticated before it began: `grpc-status: 16` among the
/// headers ("trailers-only"). For [`BearerAuthLayer::with_rejection`](crate::BearerAuthLayer::with_rejection).
pub fn grpc_unauthenticated(_status: StatusCode, headers: &HeaderMap) -> bool {
    headers.get("grpc-status").is_some_and(|status| status == "16")
}

impl Bearer {
    pub(crate) fn new(tokens: TokenCache) -> Self {
        Self { tokens, also_rejected: None }
    }

    pub(crate) fn with_rejection(
        self,
        rejected: impl Fn(StatusCode, &HeaderMap) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { also_rejected: Some(Arc::new(rejected)), ..self }
    }

    /// Decides, and looks for a token at hand. `wanted` applies where the request itself names no other. Starts nothing.
    pub(crate) fn decide<Req: Request>(&self, request: &Req, wanted: Option<&TokenRequest>) -> Attach {
        if request.is_token_request() {
            return Attach::Not;
        }
        if request.headers().contains_key(AUTHORIZATION) {
            log::own_header();
            return Attach::Not;
        }
        match self.permission(&request.address(), request.headers()) {
            Ok(Permission::Granted) => {}
            Ok(_) => return Attach::Not,
            Err(error) => return Attach::Refuse(error),
        }
        let wanted = request.token_request().or(wanted);
        match self.tokens.at_hand(wanted) {
            Some(token) => Attach::With(token),
            None => Attach::Wait(wanted.cloned()),
        }
    }

    fn permission(&self, address: &Address<'_>, headers: &HeaderMap) -> Result<Permission, Error> {
        let target = match address {
            // It speaks to a proxy, which is not whom the token is for.
            Address::Uri(method, _) if **method == Method::CONNECT => return Ok(Permission::Foreign),
            Address::Uri(_, uri) => Target::of_uri(uri),
            #[cfg(feature = "reqwest")]
            Address::Url(method, _) if **method == Method::CONNECT => return Ok(Permission::Foreign),
            #[cfg(feature = "reqwest")]
            Address::Url(_, url) => Some(Target::of_url(url)),
        };
        if let Some(target) = target {
            return match self.tokens.permit(&target) {
                Permission::Insecure => Err(insecure(&target)),
                permission => Ok(permission),
            };
        }
        // It goes where the inner service goes, unless it says otherwise itself.
        for host in headers.get_all(HOST) {
            let permission = match Authority::try_from(host.as_bytes()) {
                Ok(host) => self.tokens.permit(&Target::of_parts(None, &host)),
                Err(_) => self.tokens.permit(&Target::unreadable()),
            };
            if permission != Permission::Granted {
                return Ok(permission);
            }
        }
        Ok(Permission::Granted)
    }

    /// A token, with waiting.
    pub(crate) async fn wait(self, wanted: Option<TokenRequest>) -> Result<AccessToken, Error> {
        self.tokens.wait(wanted).await
    }

    /// Puts the token on the request.
    pub(crate) fn attach<Req: Request>(&self, request: &mut Req, token: AccessToken) -> Attached {
        let destination = Destination::of(&request.address());
        set(request, &token);
        Attached { token, destination, bearer: self.clone() }
    }
}

impl Attached {
    /// `Ok`: the answer does not reject the token.
    pub(crate) fn read<Res: Response>(self, response: &Res) -> Result<Self, Rejected> {
        let (status, headers) = (response.status(), response.headers());
        let rejection = match status {
            StatusCode::UNAUTHORIZED => challenge::rejection(headers),
            _ => None,
        };
        let also =
            self.bearer.also_rejected.as_ref().filter(|rejected| rejection.is_none() && rejected(status, headers));
        let answered_by = response.answered_by();
        let Some(rejection) = rejection.or(also.map(|_| Rejection::Bare)) else {
            if status == StatusCode::UNAUTHORIZED {
                log::not_a_rejection(&self.destination.asked(answered_by.as_ref()).unwrap_or_default());
            }
            return Ok(self);
        };
        if let Some(origin) = self.destination.asked(answered_by.as_ref()) {
            return Err(Rejected { attached: self, origin, rejection });
        }
        if let Some(target) = answered_by {
            self.bearer.tokens.answered_elsewhere(&target);
        }
        Ok(self)
    }

    /// The end of a replay. If the API accepted the new token, that ends the origin's streak of rejections; an answer that does not come
    /// from behind the check of the token says nothing.
    pub(crate) fn replayed<Res: Response>(self, response: &Res) {
        let status = response.status();
        let tokens = self.bearer.tokens.clone();
        let outcome = self.read(response);
        tokens.replayed(outcome.is_err());
        match outcome {
            Ok(_) if status == StatusCode::UNAUTHORIZED || status.is_server_error() => {}
            Ok(Self { token, destination, bearer }) => {
                if let Some(origin) = destination.asked(response.answered_by().as_ref()) {
                    bearer.tokens.accepted(&token, &origin);
                }
            }
            Err(Rejected { origin, .. }) => log::fresh_token_rejected(&origin),
        }
    }

    /// Puts the token on a request that goes where the rejected one went.
    pub(crate) fn set<Req: Request>(&self, request: &mut Req) {
        set(request, &self.token);
    }
}

impl Rejected {
    /// Another token than the rejected one, if one can be had. Where there is no copy to send it with, the caller's next request has it.
    pub(crate) async fn recover(self, copied: bool) -> Option<Attached> {
        let Self { attached: Attached { token, destination, bearer }, origin, rejection } = self;
        if !copied {
            log::not_sent_again(&origin);
        }
        let token = bearer.tokens.clone().recover(token, origin, rejection).await?;
        Some(Attached { token, destination, bearer })
    }
}

impl Destination {
    fn of(address: &Address<'_>) -> Self {
        match address {
            Address::Uri(_, uri) => match uri.authority() {
                Some(authority) => Self::Uri(uri.scheme().cloned(), authority.clone()),
                None => Self::Inner,
            },
            #[cfg(feature = "reqwest")]
            Address::Url(_, url) => Self::Url(hash(&Target::of_url(url))),
        }
    }

    /// The origin that was asked; `None` if another one answered.
    fn asked(&self, answered_by: Option<&Target<'_>>) -> Option<String> {
        match self {
            Self::Inner => Some(answered_by.map(Target::to_origin).unwrap_or_default()),
            Self::Uri(scheme, authority) => {
                let scheme = scheme.as_ref().map(Scheme::as_str);
                let asked = Target::of_parts(scheme, authority);
                answered_by.is_none_or(|target| hash(target) == hash(&asked)).then(|| asked.to_origin())
            }
            #[cfg(feature = "reqwest")]
            Self::Url(asked) => match answered_by {
                Some(target) => (hash(target) == *asked).then(|| target.to_origin()),
                None => Some(String::new()),
            },
        }
    }
}

fn hash(target: &Target<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    hasher.finish()
}

fn set<Req: Request>(request: &mut Req, token: &AccessToken) {
    request.headers_mut().insert(AUTHORIZATION, token.authorization().clone());
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.tokens, f)
    }
}
