//! What a response says about the token that its request carried.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, Version, header::CONTENT_TYPE};
use tokio::time::Instant;

use super::{
    adapter::Adapter,
    deadline::before,
    request::sealed::{Request, Response},
};
use crate::{
    challenge::{self, Rejection},
    origin::{Permission, PermittedBy, Target},
    report::log,
    token::AccessToken,
};

/// The token of a request, and what is needed to read the response. (A fingerprint of the token would be one reference
/// less to count, but was not faster: the header is then moved about, by some 30 instructions.)
pub(crate) struct Attached {
    token: AccessToken,
    adapter: Arc<Adapter>,
    permitted_by: PermittedBy,
    /// The request is sent for the second time: its response is final.
    is_replay: bool,
    /// What the response of a `reqwest::Client` shows a redirect by.
    asked: u64,
}

/// Whether this is the response of a gRPC server that refused the call as unauthenticated before it began:
/// `grpc-status: 16` among the headers ("trailers-only").
///
/// The adapters understand it without being told in HTTP/2 responses whose content type is gRPC's. This is for gRPC
/// over anything else, with [`BearerAuthLayer::with_rejection`](crate::BearerAuthLayer::with_rejection).
#[must_use]
pub fn grpc_unauthenticated(_status: StatusCode, headers: &HeaderMap) -> bool {
    headers.get("grpc-status").is_some_and(|status| status == "16")
}

impl Attached {
    #[inline]
    pub(super) fn new(token: AccessToken, permitted_by: PermittedBy, asked: u64, adapter: Arc<Adapter>) -> Self {
        Self { token, adapter, permitted_by, is_replay: false, asked }
    }

    /// Puts the token on a request that has no header of its own, and leaves it what remains until its deadline;
    /// `false`: it has as many headers as there can be.
    pub(crate) fn set<Req: Request>(&self, request: &mut Req, deadline: Option<Instant>) -> bool {
        if let Some(deadline) = deadline {
            request.leave_until(deadline);
        }
        self.adapter.insert(&self.token, request.headers_mut())
    }

    /// What the response has against the token, if anything.
    #[inline]
    pub(crate) fn read<Res: Response>(&self, response: &Res) -> Option<Rejection> {
        let is_plain = response.status() != StatusCode::UNAUTHORIZED && response.version() < Version::HTTP_2;
        let adapter = &*self.adapter;
        if is_plain && adapter.also_rejected.is_none() && !adapter.tokens.has_streaks() && !self.is_replay {
            return None;
        }
        self.read_closely(response)
    }

    #[cold]
    fn read_closely<Res: Response>(&self, response: &Res) -> Option<Rejection> {
        let status = response.status();
        let rejection = self.rejection(status, response.version(), response.headers());
        if rejection.is_none() && status == StatusCode::UNAUTHORIZED {
            log::not_a_rejection(&self.origin());
        }
        let redirected = response.redirected(self.asked);
        let carried = redirected.as_ref().is_none_or(|end| self.was_carried_to(end, rejection));
        let rejection = rejection.filter(|_| carried);
        // Only from behind the check of the token.
        let accepted =
            carried && rejection.is_none() && status != StatusCode::UNAUTHORIZED && !status.is_server_error();
        if self.is_replay {
            self.replayed(accepted, rejection);
            return None;
        }
        if accepted && self.adapter.tokens.has_streaks() {
            self.adapter.tokens.accepted(&self.token, &self.origin());
        }
        rejection
    }

    fn rejection(&self, status: StatusCode, version: Version, headers: &HeaderMap) -> Option<Rejection> {
        let rejection = match status {
            StatusCode::UNAUTHORIZED => challenge::rejection(headers),
            // A missing permission has a status of its own (7).
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

    /// Whether the token still was on the request at the end of a redirect within the client, which removes it on the
    /// way to another host. A 401 tells: a server that saw no token gives no error code (RFC 6750 section 3.1).
    fn was_carried_to(&self, end: &Target<'_>, rejection: Option<Rejection>) -> bool {
        let tokens = &self.adapter.tokens;
        let is_asked = tokens.origins().permit(end) == Permission::Granted(self.permitted_by);
        let carried = is_asked && rejection != Some(Rejection::Bare);
        if rejection.is_some() && !carried {
            tokens.rejected_after_redirect(end);
        }
        carried
    }

    /// The end of a replay. If the API accepted the new token, that ends the origin's streak of rejections.
    fn replayed(&self, accepted: bool, rejection: Option<Rejection>) {
        let tokens = &self.adapter.tokens;
        tokens.report().replayed(rejection.is_some());
        if rejection.is_some() {
            log::fresh_token_rejected(&self.origin());
        } else if accepted {
            tokens.accepted_in_place(&self.token, &self.origin());
        }
    }

    /// Starts the renewal, and waits for nothing: there is no copy of the request that could be sent with another
    /// token.
    pub(crate) fn reject(&self, rejection: Rejection) {
        let origin = self.origin();
        log::not_sent_again(&origin);
        self.adapter.tokens.report().rejection(Some(rejection));
        self.adapter.tokens.reject_at(&self.token, &origin, rejection);
    }

    /// Another token than the rejected one, if one can be obtained before the request's own deadline.
    pub(crate) async fn recover(self, rejection: Rejection, deadline: Option<Instant>) -> Option<Self> {
        let (tokens, origin) = (self.adapter.tokens.clone(), self.origin());
        let token = before(deadline, tokens.recover(self.token, origin, rejection)).await??;
        Some(Self { token, is_replay: true, ..self })
    }

    /// As it was named where tokens were permitted to go there: all that a wildcard covers is one.
    fn origin(&self) -> String {
        self.adapter.tokens.origins().name(self.permitted_by)
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
