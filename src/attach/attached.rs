//! What a response says about the token that its request carried.

use std::sync::Arc;

use http::{Extensions, HeaderMap, StatusCode, Version, header::CONTENT_TYPE};
use tokio::time::Instant;

use super::{
    adapter::Adapter,
    deadline::before,
    request::sealed::{Request, Response},
};
use crate::{
    challenge::{Challenges, Rejection},
    origin::{Permission, PermittedBy, Target},
    report::log,
    sharded::Apart,
    token::{AccessToken, TokenId},
};

/// Which token a request carries, and what is needed to read the response.
pub(crate) struct Attached {
    id: TokenId,
    adapter: Arc<Apart<Adapter>>,
    permitted_by: PermittedBy,
    attempt: Attempt,
    /// The fingerprint of the request's URL. A `reqwest::Response` whose URL has another one was redirected.
    asked: u64,
}

/// As wide as what is beside it: padding costs some ten instructions for each request.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Attempt {
    /// The origin has accepted the token before.
    Routine,
    First,
    /// Its response is final.
    Second,
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
    #[inline]
    pub(super) fn new(
        id: TokenId,
        attempt: Attempt,
        permitted_by: PermittedBy,
        asked: u64,
        adapter: &Arc<Apart<Adapter>>,
    ) -> Self {
        Self { id, adapter: Arc::clone(adapter), permitted_by, attempt, asked }
    }

    /// Whether the response rejects the token, and how.
    #[inline]
    pub(crate) fn read<Res: Response>(&self, response: &Res) -> Option<Rejection> {
        let is_plain = response.status() < StatusCode::BAD_REQUEST && response.version() < Version::HTTP_2;
        if is_plain && self.attempt == Attempt::Routine && self.adapter.also_rejected.is_none() {
            return None;
        }
        self.read_closely(response)
    }

    #[cold]
    fn read_closely<Res: Response>(&self, response: &Res) -> Option<Rejection> {
        let status = response.status();
        let rejection = self.rejection(status, response.version(), response.headers());
        if rejection.is_none() && matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            self.refused(status, response.headers());
        }
        let redirected = response.redirected(self.asked);
        let carried = redirected.as_ref().is_none_or(|end| self.was_carried_to(end, rejection));
        let rejection = rejection.filter(|_| carried);
        // A server error says nothing about the token: it may come from a proxy that did not check it.
        let accepted =
            carried && rejection.is_none() && status != StatusCode::UNAUTHORIZED && !status.is_server_error();
        if self.attempt == Attempt::Second {
            self.replayed(accepted, rejection);
            return None;
        }
        if accepted && self.attempt == Attempt::First {
            self.adapter.tokens.accepted(self.id, self.permitted_by);
        }
        rejection
    }

    /// The API refuses the request, and not because of a token that is dead.
    fn refused(&self, status: StatusCode, headers: &HeaderMap) {
        if Challenges::of(headers).is_about_scope() {
            self.adapter.tokens.scope_missing(&self.origin());
        }
        if status == StatusCode::UNAUTHORIZED {
            log::not_a_rejection(&self.origin());
        }
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
        let tokens = &self.adapter.tokens;
        let is_asked = tokens.origins().permit(end) == Permission::Granted(self.permitted_by);
        let carried = is_asked && rejection != Some(Rejection::Bare);
        if rejection.is_some() && !carried {
            tokens.rejected_after_redirect(end);
        }
        carried
    }

    /// Handles the response to a replay. If the API accepts the new token, the origin's streak of rejections ends.
    fn replayed(&self, accepted: bool, rejection: Option<Rejection>) {
        let tokens = &self.adapter.tokens;
        tokens.report().replayed(rejection.is_some());
        if rejection.is_some() {
            log::fresh_token_rejected(&self.origin());
        } else if accepted {
            tokens.accepted_in_place(self.id, self.permitted_by);
        }
    }

    /// Starts the renewal without waiting for it: there is no copy of the request to send again.
    pub(crate) fn reject(&self, rejection: Rejection) {
        log::not_sent_again(&self.origin());
        self.adapter.tokens.reject_at(self.id, self.permitted_by, rejection);
    }

    /// A token other than the rejected one, if one can be obtained before the request's own deadline. `extensions` are
    /// the request's.
    pub(crate) fn recover(
        self,
        rejection: Rejection,
        extensions: Option<&Extensions>,
        deadline: Option<Instant>,
    ) -> impl Future<Output = Option<Obtained>> + Send + Sync + use<> {
        let request = extensions.and_then(Extensions::get).cloned();
        async move {
            let tokens = self.adapter.tokens.clone();
            let recovered = tokens.recover(self.id, request, self.permitted_by, rejection);
            let token = before(deadline, recovered).await??;
            let id = self.adapter.tokens.id(&token);
            Some(Obtained { token, attached: Self { id, attempt: Attempt::Second, ..self } })
        }
    }

    /// The origin as it was named in the settings, where a wildcard is one origin.
    fn origin(&self) -> String {
        self.adapter.tokens.origins().name(self.permitted_by)
    }
}

/// A token that a request has waited for.
pub(crate) struct Obtained {
    pub(super) token: AccessToken,
    pub(super) attached: Attached,
}

impl Obtained {
    /// Puts the token on a request that has no header of its own, and sets the request's time limit to what remains
    /// until `deadline`. `None`: the request has as many headers as it can hold.
    pub(crate) fn attach<Req: Request>(self, request: &mut Req, deadline: Option<Instant>) -> Option<Attached> {
        if let Some(deadline) = deadline {
            request.leave_until(deadline);
        }
        self.attached.adapter.insert(&self.token, request.headers_mut()).then_some(self.attached)
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
