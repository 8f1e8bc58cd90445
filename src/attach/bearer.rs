//! Decides whether a request gets a token, and attaches it.

use std::{fmt, sync::Arc};

use http::{
    Extensions, HeaderMap, StatusCode,
    header::{AUTHORIZATION, Entry, HOST},
};
use tokio::time::Instant;

use super::{
    adapter::Adapter,
    attached::{Attached, Attempt, Obtained},
    deadline::before,
    header::TokenHeader,
    request::{GoesTo, sealed::Request},
};
use crate::{
    cache::{Lease, TokenCache},
    error::{Error, ErrorKind},
    fingerprint::Fingerprint,
    http_client::IsTokenRequest,
    origin::{Permission, PermittedBy, insecure},
    sharded::{Apart, Sharded},
    token_request::TokenRequest,
};

/// A request with this extension is sent without a token, and none is fetched. For public paths and health checks on an
/// origin whose other requests need one.
///
/// Insert it into the extensions of an `http::Request` or of tonic's `Request`, or use `with_extension` of
/// reqwest-middleware. (The layer cannot see the extensions of a `reqwest::Request`.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WithoutToken;

/// The settings of an adapter. Each thread has its own copy, so that requests do not contend for one reference count.
#[derive(Clone)]
pub(crate) struct Bearer(Sharded<Adapter>);

/// A request may get a token.
pub(crate) struct Permitted<'a> {
    adapter: &'a Arc<Apart<Adapter>>,
    /// `None`: that of the adapter's handle.
    key: Option<Fingerprint>,
    permitted_by: PermittedBy,
}

/// What is done with a request.
pub(crate) enum Attach {
    /// It is sent, with a token or unchanged.
    Done(Option<Attached>),
    /// No token is cached, or the request must not be sent.
    Wait(Pending),
}

/// What a request waits for before it can be sent.
pub(crate) struct Pending(Result<Wanted, Error>);

struct Wanted {
    request: Option<TokenRequest>,
    permitted_by: PermittedBy,
    asked: u64,
    adapter: Arc<Apart<Adapter>>,
}

impl Bearer {
    pub(crate) fn new(tokens: TokenCache) -> Self {
        Self::of(&Adapter { tokens, also_rejected: None, header: None, inner: None })
    }

    /// Adds to what already counts as a rejection.
    pub(crate) fn with_rejection(
        &self,
        rejected: impl Fn(StatusCode, &HeaderMap) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.with(|adapter| {
            adapter.also_rejected = Some(match adapter.also_rejected.take() {
                None => Arc::new(rejected),
                Some(before) => Arc::new(move |status, headers| before(status, headers) || rejected(status, headers)),
            });
        })
    }

    pub(crate) fn with_header(&self, header: TokenHeader) -> Self {
        self.with(|adapter| adapter.header = Some(header).filter(|header| !header.is_usual()))
    }

    pub(crate) fn for_origin(&self, origin: &str) -> Result<Self, Error> {
        let permitted_by = self.0.get().tokens.origins().permit_origin(origin)?;
        Ok(self.with(|adapter| adapter.inner = Some(permitted_by)))
    }

    fn with(&self, change: impl FnOnce(&mut Adapter)) -> Self {
        let mut adapter = Adapter::clone(self.0.get());
        change(&mut adapter);
        Self::of(&adapter)
    }

    fn of(adapter: &Adapter) -> Self {
        Self(Sharded::new(|| adapter.clone()))
    }

    /// A quick look at a request, which nearly every one passes. `None` leaves it to [`attach`](Self::attach): its URL
    /// does not begin as in the settings, it has a `Host` header, or it gets no token at all. `beside` are the
    /// extensions of a request whose type has none.
    #[inline(always)]
    pub(crate) fn permit<Req: Request>(&self, request: &Req, beside: Option<&Extensions>) -> Option<Permitted<'_>> {
        let extensions = beside.or_else(|| request.extensions()).filter(|extensions| !extensions.is_empty());
        if extensions.is_some_and(goes_without) {
            return None;
        }
        let key = extensions.and_then(Extensions::get).map(TokenRequest::fingerprint);
        let adapter = self.0.get();
        let permitted_by = request.permitted_as_written(adapter.tokens.origins(), adapter.inner)?;
        let is_usual = adapter.header.is_none() && !request.headers().keys().any(|name| *name == HOST);
        is_usual.then_some(Permitted { adapter, key, permitted_by })
    }

    /// Attaches the cached token, after `copy` has seen a request that gets one. Starts no renewal, and waits
    /// for nothing.
    #[cold]
    pub(crate) fn attach<Req: Request>(
        &self,
        request: &mut Req,
        beside: Option<&Extensions>,
        copy: impl FnOnce(&Req),
    ) -> Attach {
        let adapter = self.0.get();
        let extensions = beside.or_else(|| request.extensions());
        if extensions.is_some_and(goes_without) || adapter.keeps_own(request) {
            return Attach::Done(None);
        }
        let permitted_by = match adapter.permit(request) {
            Ok(Some(permitted_by)) => permitted_by,
            Ok(None) => return Attach::Done(None),
            Err(error) => return Attach::Wait(Pending(Err(error))),
        };
        copy(request);
        let (asked, wanted) = (request.asked(), extensions.and_then(Extensions::get));
        let Some(token) = adapter.tokens.cached(wanted) else {
            let adapter = Arc::clone(adapter);
            let wanted = Wanted { request: wanted.cloned(), permitted_by, asked, adapter };
            return Attach::Wait(Pending(Ok(wanted)));
        };
        let is_attached = adapter.insert(&token, request.headers_mut());
        let attached = || Attached::new(adapter.tokens.id(&token), Attempt::First, permitted_by, asked, adapter);
        Attach::Done(is_attached.then(attached))
    }
}

