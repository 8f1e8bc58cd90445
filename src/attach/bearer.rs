//! What both adapters do: decide whether a request gets a token, and read what the answer says about it.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use http::{
    Extensions, HeaderMap, Method, StatusCode, Uri,
    header::{AUTHORIZATION, Entry, HOST},
    uri::Authority,
};

use super::request::{
    Address,
    sealed::{Request, Response},
};
use crate::{
    cache::TokenCache,
    challenge::{self, Rejection},
    error::Error,
    http_client::IsTokenRequest,
    origin::{Permission, Scheme, Target, insecure},
    report::log,
    sharded::Sharded,
    source::TokenRequest,
    token::AccessToken,
};

/// Where the tokens come from, and which answers reject them. What a request takes along of it is its thread's own copy.
#[derive(Clone)]
pub(crate) struct Bearer(Arc<Sharded<Arc<Rules>>>);

#[derive(Clone)]
#[repr(align(128))]
struct Rules {
    tokens: TokenCache,
    also_rejected: Option<Arc<Predicate>>,
}

type Predicate = dyn Fn(StatusCode, &HeaderMap) -> bool + Send + Sync;

/// What happened to a request before it is sent.
pub(crate) enum Attach<C> {
    /// It goes as it is.
    Not,
    /// It has a token now; what was copied of it before has none.
    With(Attached, C),
    /// There is no token at hand.
    Wait(Pending),
    Refuse(Error),
}

/// What a request waits for.
pub(crate) struct Pending {
    wanted: Option<TokenRequest>,
    destination: Destination,
    rules: Arc<Rules>,
}

/// The token of a request, and what is needed to read the answer. (A fingerprint of the token would be one reference less to count, but was no faster: the header is
/// then moved about, by some 30 instructions.)
pub(crate) struct Attached {
    token: AccessToken,
    destination: Destination,
    rules: Arc<Rules>,
}

/// Where a request went. Made without an allocation, since it is needed only if the answer rejects the token.
enum Destination {
    /// Where the inner service goes.
    Inner,
    /// The origin at this position of those that are named.
    Listed(usize),
    Uri(Scheme, Authority),
    /// A hash of the origin: the answer of a `reqwest::Client` has the URL itself.
    #[cfg(feature = "reqwest")]
    Url(u64),
}

/// What an answer has against the token.
pub(crate) struct Rejected {
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
        Self::of(&Rules { tokens, also_rejected: None })
    }

    pub(crate) fn with_rejection(
        &self,
        rejected: impl Fn(StatusCode, &HeaderMap) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::of(&Rules { tokens: self.0.get().tokens.clone(), also_rejected: Some(Arc::new(rejected)) })
    }

    fn of(rules: &Rules) -> Self {
        Self(Arc::new(Sharded::new(|| Arc::new(Rules::clone(rules)))))
    }

    /// Attaches the token at hand, after a copy was made of the request. `wanted` applies where the request itself names no other token. Starts
    /// nothing.
    #[inline(always)]
    pub(crate) fn attach<Req: Request, C>(
        &self,
        request: &mut Req,
        wanted: Option<&TokenRequest>,
        copy: impl FnOnce(&Req) -> C,
    ) -> Attach<C> {
        let extensions = request.extensions().filter(|extensions| !extensions.is_empty());
        if extensions.is_some_and(|extensions| extensions.get::<IsTokenRequest>().is_some()) {
            return Attach::Not;
        }
        let wanted = extensions.and_then(Extensions::get).or(wanted);
        let rules = self.0.get();
        let (method, position) = match request.address() {
            Address::Uri(method, uri) => (method, rules.tokens.origins().position(uri)),
            #[cfg(feature = "reqwest")]
            Address::Url(method, url) => (method, rules.tokens.origins().position_of_url(url)),
        };
        if let Some(at) = position
            && *method != Method::CONNECT
            && let Some(token) = rules.tokens.cached(wanted)
        {
            return rules.give(token, Destination::Listed(at), request, copy);
        }
        let wanted = wanted.cloned();
        rules.attach(request, wanted, copy)
    }
}

