//! Token endpoints of every kind, and every kind of client to ask them with.
#![allow(dead_code, unreachable_pub)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use client_credentials::{
    AccessToken, ClientCredentials, ClientCredentialsBuilder, Error, HttpClient, IntoHttpClient, SecretBody,
    TokenRequest, TokenSource, async_trait,
};
use http::{Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wiremock::ResponseTemplate;

type Answer = dyn Fn(&Request<SecretBody>) -> Result<Response<SecretBody>, Error> + Send + Sync;

/// An `HttpClient` of the test's own: keeps what it is asked, and answers without any network.
#[derive(Clone)]
pub struct Recorder {
    answer: Arc<Answer>,
    seen: Arc<Mutex<Vec<Request<SecretBody>>>>,
}

impl Recorder {
    pub fn new(
        answer: impl Fn(&Request<SecretBody>) -> Result<Response<SecretBody>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { answer: Arc::new(answer), seen: Arc::default() }
    }

    /// Answers with a token.
    pub fn issuing() -> Self {
        Self::new(|_| Ok(Response::new(SecretBody::from(TOKEN))))
    }

    pub fn seen(&self) -> Vec<Request<SecretBody>> {
        self.seen.lock().expect("no panic").clone()
    }

    pub fn last(&self) -> Request<SecretBody> {
        self.seen().pop().expect("a request")
    }
}

pub const TOKEN: &str = r#"{"access_token":"abcde12345","token_type":"Bearer","expires_in":3600}"#;

#[async_trait]
impl HttpClient for Recorder {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let answer = (self.answer)(&request);
        self.seen.lock().expect("no panic").push(request);
        answer
    }
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

pub fn tower_client() -> impl HttpClient + Clone {
    client_credentials::TowerClient::<_, http_body_util::Full<Bytes>>::new(super::hyper_client())
}

pub fn with_client(builder: ClientCredentialsBuilder, client: Option<Arc<dyn HttpClient>>) -> ClientCredentialsBuilder {
    match client {
        Some(client) => builder.http_client(client),
        None => builder,
    }
}

/// A source that is complete but for what the test is about.
pub fn source(token_url: impl Into<String>) -> ClientCredentialsBuilder {
    ClientCredentials::builder(token_url, "abcde", "12345").any_origin()
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
    ask(&source.http_client(keep.clone()).build().expect("complete")).await.expect("a token");
    keep.0.lock().expect("no panic").take().expect("a request")
}

/// The response of a token endpoint that issues [`TOKEN`].
pub fn token_response() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(TOKEN, "application/json")
}

pub async fn ask(source: &ClientCredentials) -> Result<AccessToken, Error> {
    source.token(&TokenRequest::default()).await
}

pub fn form(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// A TCP server that does with each connection what it is told, after the request was read. Its origin.
pub async fn tcp_server<F, Fut>(serve: F) -> String
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let origin = format!("http://{}", listener.local_addr().expect("a bound address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 16 * 1024];
            let _ = stream.read(&mut request).await;
            tokio::spawn(serve(stream));
        }
    });
    origin
}

pub async fn silent_server() -> String {
    tcp_server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(stream);
    })
    .await
}

/// One byte of a good answer a second.
pub async fn dripping_server() -> String {
    tcp_server(|mut stream| async move {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", TOKEN.len());
        let _ = stream.write_all(head.as_bytes()).await;
        for byte in TOKEN.as_bytes() {
            let _ = stream.write_all(&[*byte]).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await
}

/// Everything that is logged, at every level, and the begin and end of every span.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// For the current thread, until the guard goes.
    pub fn capture(&self) -> impl Sized + use<> {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_writer(move || log.clone())
            .finish();
        tracing_subscriber::util::SubscriberInitExt::set_default(subscriber)
    }

    /// What was logged since this was asked last.
    pub fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.0.lock().expect("no panic"))).into_owned()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
