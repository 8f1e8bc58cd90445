//! Token requests over a `reqwest::Client`.

use std::{panic::AssertUnwindSafe, sync::Arc};

use async_trait::async_trait;
use http::{Request, Response, header::USER_AGENT};
use http_body_util::Full;
use reqwest::Url;

use super::{
    HttpClient, IntoHttpClient,
    body::{self, SecretBody},
    failure::{described, failed, redirected},
    settings::{ReqwestSettings, has_tls},
};
use crate::{
    error::{BoxError, Error, ErrorKind},
    fault::{Fault, chain},
    origin::Target,
};

#[async_trait]
impl HttpClient for reqwest::Client {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let (context, request) = SendContext::of(self, request)?;
        let response = self.execute(request).await.map_err(|error| context.failed(error))?;
        context.read(response).await
    }

    fn follows_redirects(&self) -> bool {
        ReqwestSettings::of(self).follows_redirects()
    }
}

#[cfg(feature = "reqwest-middleware")]
#[async_trait]
impl HttpClient for reqwest_middleware::ClientWithMiddleware {
    async fn send(&self, mut request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let mut extensions = std::mem::take(request.extensions_mut());
        let (context, request) = SendContext::of(self.as_ref(), request)?;
        let response = self.execute_with_extensions(request, &mut extensions).await.map_err(|error| match error {
            reqwest_middleware::Error::Reqwest(error) => context.failed(error),
            reqwest_middleware::Error::Middleware(error) => context.failed_by(error.into()),
        })?;
        context.read(response).await
    }

    fn follows_redirects(&self) -> bool {
        self.as_ref().follows_redirects()
    }
}

/// Redirects and `Referer` are always turned off, because the request contains a secret.
impl IntoHttpClient for reqwest::ClientBuilder {
    fn into_http_client(self) -> Result<Arc<dyn HttpClient>, Error> {
        Ok(Arc::new(build(self)?))
    }
}

pub(super) fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Error> {
    let builder = builder.redirect(reqwest::redirect::Policy::none()).referer(false);
    // It panics if reqwest was compiled with `rustls-no-provider` and no provider is installed.
    match std::panic::catch_unwind(AssertUnwindSafe(|| builder.build())) {
        Ok(built) => built.map_err(|error| {
            Error::configuration("http_client: reqwest cannot build the client")
                .caused_by(Box::new(error.without_url()))
        }),
        Err(_) => Err(Error::configuration(
            "http_client: reqwest has no TLS provider; install one, or pass a finished client to `.http_client(..)`",
        )),
    }
}

/// What is known about the client and its request, for errors.
struct SendContext {
    settings: ReqwestSettings,
    asked: Url,
}

impl SendContext {
    /// Also converts the request. A wrapped body cannot be cloned, so that no redirect can send the secret again.
    fn of(client: &reqwest::Client, mut request: Request<SecretBody>) -> Result<(Self, reqwest::Request), Error> {
        let settings = ReqwestSettings::of(client);
        // If the format of reqwest's `Debug` ever changes, this crate's own name is sent.
        if settings.has_user_agent() {
            request.headers_mut().remove(USER_AGENT);
        }
        let request = request.map(|body| reqwest::Body::wrap(Full::new(body.into_bytes())));
        let request = reqwest::Request::try_from(request).map_err(|error| {
            Error::configuration("token_url: reqwest does not accept it").caused_by(Box::new(error.without_url()))
        })?;
        let context = Self { settings, asked: request.url().clone() };
        // Without TLS, reqwest would send an https request to a proxy unencrypted.
        if context.is_https() && context.settings.may_use_proxy() && !has_tls() {
            return Err(described(Fault::TlsMissing, ""));
        }
        Ok((context, request))
    }

    fn is_https(&self) -> bool {
        self.asked.scheme() == "https"
    }

    async fn read(&self, response: reqwest::Response) -> Result<Response<SecretBody>, Error> {
        if *response.url() != self.asked {
            let origin = Target::of_url(response.url()).to_origin();
            return Err(redirected(&origin));
        }
        body::read(Response::<reqwest::Body>::from(response), |error| self.failed(error)).await
    }

    fn failed(&self, error: reqwest::Error) -> Error {
        if error.is_redirect() {
            let origin = error.url().map(|url| Target::of_url(url).to_origin());
            return redirected(origin.as_deref().unwrap_or("an unknown origin"));
        }
        self.failed_by(Box::new(error.without_url()))
    }

    fn failed_by(&self, cause: BoxError) -> Error {
        let proxy = self.settings.proxy(self.asked.scheme());
        // By HTTP, which is not for SOCKS.
        let tunnelled = chain(&*cause).any(|cause| cause.to_string().starts_with("tunnel error"));
        let error = failed(cause, self.is_https(), &proxy.map(|proxy| format!(" {proxy}")).unwrap_or_default());
        match proxy {
            Some(proxy) if tunnelled && proxy.starts_with("socks") => {
                error.with_advice("for a SOCKS proxy, reqwest needs its feature `socks`")
            }
            Some(proxy) if is_connection_failure(&error) => error.or_advice(format!(
                "the HTTP client uses the proxy {proxy} for such URLs, unless `NO_PROXY` lists the host"
            )),
            _ => error,
        }
    }
}

/// Whether the server may not have been reached.
pub(super) fn is_connection_failure(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Timeout)
}