impl Rules {
    #[cold]
    fn attach<Req: Request, C>(
        self: &Arc<Self>,
        request: &mut Req,
        wanted: Option<TokenRequest>,
        copy: impl FnOnce(&Req) -> C,
    ) -> Attach<C> {
        if request.headers().contains_key(AUTHORIZATION) {
            log::own_header();
            return Attach::Not;
        }
        let destination = match self.destination(&request.address(), request.headers()) {
            Ok(Some(destination)) => destination,
            Ok(None) => return Attach::Not,
            Err(error) => return Attach::Refuse(error),
        };
        match self.tokens.cached(wanted.as_ref()) {
            Some(token) => self.give(token, destination, request, copy),
            None => Attach::Wait(Pending { wanted, destination, rules: Arc::clone(self) }),
        }
    }

    #[inline(always)]
    fn give<Req: Request, C>(
        self: &Arc<Self>,
        token: AccessToken,
        destination: Destination,
        request: &mut Req,
        copy: impl FnOnce(&Req) -> C,
    ) -> Attach<C> {
        let copy = copy(request);
        if !append(&token, request) {
            return Attach::Not;
        }
        Attach::With(Attached { token, destination, rules: Arc::clone(self) }, copy)
    }

    /// Where the request goes, if the token may go there.
    fn destination(&self, address: &Address<'_>, headers: &HeaderMap) -> Result<Option<Destination>, Error> {
        match address {
            // It speaks to a proxy, which is not whom the token is for.
            Address::Uri(method, _) if **method == Method::CONNECT => Ok(None),
            Address::Uri(_, uri) => match Target::of_uri(uri) {
                Some(target) => self.permit(&target, || Destination::of_uri(uri)),
                None => Ok(self.permit_hosts(headers).then_some(Destination::Inner)),
            },
            #[cfg(feature = "reqwest")]
            Address::Url(method, _) if **method == Method::CONNECT => Ok(None),
            #[cfg(feature = "reqwest")]
            Address::Url(_, url) => {
                let target = Target::of_url(url);
                self.permit(&target, || Destination::Url(hash(&target)))
            }
        }
    }

    fn permit(
        &self,
        target: &Target<'_>,
        destination: impl FnOnce() -> Destination,
    ) -> Result<Option<Destination>, Error> {
        match self.tokens.permit(target) {
            Permission::Granted(Some(at)) => Ok(Some(Destination::Listed(at))),
            Permission::Granted(None) => Ok(Some(destination())),
            Permission::Foreign => Ok(None),
            Permission::Insecure => Err(insecure(target)),
        }
    }

    /// A request without an authority goes where the inner service goes, unless it says otherwise itself.
    fn permit_hosts(&self, headers: &HeaderMap) -> bool {
        headers.get_all(HOST).iter().all(|host| {
            let permission = match Authority::try_from(host.as_bytes()) {
                Ok(host) => self.tokens.permit(&Target::of_parts(None, &host)),
                Err(_) => self.tokens.permit(&Target::unreadable()),
            };
            matches!(permission, Permission::Granted(_))
        })
    }
}

impl Pending {
    /// The token, with waiting.
    pub(crate) async fn token(self) -> Result<Attached, Error> {
        let Self { wanted, destination, rules } = self;
        let token = rules.tokens.clone().wait(wanted).await?;
        Ok(Attached { token, destination, rules })
    }
}

impl Attached {
    /// Puts the token on a request that has no header of its own; `false`: it has as many headers as there can be.
    pub(crate) fn set<Req: Request>(&self, request: &mut Req) -> bool {
        request.headers_mut().try_insert(AUTHORIZATION, self.token.authorization().clone()).is_ok()
    }

    /// What the answer has against the token, if anything.
    #[inline]
    pub(crate) fn read<Res: Response>(&self, response: &Res) -> Option<Rejected> {
        if response.status() != StatusCode::UNAUTHORIZED && self.rules.also_rejected.is_none() {
            if self.rules.tokens.has_streaks() {
                self.accepted(response.status(), response.answered_by().as_ref());
            }
            return None;
        }
        self.read_closely(response.status(), response.headers(), response.answered_by())
    }

    /// A response that comes from behind the check of the token says that it was accepted.
    #[cold]
    fn accepted(&self, status: StatusCode, answered_by: Option<&Target<'_>>) {
        if status != StatusCode::UNAUTHORIZED
            && !status.is_server_error()
            && let Some(origin) = self.asked(answered_by)
        {
            self.rules.tokens.accepted(&self.token, &origin);
        }
    }

