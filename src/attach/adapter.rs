//! The settings of an adapter.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, StatusCode, header::AUTHORIZATION};

use super::header::TokenHeader;
use crate::{
    cache::{ThreadLeases, TokenCache},
    error::Error,
    origin::PermittedBy,
    sharded::{Apart, Sharded},
    token::AccessToken,
};

/// The settings of an adapter. Each thread has its own copy, so that requests do not contend for one reference count.
#[derive(Clone)]
pub(crate) struct Bearer(Sharded<Adapter>);

#[derive(Clone)]
pub(super) struct Adapter {
    pub tokens: TokenCache,
    /// Those of this copy's thread.
    pub leases: Arc<Apart<ThreadLeases>>,
    pub also_rejected: Option<Arc<Predicate>>,
    /// `None`: `Authorization: Bearer`.
    pub header: Option<TokenHeader>,
    /// Permits tokens on requests that name no authority: the inner service decides where they go.
    pub inner: Option<PermittedBy>,
}

pub(super) type Predicate = dyn Fn(StatusCode, &HeaderMap) -> bool + Send + Sync;

impl Bearer {
    pub(crate) fn new(tokens: TokenCache) -> Self {
        Self(tokens.leases().map(move |leases| Adapter {
            tokens: tokens.clone(),
            leases: Arc::clone(leases),
            also_rejected: None,
            header: None,
            inner: None,
        }))
    }

    /// Adds to what already counts as a rejection.
    pub(crate) fn with_rejection(
        &self,
        rejected: impl Fn(StatusCode, &HeaderMap) -> bool + Send + Sync + 'static,
    ) -> Self {
        let also_rejected: Arc<Predicate> = match self.here().also_rejected.clone() {
            None => Arc::new(rejected),
            Some(before) => Arc::new(move |status, headers| before(status, headers) || rejected(status, headers)),
        };
        self.with(|adapter| Adapter { also_rejected: Some(Arc::clone(&also_rejected)), ..adapter })
    }

    pub(crate) fn with_header(&self, header: TokenHeader) -> Self {
        let header = Some(header).filter(|header| !header.is_usual());
        self.with(|adapter| Adapter { header: header.clone(), ..adapter })
    }

    pub(crate) fn for_origin(&self, origin: &str) -> Result<Self, Error> {
        let inner = self.here().tokens.origins().permit_origin(origin)?;
        Ok(self.with(|adapter| Adapter { inner: Some(inner), ..adapter }))
    }

    /// This thread's settings.
    #[inline]
    pub(super) fn here(&self) -> &Arc<Apart<Adapter>> {
        self.0.get()
    }

    fn with(&self, change: impl Fn(Adapter) -> Adapter) -> Self {
        Self(self.0.map(|adapter| change(Adapter::clone(adapter))))
    }
}

impl Adapter {
    /// Replaces the header. `false`: the request has as many headers as it can hold.
    pub(super) fn insert(&self, token: &AccessToken, headers: &mut HeaderMap) -> bool {
        let value = self.header.as_ref().map_or_else(|| token.authorization().clone(), |header| header.value(token));
        headers.try_insert(self.header_name().clone(), value).is_ok()
    }

    pub(super) fn header_name(&self) -> &HeaderName {
        self.header.as_ref().map_or(&AUTHORIZATION, |header| &header.name)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.here().tokens, f)
    }
}
