//! What asks a token endpoint: sources, and HTTP clients of every kind.
#![allow(dead_code, unreachable_pub)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use client_credentials::{
    AccessToken, ClientCredentials, ClientCredentialsBuilder, Error, HttpClient, IntoHttpClient, SecretBody,
    TokenRequest, TokenSource, TowerClient, async_trait,
    testing::{AuthorizationServer, MockResponse},
};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpStream;
use wiremock::{MockServer, ResponseTemplate};

pub const TOKEN: &str = r#"{"access_token":"abcde12345","token_type":"Bearer","expires_in":3600}"#;

/// The response of a token endpoint that issues [`TOKEN`].
pub fn token_response() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(TOKEN, "application/json")
}

/// A source that is complete but for what the test is about.
pub fn source(token_url: impl Into<String>) -> ClientCredentialsBuilder {
    ClientCredentials::builder(token_url, "abcde", "12345").any_origin()
}

pub async fn ask(source: &ClientCredentials) -> Result<AccessToken, Error> {
    source.token(&TokenRequest::default()).await
}

/// One token of the source that this makes.
pub async fn obtain(source: ClientCredentialsBuilder) -> Result<AccessToken, Error> {
    ask(&source.build().expect("complete")).await
}

/// An authorization server in memory that always responds so.
pub fn auth_responding(response: MockResponse) -> AuthorizationServer {
    let auth = AuthorizationServer::in_memory();
    auth.respond_always(response);
    auth
}

pub fn form(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// Everything a client can be: its name, and a builder's client. `None` is ours.
#[cfg(feature = "reqwest-middleware")]
pub fn clients() -> Vec<(&'static str, Option<Arc<dyn HttpClient>>)> {
    vec![
        ("the default client", None),
        ("a reqwest client", Some(Arc::new(reqwest::Client::new()))),
        ("a reqwest builder", Some(reqwest::Client::builder().into_http_client().expect("a client"))),
        (
            "a client with middleware",
            Some(Arc::new(reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).build())),
        ),
        ("hyper-util's client", Some(Arc::new(tower_client()))),
    ]
}

pub fn with_client(builder: ClientCredentialsBuilder, client: Option<Arc<dyn HttpClient>>) -> ClientCredentialsBuilder {
    match client {
        Some(client) => builder.http_client(client),
        None => builder,
    }
}

pub fn tower_client() -> impl HttpClient + Clone {
    TowerClient::<_, Full<Bytes>>::new(super::hyper_client())
}

/// A client that finds every host at this server, also by https. Over HTTP/2 the server sees the whole URL.
pub fn at(server: &MockServer) -> impl HttpClient + Clone + use<> {
    let address = *server.address();
    let connector = tower::service_fn(move |_: Uri| {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            std::io::Result::Ok(TokioIo::new(stream))
        })
    });
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
    TowerClient::<_, Full<Bytes>>::new(client)
}

/// A client of an application's own, every request of which fails so.
pub struct Failing<F>(pub F);

#[async_trait]
impl<F: Fn() -> Error + Send + Sync + 'static> HttpClient for Failing<F> {
    async fn send(&self, _: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        Err((self.0)())
    }
}

/// The token request of this source, as its HTTP client gets it: to a URL with TLS, too, and with headers that are
/// marked sensitive, which no server sees.
pub async fn sent(source: ClientCredentialsBuilder) -> Request<SecretBody> {
    #[derive(Clone, Default)]
    struct Keep(Arc<Mutex<Option<Request<SecretBody>>>>);

    #[async_trait]
    impl HttpClient for Keep {
        async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
            *self.0.lock().expect("no panic") = Some(request);
            Ok(Response::new(SecretBody::from(TOKEN)))
        }
    }

    let keep = Keep::default();
    obtain(source.http_client(keep.clone())).await.expect("a token");
    keep.0.lock().expect("no panic").take().expect("a request")
}
