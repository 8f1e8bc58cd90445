//! Decides whether a request gets a token, and attaches it.

use std::sync::Arc;

use http::{
    Extensions, HeaderMap,
    header::{AUTHORIZATION, HOST},
};

use super::{
    adapter::{Adapter, Bearer},
    attached::{Attached, Attempt, Awaited, Obtained},
    deadline::before,
    request::sealed::Request,
};
use crate::{
    cache::Lease,
    error::{Error, ErrorKind},
    origin::PermittedBy,
    sharded::Apart,
    token::TokenId,
    token_request::{TokenRequest, WithoutToken},
};

/// A request may get a token.
#[derive(Clone, Copy)]
pub(crate) struct Permitted<'a> {
    adapter: &'a Arc<Apart<Adapter>>,
    permitted_by: PermittedBy,
}

impl Bearer {
    /// Whether a request may get a token. `None`: it is sent unchanged. Error: it must not be sent. `beside` are the
    /// extensions of a request whose type has none.
    #[inline(always)]
    pub(crate) fn permit<Req: Request>(
        &self,
        request: &Req,
        beside: Option<&Extensions>,
    ) -> Result<Option<Permitted<'_>>, Error> {
        if beside.or_else(|| request.extensions()).is_some_and(|all| all.get::<WithoutToken>().is_some()) {
            return Ok(None);
        }
        let adapter = self.here();
        let origins = adapter.tokens.origins();
        let as_written = request.target().and_then(|target| origins.as_written(&target));
        let permitted_by = match as_written {
            Some(by) if adapter.header.is_none() && !has_host_or_authorization(request.headers()) => Some(by),
            _ => adapter.permit(request)?,
        };
        Ok(permitted_by.map(|permitted_by| Permitted { adapter, permitted_by }))
    }
}

/// Faster than `contains_key`, which hashes the name.
#[inline]
fn has_host_or_authorization(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == HOST || *name == AUTHORIZATION)
}

impl Adapter {
    /// What permits the token where the request goes. `None`: it is sent unchanged.
    #[cold]
    fn permit<Req: Request>(&self, request: &Req) -> Result<Option<PermittedBy>, Error> {
        if request.headers().contains_key(self.header_name()) {
            self.tokens.own_header(self.header_name());
            return Ok(None);
        }
        if request.opens_tunnel() {
            return Ok(None);
        }
        let permitted_by = match request.target() {
            Some(target) => self.tokens.permit(&target)?,
            None => Some(self.inner.ok_or_else(goes_anywhere)?),
        };
        Ok(permitted_by.filter(|_| self.tokens.permit_hosts(request.headers())))
    }
}

impl Permitted<'_> {
    /// Attaches the cached token. Starts no renewal, and waits for nothing. `None`: the request is unchanged.
    #[inline(always)]
    pub(crate) fn attach<Req: Request>(self, request: &mut Req, beside: Option<&Extensions>) -> Option<Attached> {
        let Adapter { tokens, leases, header, .. } = &***self.adapter;
        let key = wanted(request, beside).map(TokenRequest::fingerprint);
        let attach = |lease: &Lease, id| {
            // An error: the request has as many headers as it can hold.
            request.headers_mut().try_append(AUTHORIZATION, lease.authorization.clone()).ok()?;
            let is_routine = lease.is_accepted_by(self.permitted_by.bit());
            let attempt = if is_routine { Attempt::Routine } else { Attempt::First };
            Some(self.attached(id, attempt, request.asked()))
        };
        let leased = if header.is_none() { tokens.leased(leases, key, attach) } else { None };
        leased.unwrap_or_else(|| self.attach_without_lease(request, beside))
    }

    #[cold]
    fn attach_without_lease<Req: Request>(self, request: &mut Req, beside: Option<&Extensions>) -> Option<Attached> {
        let token = self.adapter.tokens.cached(wanted(request, beside))?;
        let is_attached = self.adapter.insert(&token, request.headers_mut());
        is_attached.then(|| self.attached(self.adapter.tokens.id(&token), Attempt::First, request.asked()))
    }

    fn attached(self, id: TokenId, attempt: Attempt, asked: u64) -> Attached {
        Attached { id, adapter: Arc::clone(self.adapter), permitted_by: self.permitted_by, attempt, asked }
    }

    /// Waits for a token, at most until the request's own deadline.
    #[cold]
    pub(crate) fn token<Req: Request>(self, request: &Req, beside: Option<&Extensions>) -> Awaited {
        let (adapter, permitted_by, asked) = (Arc::clone(self.adapter), self.permitted_by, request.asked());
        let (wanted, deadline) = (wanted(request, beside).cloned(), request.deadline());
        Box::pin(async move {
            let token = before(deadline, adapter.tokens.wait(wanted)).await.unwrap_or_else(|| Err(too_late()))?;
            let id = adapter.tokens.id(&token);
            let attached = Attached { id, adapter, permitted_by, attempt: Attempt::First, asked };
            Ok(Some(Obtained { token, attached, deadline }))
        })
    }
}

/// Which token the request wants. `None`: that of the adapter's handle.
#[inline]
pub(crate) fn wanted<'a, Req: Request>(request: &'a Req, beside: Option<&'a Extensions>) -> Option<&'a TokenRequest> {
    beside.or_else(|| request.extensions()).and_then(Extensions::get)
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
