//! The crate against authorization servers that others wrote, each in a process of its own: Authlib,
//! django-oauth-toolkit, node-oauth2-server, oauth2-mock-server, oauth2orize and oidc-provider.
//!
//! `tests/servers/set-up` installs them. Then: `cargo test --all-features --test servers -- --ignored`; `scripts/test`
//! does both.
#![cfg(all(feature = "jwt", feature = "reqwest-middleware", feature = "rustls"))]

#[path = "../it/support/keys.rs"]
mod keys;

mod authlib;
mod django_oauth_toolkit;
mod node_oauth2_server;
mod oauth2_mock_server;
mod oauth2orize;
mod oidc_provider;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use client_credentials::{
    AccessToken, BearerAuthMiddleware, ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, Error,
    HttpClient, SecretBody, TokenCache, TokenRequest, TokenSource, async_trait,
};
use http::{Request, Response, StatusCode};
use reqwest_middleware::ClientWithMiddleware;
use serde_json::Value;
use tokio::task::JoinSet;

/// A server that runs until this is dropped or this process ends, in whatever way: then its standard input is closed.
struct Server {
    /// Where it listens, by its own word.
    origins: Vec<String>,
    _input: ChildStdin,
    _output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts `arguments[1..]` with the interpreter `arguments[0]`, from `tests/servers`, and waits until it is ready.
    fn start(arguments: [&str; 2], input: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers");
        let [interpreter, program] = arguments;
        // A path, or a name to be looked up.
        let interpreter = if interpreter.contains('/') { folder.join(interpreter) } else { interpreter.into() };
        let mut child = Command::new(&interpreter)
            .arg(folder.join(program))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run tests/servers/set-up", interpreter.display()));
        let mut stdin = child.stdin.take().expect("piped");
        // It may have ended already, and says why on standard error.
        let _ = writeln!(stdin, "{input}");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        let origins = line.strip_prefix("READY ").unwrap_or_else(|| {
            panic!("{program} ended with {:?}; run tests/servers/set-up", child.wait());
        });
        Self { origins: origins.split_whitespace().map(str::to_owned).collect(), _input: stdin, _output: stdout }
    }

    fn origin(&self) -> &str {
        &self.origins[0]
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// A client of this server's token endpoint and of its API.
    fn client(&self, id: &str, authentication: impl Into<ClientAuthentication>) -> ClientCredentialsBuilder {
        ClientCredentials::builder(self.url("/token"), id, authentication).origin(self.origin())
    }

    /// What the API says about the token that it gets.
    async fn api(&self, token: &AccessToken) -> Value {
        let response = http().get(self.url("/api")).header("authorization", token.authorization()).send().await;
        json(response.expect("a response")).await
    }

    async fn post(&self, path: &str, client: (&str, &str), form: &[(&str, &str)]) -> reqwest::Response {
        let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let (id, secret) = client;
        let request = http().post(self.url(path)).basic_auth(id, Some(secret));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        request.send().await.expect("a response").error_for_status().expect("success")
    }
}

/// A client that reads no certificates, which takes longer than all the rest.
fn http() -> reqwest::Client {
    reqwest::Client::builder().tls_backend_rustls().tls_certs_only([]).build().expect("a client")
}

async fn json(response: reqwest::Response) -> Value {
    let response = response.error_for_status().expect("success");
    serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON")
}

async fn ask(client: ClientCredentialsBuilder) -> Result<AccessToken, Error> {
    client.build().expect("complete").token(&TokenRequest::default()).await
}

/// reqwest's client, and how often it was used.
#[derive(Clone)]
struct Counted {
    client: reqwest::Client,
    count: Arc<AtomicUsize>,
}

#[async_trait]
impl HttpClient for Counted {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        self.count.fetch_add(1, Ordering::SeqCst);
        HttpClient::send(&self.client, request).await
    }
}

impl Counted {
    fn new() -> Self {
        Self { client: http(), count: Arc::default() }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

fn with_tokens(tokens: impl Into<TokenCache>) -> ClientWithMiddleware {
    reqwest_middleware::ClientBuilder::new(http()).with(BearerAuthMiddleware::new(tokens.into())).build()
}

fn assert_refused(outcome: Result<AccessToken, Error>, code: &str) {
    let error = outcome.expect_err(code);
    assert_eq!(error.response().map(|response| response.error.as_str()), Some(code), "{error}");
    assert!(!error.is_transient(), "{error}");
}

/// The client's tokens live for two seconds at most.
async fn assert_renewed_beside_the_traffic(client: ClientCredentialsBuilder, api: &str) {
    let endpoint = Counted::new();
    let client = with_tokens(client.http_client(endpoint.clone()).build().expect("complete"));
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (client, api) = (client.clone(), api.to_owned());
        callers.spawn(async move {
            while started.elapsed() < Duration::from_secs(6) {
                let sent = Instant::now();
                let status = client.get(&api).send().await.expect("a response").status();
                // Where the machine stood still for as long as such a token lives, a new one can be too old as well.
                assert!(status == StatusCode::OK || sent.elapsed() > Duration::from_secs(1), "{status}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    callers.join_all().await;
    // Between two there is a second at least.
    let most = 1 + started.elapsed().as_secs() as usize;
    assert!((3..=most).contains(&endpoint.count()), "{} token requests, of {most} at most", endpoint.count());
}

/// `revoke` makes a token worthless at the server.
async fn assert_revocation_goes_unnoticed(
    client: ClientCredentialsBuilder,
    api: &str,
    revoke: impl AsyncFn(&AccessToken),
) {
    let endpoint = Counted::new();
    let tokens = TokenCache::from(client.http_client(endpoint.clone()).build().expect("complete"));
    let client = with_tokens(tokens.clone());
    let send = async || client.get(api).send().await.expect("a response").status();
    assert_eq!(send().await, StatusCode::OK);
    revoke(&tokens.token().await.expect("a token")).await;
    assert_eq!(send().await, StatusCode::OK);
    assert_eq!(send().await, StatusCode::OK);
    assert_eq!(endpoint.count(), 2);
}

/// This client's token endpoint fails twice before it issues a token.
async fn assert_two_faults_are_overcome(client: ClientCredentialsBuilder) {
    let endpoint = Counted::new();
    let client = client.http_client(endpoint.clone()).build().expect("complete");
    TokenCache::from(client).token().await.expect("a token");
    assert_eq!(endpoint.count(), 3);
}
