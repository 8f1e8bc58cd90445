//! Decides whether a request gets a token, and attaches it.

use std::sync::Arc;

use http::{
    Extensions, HeaderMap,
    header::{AUTHORIZATION, Entry, HOST},
};
use tokio::time::Instant;

use super::{
    adapter::{Adapter, Bearer},
    attached::{Attached, Attempt, Obtained},
    deadline::before,
    request::sealed::Request,
};
use crate::{
    cache::Lease,
    error::{Error, ErrorKind},
    http_client::IsTokenRequest,
    origin::{Permission, PermittedBy, insecure},
    sharded::Apart,
    token_request::TokenRequest,
};

/// A request with this extension is sent without a token, and none is fetched. For public paths and health checks on an
/// origin whose other requests need one.
///
/// Insert it into the extensions of an `http::Request` or of tonic's `Request`, or use `with_extension` of
/// reqwest-middleware. (The layer cannot see the extensions of a `reqwest::Request`.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WithoutToken;

/// A request may get a token.
pub(crate) struct Permitted {
    pub(super) adapter: Arc<Apart<Adapter>>,
    pub(super) permitted_by: PermittedBy,
}

/// What is done with a request that may get a token.
pub(crate) enum Attach {
    /// It is sent. `None`: unchanged, since it has a header of its own, or as many headers as it can hold.
    Done(Option<Attached>),
    /// No token is cached.
    Wait(Box<Pending>),
}

/// A request that waits for a token.
pub(crate) struct Pending {
    permitted: Permitted,
    asked: u64,
    wanted: Option<TokenRequest>,
    deadline: Option<Instant>,
}

impl Bearer {
    /// Whether a request may get a token. `None`: it is sent unchanged. Error: it must not be sent. `beside` are the
    /// extensions of a request whose type has none.
    #[inline(always)]
    pub(crate) fn permit<Req: Request>(
        &self,
        request: &Req,
        beside: Option<&Extensions>,
    ) -> Result<Option<Permitted>, Error> {
        if beside.or_else(|| request.extensions()).is_some_and(goes_without) {
            return Ok(None);
        }
        let adapter = self.here();
        let origins = adapter.tokens.origins();
        let as_written = request.written().and_then(|(scheme, authority)| origins.as_written(scheme, authority));
        let permitted_by = match as_written {
            Some(permitted_by) if !has_host(request.headers()) => Some(permitted_by),
            _ => adapter.permit(request)?,
        };
        Ok(permitted_by.map(|permitted_by| Permitted { adapter: Arc::clone(adapter), permitted_by }))
    }
}

/// Faster than `contains_key`, which hashes the name.
#[inline]
fn has_host(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == HOST)
}

/// Whether a request is sent without a token. So is a token request: it may pass through the very adapter that waits
/// for its token.
#[inline]
fn goes_without(extensions: &Extensions) -> bool {
    extensions.get::<IsTokenRequest>().is_some() || extensions.get::<WithoutToken>().is_some()
}

impl Adapter {
    /// What permits the token where the request goes. `None`: it is sent unchanged.
    #[cold]
    fn permit<Req: Request>(&self, request: &Req) -> Result<Option<PermittedBy>, Error> {
        if self.keeps_own(request.headers()) || request.opens_tunnel() {
            return Ok(None);
        }
        let permitted_by = match request.target() {
            None => self.inner.ok_or_else(goes_anywhere)?,
            Some(target) => match self.tokens.permit(&target) {
                Permission::Granted(permitted_by) => permitted_by,
                Permission::Foreign => return Ok(None),
                Permission::Insecure => return Err(insecure(&target)),
            },
        };
        Ok(self.tokens.permit_hosts(request.headers()).then_some(permitted_by))
    }
}

impl Permitted {
    /// Attaches the cached token, unless the request has a header of its own. Starts no renewal, and waits for nothing.
    #[inline(always)]
    pub(crate) fn attach<Req: Request>(self, request: &mut Req, beside: Option<&Extensions>) -> Attach {
        let Adapter { tokens, header, .. } = &**self.adapter;
        let key = wanted(request, beside).map(TokenRequest::fingerprint);
        // One look-up both finds a header that is already there and inserts ours. (`entry` costs 150 instructions more,
        // `contains_key` before it 100.)
        let append = |lease: &Lease| {
            let appended = request.headers_mut().try_append(AUTHORIZATION, lease.authorization.clone());
            let is_routine = lease.is_accepted_by(self.permitted_by.bit());
            (appended, if is_routine { Attempt::Routine } else { Attempt::First })
        };
        let leased = if header.is_none() { tokens.leased(key, append) } else { None };
        match leased {
            Some(((Ok(false), attempt), id)) => {
                return Attach::Done(Some(Attached::new(id, attempt, self, request.asked())));
            }
            Some(((Ok(true), _), _)) => take_back(request.headers_mut()),
            // There is no lease, or the request has as many headers as it can hold.
            Some(((Err(_), _), _)) | None => {}
        }
        self.attach_without_lease(request, beside)
    }

    #[cold]
    fn attach_without_lease<Req: Request>(self, request: &mut Req, beside: Option<&Extensions>) -> Attach {
        if self.adapter.keeps_own(request.headers()) {
            return Attach::Done(None);
        }
        let wanted = wanted(request, beside);
        let Some(token) = self.adapter.tokens.cached(wanted) else {
            let (wanted, asked, deadline) = (wanted.cloned(), request.asked(), request.deadline());
            return Attach::Wait(Box::new(Pending { permitted: self, asked, wanted, deadline }));
        };
        if !self.adapter.insert(&token, request.headers_mut()) {
            return Attach::Done(None);
        }
        let id = self.adapter.tokens.id(&token);
        Attach::Done(Some(Attached::new(id, Attempt::First, self, request.asked())))
    }
}

/// Which token the request wants. `None`: that of the adapter's handle.
#[inline]
pub(crate) fn wanted<'a, Req: Request>(request: &'a Req, beside: Option<&'a Extensions>) -> Option<&'a TokenRequest> {
    beside.or_else(|| request.extensions()).and_then(Extensions::get)
}

/// Removes the last of several headers, which is ours.
#[cold]
fn take_back(headers: &mut HeaderMap) {
    let Entry::Occupied(mut header) = headers.entry(AUTHORIZATION) else { return };
    let mut own: Vec<_> = header.iter().cloned().collect();
    own.pop();
    let mut own = own.into_iter();
    if let Some(first) = own.next() {
        header.insert(first);
    }
    own.for_each(|value| header.append(value));
}

impl Pending {
    /// Waits for the token, at most until the request's own deadline.
    pub(crate) async fn token(self) -> Result<Obtained, Error> {
        let Pending { permitted, asked, wanted, deadline } = self;
        let wait = permitted.adapter.tokens.clone().wait(wanted);
        let token = before(deadline, wait).await.unwrap_or_else(|| Err(too_late()))?;
        let id = permitted.adapter.tokens.id(&token);
        Ok(Obtained { token, attached: Attached::new(id, Attempt::First, permitted, asked), deadline })
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