    #[cold]
    fn read_closely(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        answered_by: Option<Target<'_>>,
    ) -> Option<Rejected> {
        let rejection = if status == StatusCode::UNAUTHORIZED { challenge::rejection(headers) } else { None };
        let rejection = rejection.or_else(|| {
            let also_rejected = self.rules.also_rejected.as_ref()?;
            also_rejected(status, headers).then_some(Rejection::Bare)
        });
        let origin = self.asked(answered_by.as_ref());
        let Some(rejection) = rejection else {
            if status == StatusCode::UNAUTHORIZED {
                log::not_a_rejection(&origin.unwrap_or_default());
            } else if self.rules.tokens.has_streaks() {
                self.accepted(status, answered_by.as_ref());
            }
            return None;
        };
        if let (None, Some(target)) = (&origin, answered_by) {
            self.rules.tokens.refused_elsewhere(&target);
        }
        Some(Rejected { origin: origin?, rejection })
    }

    /// Another token than the rejected one, if one can be had. Where there is no copy to send it with, the caller's next request has it.
    pub(crate) async fn recover(self, Rejected { origin, rejection }: Rejected, copied: bool) -> Option<Self> {
        if !copied {
            log::not_sent_again(&origin);
        }
        let Self { token, destination, rules } = self;
        let token = rules.tokens.clone().recover(token, origin, rejection).await?;
        Some(Self { token, destination, rules })
    }

    /// The end of a replay. If the API accepted the new token, that ends the origin's streak of rejections; an answer that does not come
    /// from behind the check of the token says nothing.
    pub(crate) fn replayed<Res: Response>(&self, response: &Res) {
        let (status, tokens) = (response.status(), &self.rules.tokens);
        let rejected = self.read(response);
        tokens.report().replayed(rejected.is_some());
        match rejected {
            Some(Rejected { origin, .. }) => log::fresh_token_rejected(&origin),
            None if status == StatusCode::UNAUTHORIZED || status.is_server_error() => {}
            None => {
                if let Some(origin) = self.asked(response.answered_by().as_ref()) {
                    tokens.accepted_in_place(&self.token, &origin);
                }
            }
        }
    }

    /// The origin that was asked; `None` if another one answered.
    fn asked(&self, answered_by: Option<&Target<'_>>) -> Option<String> {
        match &self.destination {
            Destination::Inner => Some(answered_by.map(Target::to_origin).unwrap_or_default()),
            Destination::Listed(at) => {
                let origins = self.rules.tokens.origins();
                answered_by.is_none_or(|target| origins.is_at(*at, target)).then(|| origins.name_at(*at))
            }
            Destination::Uri(scheme, authority) => {
                let asked = Target::of_parts(Some(scheme.as_str()), authority);
                answered_by.is_none_or(|target| hash(target) == hash(&asked)).then(|| asked.to_origin())
            }
            #[cfg(feature = "reqwest")]
            Destination::Url(asked) => match answered_by {
                Some(target) => (hash(target) == *asked).then(|| target.to_origin()),
                None => Some(String::new()),
            },
        }
    }
}

impl Destination {
    fn of_uri(uri: &Uri) -> Self {
        match (uri.scheme_str().and_then(Scheme::read), uri.authority()) {
            (Some(scheme), Some(authority)) => Self::Uri(scheme, authority.clone()),
            _ => Self::Inner,
        }
    }
}

/// Puts the token on the request; `false`: it has a header of its own, which stays, or as many headers as there can be.
#[inline]
fn append<Req: Request>(token: &AccessToken, request: &mut Req) -> bool {
    // One look-up tells both whether there is a header already and where ours goes (`entry` takes 150 instructions more, asking first 100).
    let Ok(occupied) = request.headers_mut().try_append(AUTHORIZATION, token.authorization().clone()) else {
        return false;
    };
    if occupied {
        take_back(request.headers_mut());
    }
    !occupied
}

/// Removes the last of several headers, which is ours.
#[cold]
fn take_back(headers: &mut HeaderMap) {
    log::own_header();
    let Entry::Occupied(mut header) = headers.entry(AUTHORIZATION) else { return };
    let mut own: Vec<_> = header.iter().cloned().collect();
    own.pop();
    let mut own = own.into_iter();
    if let Some(first) = own.next() {
        header.insert(first);
    }
    own.for_each(|value| header.append(value));
}

fn hash(target: &Target<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    hasher.finish()
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.get().tokens, f)
    }
}
