//! The seam to the token endpoint: an HTTP request in, an HTTP response out.

mod body;
#[cfg(feature = "reqwest")]
mod default_client;
mod failure;
#[cfg(feature = "reqwest")]
mod reqwest_client;
#[cfg(feature = "reqwest")]
mod settings;
mod tower_client;

use std::{error::Error as _, sync::Arc};

use async_trait::async_trait;
use http::{Request, Response, uri::Scheme};

#[cfg(feature = "reqwest")]
pub(crate) use self::default_client::DefaultClient;
pub use self::{body::SecretBody, tower_client::TowerClient};
pub(crate) use self::{
    body::{MOST_BYTES, too_large},
    failure::redirected,
};
use crate::{
    error::{Error, ErrorKind},
    fault::Fault,
};

/// Sends one request to a token endpoint, or one for the document that names it
/// ([`ClientCredentials::discover`](crate::ClientCredentials::discover)).
///
/// Implemented for `reqwest::Client`, for `reqwest_middleware::ClientWithMiddleware`, and for tower services by
/// [`TowerClient`]. An implementation of your own does not follow redirects (the body is a secret), stops reading at
/// 1 MiB, and hands on `http::Request::extensions` where it can (they mark the request as a token request, for adapters
/// of this crate in the same client). The time limit is kept by the caller.
#[async_trait]
pub trait HttpClient: Send + Sync + 'static {
    /// Sends the request. Failures of the transport are [`Error::transient`]: the kind is found in the chain of causes.
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error>;

    /// What errors call this client: the name of its type, unless it has another.
    fn name(&self) -> &str {
        let name = std::any::type_name::<Self>().split('<').next().unwrap_or_default();
        name.rsplit("::").next().unwrap_or_default()
    }

    /// Whether it may follow redirects on its own, and so take headers of the token request to another host. The log
    /// warns about such a client, once for each source that is built with it.
    fn follows_redirects(&self) -> bool {
        false
    }
}

#[async_trait]
impl<T: HttpClient + ?Sized> HttpClient for Arc<T> {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        T::send(self, request).await
    }

    fn name(&self) -> &str {
        T::name(self)
    }

    fn follows_redirects(&self) -> bool {
        T::follows_redirects(self)
    }
}

/// What [`http_client`](crate::ClientCredentialsBuilder::http_client) accepts: every [`HttpClient`], and a
/// `reqwest::ClientBuilder`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot send token requests",
    label = "is neither an `HttpClient` nor a `reqwest::ClientBuilder` of reqwest 0.13",
    note = "a client of reqwest 0.12 does not fit: implement `HttpClient` for a type of your own around it",
    note = "a tower service fits in a `TowerClient`"
)]
pub trait IntoHttpClient {
    /// Finishes the client.
    ///
    /// # Errors
    ///
    /// If reqwest cannot build it.
    fn into_http_client(self) -> Result<Arc<dyn HttpClient>, Error>;
}

impl<T: HttpClient> IntoHttpClient for T {
    fn into_http_client(self) -> Result<Arc<dyn HttpClient>, Error> {
        Ok(Arc::new(self))
    }
}

/// Marks a request as a token request: an adapter of ours on its way leaves it alone, or it would wait for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IsTokenRequest;

/// Sends a request by `client`, and names it where it fails for a reason that only its own code knows.
pub(crate) async fn send(client: &dyn HttpClient, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
    let https = request.uri().scheme() == Some(&Scheme::HTTPS);
    let again = https.then(|| request.clone());
    let outcome = match (client.send(request).await, again) {
        // Nothing was sent. The server may be restarting, or a TLS alert came too early for hyper to report it.
        (Err(error), Some(request)) if fault(&error) == Some(Fault::Unsent) => client.send(request).await,
        (outcome, _) => outcome,
    };
    outcome.map_err(|error| if error.is_from_source() { of_client(error, client.name(), https) } else { error })
}

fn fault(error: &Error) -> Option<Fault> {
    error.source().map(Fault::of)
}

/// An error that a client's own code made by [`Error::transient`] or [`Error::permanent`].
fn of_client(error: Error, client: &str, https: bool) -> Error {
    if error.kind() == ErrorKind::Refused {
        return error.about(&format!("the HTTP client `{client}` refused"));
    }
    let failed = format!("the HTTP client `{client}` failed");
    let fault = match fault(&error).map_or(Fault::Other, |fault| fault.over(https)) {
        Fault::Other => return error.about(&failed),
        fault => fault,
    };
    let error = error.with_message(format!("{failed}: {}", fault.message("")));
    match fault.advice() {
        Some(advice) => error.with_advice(advice),
        None => error,
    }
}
