//! The HTTP clients that send token requests.

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
    body::{MAX_RESPONSE_BYTES, too_large},
    failure::redirected,
};
use crate::{
    error::{Error, ErrorKind},
    fault::Fault,
};

/// An HTTP client that sends token requests, and requests for the metadata of an issuer
/// ([`ClientCredentials::discover`](crate::ClientCredentials::discover)).
///
/// It is implemented for `reqwest::Client`, for `reqwest_middleware::ClientWithMiddleware`, and for tower services by
/// [`TowerClient`]. Your own implementation must not follow redirects (the body contains a secret) and must stop
/// reading at 1 MiB. It should pass on `http::Request::extensions`, which tell adapters of this crate in the same
/// client that this is a token request. The caller applies the time limit.
#[async_trait]
pub trait HttpClient: Send + Sync + 'static {
    /// Sends the request.
    ///
    /// # Errors
    ///
    /// [`Error::transient`] if the transport fails. The error's kind is derived from the chain of causes.
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error>;

    /// The name of this client in errors. The default is the name of its type.
    fn name(&self) -> &str {
        let name = std::any::type_name::<Self>().split('<').next().unwrap_or_default();
        name.rsplit("::").next().unwrap_or_default()
    }

    /// Whether the client may follow redirects on its own, and so send headers of the token request to another host. If
    /// so, the log contains a warning for each source that is built with it.
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
    /// Builds the client.
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

/// Sends a request with `client`, and adds the client's name to errors that its own code made.
pub(crate) async fn send(client: &dyn HttpClient, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
    let https = request.uri().scheme() == Some(&Scheme::HTTPS);
    let again = https.then(|| request.clone());
    let outcome = match (client.send(request).await, again) {
        // Nothing was sent: the server may be restarting, or hyper did not report a TLS alert that came early.
        (Err(error), Some(request)) if fault(&error, true) == Fault::ClosedAfterHandshake => client.send(request).await,
        (outcome, _) => outcome,
    };
    outcome.map_err(|error| if error.is_from_source() { with_client_name(error, client.name(), https) } else { error })
}

fn fault(error: &Error, https: bool) -> Fault {
    error.source().map_or(Fault::Other, |cause| Fault::of(cause, https))
}

/// Adds the client's name to an error that its own code made with [`Error::transient`] or [`Error::permanent`].
fn with_client_name(error: Error, client: &str, https: bool) -> Error {
    if error.kind() == ErrorKind::Refused {
        return error.about(&format!("the HTTP client `{client}` refused"));
    }
    let failed = format!("the HTTP client `{client}` failed");
    match fault(&error, https) {
        Fault::Other => error.about(&failed),
        fault => error.with_message(format!("{failed}: {}", fault.message(""))).with_advice(fault.advice()),
    }
}
