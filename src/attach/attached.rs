//! What a response says about the token that its request carried.

use std::{pin::Pin, sync::Arc};

use http::{HeaderMap, StatusCode, Version, header::CONTENT_TYPE};
use tokio::time::Instant;

use super::{
    adapter::Adapter,
    deadline::before,
    request::sealed::{Request, Response},
};
use crate::{
    cache::TokenCache,
    challenge::{Challenges, Rejection},
    error::Error,
    origin::{PermittedBy, Target},
    report::log,
    sharded::Apart,
    token::{AccessToken, TokenId},
    token_request::TokenRequest,
};

/// Which token a request carries, and what is needed to read the response.
#[derive(Clone)]
pub(crate) struct Attached {
    pub(super) id: TokenId,
    pub(super) adapter: Arc<Apart<Adapter>>,
    pub(super) permitted_by: PermittedBy,
    pub(super) attempt: Attempt,
    /// The fingerprint of the request's URL, for [`Response::redirected`].
    pub(super) asked: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The origin has accepted the token before.
    Routine,
    First,
    /// Its response is final.
    Second,
}

/// A token that the API rejected.
pub(crate) struct Rejected {
    attached: Attached,
    rejection: Rejection,
}

/// What a request waits for. `None`: there is no token but the rejected one.
pub(crate) type Awaited = Pin<Box<dyn Future<Output = Result<Option<Obtained>, Error>> + Send + Sync>>;

/// A token that a request has waited for.
pub(crate) struct Obtained {
    pub(super) token: AccessToken,
    pub(super) attached: Attached,
    pub(super) deadline: Option<Instant>,
}

/// Whether a gRPC server refused the call as unauthenticated before it began: `grpc-status: 16` among the headers
/// ("trailers-only").
///
/// The adapters already recognize it in HTTP/2 responses with gRPC's content type. For gRPC over anything else, pass
/// this function to [`BearerAuthLayer::with_rejection`](crate::BearerAuthLayer::with_rejection).
#[must_use]
pub fn grpc_unauthenticated(_status: StatusCode, headers: &HeaderMap) -> bool {
    headers.get("grpc-status").is_some_and(|status| status == "16")
}

impl Attached {
    /// Whether the response rejects the token.
    #[inline]
    pub(crate) fn read<Res: Response>(&self, response: &Res) -> Option<Rejected> {
        let (status, version, _) = response.head();
        let is_plain = status < StatusCode::BAD_REQUEST && version < Version::HTTP_2;
        if is_plain && self.attempt == Attempt::Routine && self.adapter.also_rejected.is_none() {
            return None;
        }
        self.read_closely(response)
    }

    #[cold]
    fn read_closely<Res: Response>(&self, response: &Res) -> Option<Rejected> {
        let (status, version, headers) = response.head();
        let rejection = self.rejection(status, version, headers);
        let is_401 = status == StatusCode::UNAUTHORIZED;
        if rejection.is_none() && (is_401 || status == StatusCode::FORBIDDEN) {
            self.tokens().refused(self.permitted_by, is_401, &Challenges::of(headers));
        }
        let redirected = response.redirected(self.asked);
        let carried = redirected.as_ref().is_none_or(|end| self.was_carried_to(end, rejection));
        let rejection = rejection.filter(|_| carried);
        // A server error says nothing about the token: it may come from a proxy that did not check it.
        let accepted = carried && rejection.is_none() && !is_401 && !status.is_server_error();
        match self.attempt {
            Attempt::Second => {
                self.tokens().replayed(self.id, self.permitted_by, accepted, rejection.is_some());
                return None;
            }
            Attempt::First if accepted => self.tokens().accepted(self.id, self.permitted_by),
            Attempt::First | Attempt::Routine => {}
        }
        rejection.map(|rejection| Rejected { attached: self.clone(), rejection })
    }

    fn rejection(&self, status: StatusCode, version: Version, headers: &HeaderMap) -> Option<Rejection> {
        let rejection = match status {
            StatusCode::UNAUTHORIZED => Challenges::of(headers).rejection(),
            // gRPC's status for a missing permission is another one (7).
            _ if version >= Version::HTTP_2 && is_grpc(headers) && grpc_unauthenticated(status, headers) => {
                Some(Rejection::Explicit)
            }
            _ => None,
        };
        rejection.or_else(|| {
            let also_rejected = self.adapter.also_rejected.as_ref()?;
            also_rejected(status, headers).then_some(Rejection::Bare)
        })
    }

    /// Whether the request still carried the token at the end of a redirect. The client removes it on the way to
    /// another host. A 401 shows whether it did: a server that saw no token gives no error code (RFC 6750 section 3.1).
    fn was_carried_to(&self, end: &Target<'_>, rejection: Option<Rejection>) -> bool {
        let is_asked = self.tokens().origins().permit(end).is_ok_and(|by| by == Some(self.permitted_by));
        let carried = is_asked && rejection != Some(Rejection::Bare);
        if rejection.is_some() && !carried {
            self.tokens().mention(end, log::rejected_after_redirect);
        }
        carried
    }

    fn tokens(&self) -> &TokenCache {
        &self.adapter.tokens
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

impl Rejected {
    /// Starts the renewal without waiting for it: there is no copy of the request to send again.
    #[cold]
    pub(crate) fn renew(self) {
        let Self { attached, rejection } = self;
        let tokens = attached.tokens();
        log::not_sent_again(&tokens.origins().name(attached.permitted_by));
        tokens.reject_at(attached.id, attached.permitted_by, rejection);
    }

    /// Another token for the request, if one can be obtained before its own deadline.
    pub(crate) fn another(self, wanted: Option<TokenRequest>, deadline: Option<Instant>) -> Awaited {
        let Self { attached, rejection } = self;
        Box::pin(async move {
            let recovered = attached.tokens().recover(attached.id, wanted, attached.permitted_by, rejection);
            let Some(token) = before(deadline, recovered).await.flatten() else { return Ok(None) };
            let id = attached.tokens().id(&token);
            Ok(Some(Obtained { token, attached: Attached { id, attempt: Attempt::Second, ..attached }, deadline }))
        })
    }
}

impl Obtained {
    /// Puts the token on a request that has no header of its own, and sets the request's time limit to what remains.
    /// `None`: the request has as many headers as it can hold.
    pub(crate) fn attach<Req: Request>(self, request: &mut Req) -> Option<Attached> {
        if let Some(deadline) = self.deadline {
            request.leave_until(deadline);
        }
        self.attached.adapter.insert(&self.token, request.headers_mut()).then_some(self.attached)
    }
}
