//! Token requests over a tower service.

use std::{fmt, marker::PhantomData};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, uri::Scheme};
use tower_service::Service;

use super::{
    HttpClient,
    body::{self, SecretBody},
    failure::failed,
};
use crate::error::{BoxError, Error};

/// An [`HttpClient`] over a tower service, such as hyper-util's client.
///
/// `B` is the service's request body, which is made from bytes.
///
/// ```
/// # fn example() -> Result<(), client_credentials::Error> {
/// use bytes::Bytes;
/// use client_credentials::{ClientCredentials, TowerClient};
/// use http_body_util::Full;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
///
/// // In production, a connector with TLS, such as that of hyper-rustls.
/// let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
/// let source = ClientCredentials::builder("http://localhost:9400/token", "abcde", "12345")
///     .http_client(TowerClient::new(client))
///     .origin("https://api.example.com")
///     .build()?;
/// # let _ = source;
/// # Ok(())
/// # }
/// ```
pub struct TowerClient<S, B> {
    service: S,
    body: PhantomData<fn() -> B>,
}

impl<S, B> TowerClient<S, B> {
    /// Wraps a service. It must not follow redirects, because the request contains a secret. It must not share a
    /// concurrency limit with the requests that wait for the token: they would hold the permits that it needs.
    pub fn new(service: S) -> Self {
        Self { service, body: PhantomData }
    }
}

#[async_trait]
impl<S, B, ResBody> HttpClient for TowerClient<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: From<Bytes> + Send + 'static,
    ResBody: http_body::Body + Send,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let https = request.uri().scheme() == Some(&Scheme::HTTPS);
        let failed = |cause: BoxError| failed(cause, https, "");
        let mut service = self.service.clone();
        std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(|error| failed(error.into()))?;
        let response = service.call(request.map(|body| B::from(body.into_bytes()))).await;
        body::read(response.map_err(|error| failed(error.into()))?, |error| failed(error.into())).await
    }
}

impl<S: Clone, B> Clone for TowerClient<S, B> {
    fn clone(&self) -> Self {
        Self::new(self.service.clone())
    }
}

impl<S, B> fmt::Debug for TowerClient<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerClient").finish_non_exhaustive()
    }
}