impl Permitted<'_> {
    /// Attaches the token that this thread has a lease of. Leaves the request unchanged if there is none, or if the
    /// request has a header of its own.
    #[inline(always)]
    pub(crate) fn attach_lease<Req: Request>(self, request: &mut Req) -> Option<Attached> {
        let Self { adapter, key, permitted_by } = self;
        // One look-up both finds a header that is already there and inserts ours. (`entry` costs 150 instructions more,
        // `contains_key` before it 100.)
        let append = |lease: &Lease| {
            let appended = request.headers_mut().try_append(AUTHORIZATION, lease.authorization.clone());
            let is_routine = lease.is_accepted_by(permitted_by.bit());
            (appended, if is_routine { Attempt::Routine } else { Attempt::First })
        };
        match adapter.tokens.leased(key, append)? {
            ((Ok(false), attempt), id) => Some(Attached::new(id, attempt, permitted_by, request.asked(), adapter)),
            ((Ok(true), _), _) => take_back(request.headers_mut()),
            // The request has as many headers as it can hold.
            ((Err(_), _), _) => None,
        }
    }
}

/// Whether a request is sent without a token. So is a token request: it may pass through the very adapter that waits
/// for its token.
fn goes_without(extensions: &Extensions) -> bool {
    extensions.get::<IsTokenRequest>().is_some() || extensions.get::<WithoutToken>().is_some()
}

/// Removes the last of several headers, which is ours.
#[cold]
fn take_back<T>(headers: &mut HeaderMap) -> Option<T> {
    let Entry::Occupied(mut header) = headers.entry(AUTHORIZATION) else { return None };
    let mut own: Vec<_> = header.iter().cloned().collect();
    own.pop();
    let mut own = own.into_iter();
    if let Some(first) = own.next() {
        header.insert(first);
    }
    own.for_each(|value| header.append(value));
    None
}

impl Adapter {
    /// Whether the caller has set the header.
    fn keeps_own<Req: Request>(&self, request: &Req) -> bool {
        let is_set = request.headers().contains_key(self.header_name());
        if is_set {
            self.tokens.own_header(self.header_name());
        }
        is_set
    }

    /// What permits the token at the request's destination. `None`: nothing does.
    fn permit<Req: Request>(&self, request: &Req) -> Result<Option<PermittedBy>, Error> {
        let permitted_by = match request.goes_to() {
            GoesTo::Proxy => return Ok(None),
            GoesTo::Inner => self.inner.ok_or_else(goes_anywhere)?,
            GoesTo::Origin(target) => match self.tokens.permit(&target) {
                Permission::Granted(permitted_by) => permitted_by,
                Permission::Foreign => return Ok(None),
                Permission::Insecure => return Err(insecure(&target)),
            },
        };
        Ok(self.tokens.permit_hosts(request.headers()).then_some(permitted_by))
    }
}

impl Pending {
    /// Waits for the token, at most until the request's own deadline.
    pub(crate) async fn token(self, deadline: Option<Instant>) -> Result<Obtained, Error> {
        let Wanted { request, permitted_by, asked, adapter } = self.0?;
        let token = before(deadline, adapter.tokens.clone().wait(request)).await.unwrap_or_else(|| Err(too_late()))?;
        let attached = Attached::new(adapter.tokens.id(&token), Attempt::First, permitted_by, asked, &adapter);
        Ok(Obtained { token, attached })
    }
}

fn too_late() -> Error {
    Error::new(ErrorKind::Timeout, "no token within the request's own time limit; the token request continues")
}

fn goes_anywhere() -> Error {
    Error::configuration(
        "the request names no host, and the layer was not told where its requests go: write \
         `BearerAuthLayer::new(tokens).for_origin(\"https://orders.internal:50051\")?`",
    )
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.get().tokens, f)
    }
}
