//! The settings of an adapter.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, StatusCode, header::AUTHORIZATION};

use super::header::TokenHeader;
use crate::{cache::TokenCache, origin::PermittedBy, token::AccessToken};

#[derive(Clone)]
pub(super) struct Adapter {
    pub tokens: TokenCache,
    pub also_rejected: Option<Arc<Predicate>>,
    /// `None`: `Authorization: Bearer`.
    pub header: Option<TokenHeader>,
    /// Permits tokens on requests that name no authority: the inner service decides where they go.
    pub inner: Option<PermittedBy>,
}

pub(super) type Predicate = dyn Fn(StatusCode, &HeaderMap) -> bool + Send + Sync;

impl Adapter {
    /// Replaces the header. `false`: the request has as many headers as it can hold.
    pub(super) fn insert(&self, token: &AccessToken, headers: &mut HeaderMap) -> bool {
        let value = self.header.as_ref().map_or_else(|| token.authorization().clone(), |header| header.value(token));
        headers.try_insert(self.header_name().clone(), value).is_ok()
    }

    pub(super) fn header_name(&self) -> &HeaderName {
        self.header.as_ref().map_or(&AUTHORIZATION, TokenHeader::name)
    }
}
