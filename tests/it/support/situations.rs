//! Every situation that the documents tell of, brought about.
#![allow(unreachable_pub)]

use std::{
    collections::BTreeSet,
    convert::Infallible,
    error::Error as StdError,
    future::ready,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use client_credentials::{
    AccessToken, BearerAuthLayer, BearerAuthMiddleware, ClientAuthentication, ClientCredentials,
    ClientCredentialsBuilder, Clock, Error, HttpClient, PrivateKey, Secret, Signer, TokenCache, TokenRequest,
    TowerClient, async_trait,
    testing::{AuthorizationServer, MockResponse, ProtectedApi},
    token_fn,
    vonage::Region,
};
use http::{Method, Request, Response};
use tokio::time::{advance, sleep};
use tower::ServiceExt;
use tracing::Level;
use wiremock::ResponseTemplate;

use super::endpoint::auth_responding;
use super::{
    keys::{Key, SignsWith, pem},
    log::Log,
};
use crate::support;

/// All that is logged and returned in the situations below.
pub struct Said {
    pub events: Vec<(Level, String)>,
    pub fields: BTreeSet<String>,
    /// One for each cause.
    pub errors: Vec<String>,
}

#[derive(Default)]
struct Errors(Vec<String>);

impl Errors {
    fn push(&mut self, error: &(dyn StdError + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.0.push(error.to_string());
            next = error.source();
        }
    }

    fn outcome<T>(&mut self, outcome: Result<T, Error>) {
        self.push(&outcome.err().expect("a failure"));
    }
}

pub fn said() -> Said {
    let (log, guard) = Log::start();
    let mut errors = Errors::default();
    let runtime = |paused| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(paused).build().expect("a runtime")
    };
    runtime(true).block_on(async {
        endpoints(&mut errors).await;
        transports(&mut errors).await;
        authentications(&mut errors).await;
        discoveries(&mut errors).await;
        keys(&mut errors).await;
        lives(&mut errors).await;
        apis(&mut errors).await;
        #[cfg(feature = "store")]
        shared_tokens().await;
    });
    runtime(false).block_on(redirects(&mut errors));
    let without_timer = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    errors.outcome(without_timer.block_on(cache(&AuthorizationServer::in_memory()).token()));
    refusals(&mut errors);
    drop(guard);
    let events = log.drain().into_iter();
    let events = events.filter(|(_, line)| !line.starts_with("open ") && !line.starts_with("record "));
    let events = events.filter(|(_, line)| !line.starts_with("token_request follows")).collect();
    Said { events, fields: log.fields(), errors: errors.0 }
}

fn source(url: impl Into<String>, client: impl HttpClient) -> ClientCredentialsBuilder {
    ClientCredentials::builder(url, "abcde", "12345").http_client(client).origin("https://api.test")
}

fn over(source: ClientCredentialsBuilder) -> TokenCache {
    TokenCache::builder(source.build().expect("complete")).clock(Clock::tokio()).build().expect("complete")
}

fn cache(auth: &AuthorizationServer) -> TokenCache {
    over(source(auth.token_url(), auth.clone()))
}

/// What a token endpoint responds.
async fn endpoints(errors: &mut Errors) {
    let json = |body: &str| {
        MockResponse::status(200).with_header("content-type", "application/json").with_body(body.to_owned())
    };
    let responses = [
        MockResponse::oauth_error("invalid_client"),
        MockResponse::oauth_error("unauthorized_client"),
        MockResponse::oauth_error("invalid_scope"),
        MockResponse::oauth_error("unsupported_grant_type"),
        MockResponse::oauth_error("invalid_dpop_proof"),
        MockResponse::status(429).with_retry_after(Duration::from_secs(60)),
        MockResponse::status(503),
        MockResponse::status(502).with_body("<html><title>502 Bad Gateway</title>"),
        MockResponse::status(500).with_body(r#"{"message":"broken"}"#),
        MockResponse::status(500).with_header("content-encoding", "br"),
        MockResponse::status(404),
        MockResponse::status(403),
        MockResponse::status(407),
        MockResponse::status(302).with_header("location", "https://login.example.com/"),
        MockResponse::garbage(),
        MockResponse::status(200).with_header("content-type", "text/html").with_body("<html><title>Sign in</title>"),
        json(r#"{"access_token":"a","token_type":"mac"}"#),
        json(r#"{"access_token":"a","expires_in":"soon"}"#),
        json(r#"{"token":"a"}"#),
        MockResponse::hang(),
    ];
    for response in responses {
        let auth = auth_responding(response);
        let tokens = cache(&auth);
        errors.outcome(tokens.token().await);
        // Of an exchange and a caller that waits as long for it, either may end first.
        sleep(Duration::from_secs(1)).await;
        if tokens.status().held_back_for() > Some(Duration::from_secs(2)) {
            errors.outcome(tokens.token().await);
        }
    }
}

/// What several tokens of one source have in common.
async fn keys(errors: &mut Errors) {
    let auth = AuthorizationServer::in_memory();
    auth.set_lifetime(Duration::from_secs(60));
    let tokens = cache(&auth);
    let key = |scope: &str| TokenRequest::builder().scope(scope).build().expect("a scope");
    for _ in 0..2 {
        tokens.token_for(&key("a")).await.expect("a token");
        sleep(Duration::from_secs(50)).await;
        auth.respond_always(MockResponse::usual());
    }
    auth.respond_always(MockResponse::status(429).with_retry_after(Duration::from_secs(60)));
    for scope in ["b", "c", "d", "e"] {
        errors.outcome(tokens.token_for(&key(scope)).await);
    }
}

/// What happens on the way to it.
async fn transports(errors: &mut Errors) {
    let failures: [fn() -> io::Error; 13] = [
        || io::ErrorKind::ConnectionRefused.into(),
        || io::ErrorKind::ConnectionReset.into(),
        || io::Error::other("failed to lookup address information"),
        || io::Error::other("invalid peer certificate: UnknownIssuer"),
        || io::Error::other("invalid URL, scheme is not http"),
        || io::Error::other("received corrupt message of type InvalidContentType"),
        || io::Error::other("received fatal alert: CertificateRequired"),
        || io::Error::other("received fatal alert: HandshakeFailure"),
        || io::Error::other("operation was canceled"),
        || io::Error::other("tunnel error: proxy authorization required"),
        || io::Error::other("tunnel error: unsuccessful"),
        || io::Error::other("tunnel error: unexpected end of file"),
        || io::Error::other("tunnel error: failed to create underlying connection"),
    ];
    for failure in failures {
        let service = tower::service_fn(move |_: Request<Bytes>| async move { Err::<Response<String>, _>(failure()) });
        errors.outcome(over(source("https://auth.example.com/token", TowerClient::new(service))).token().await);
    }
    let not_http = tower::service_fn(|_: Request<Bytes>| async {
        Err::<Response<String>, _>(io::Error::other("invalid HTTP version parsed"))
    });
    let plain = source("http://auth.example.com/token", TowerClient::new(not_http)).allow_plain_http();
    errors.outcome(over(plain).token().await);
    let slow = AuthorizationServer::in_memory();
    slow.respond_always(MockResponse::hang());
    let patient = source(slow.token_url(), slow.clone()).timeout(Duration::from_secs(60));
    errors.outcome(over(patient).token().await);
    let sources = [
        TokenCache::builder(token_fn(|_| async { Err(Error::transient("down")) })),
        TokenCache::builder(token_fn(|_| async { Err(Error::permanent("refused")) })),
        TokenCache::builder(token_fn(|_| std::future::pending::<Result<AccessToken, Error>>())),
        TokenCache::builder(token_fn(|_| async { panic!("as the test wants it") })),
    ];
    for source in sources {
        errors
            .outcome(source.any_origin().wait_limit(Duration::from_secs(60)).build().expect("complete").token().await);
    }
}

/// How a client proves who it is.
async fn authentications(errors: &mut Errors) {
    let auth = auth_responding(MockResponse::oauth_error("invalid_client"));
    let empty = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documents-empty");
    std::fs::write(&empty, "\n").expect("a file");
    let key = PrivateKey::es256(Key::p256().pem()).expect("a key");
    let authentications = [
        ClientAuthentication::private_key_jwt(key).into(),
        ClientAuthentication::client_secret_jwt("12345").into(),
        ClientAuthentication::client_assertion("a.b.c"),
        ClientAuthentication::tls_client_auth(),
        ClientAuthentication::none(),
        Secret::file(empty.with_file_name("documents-missing")).into(),
        Secret::file(empty).into(),
        Secret::from_fn(|| ready(Err::<String, _>(Error::transient("sealed")))).into(),
        ClientAuthentication::from_fn(|| ready(Err(Error::transient("sealed")))),
        ClientAuthentication::client_secret_basic("1+2"),
        ClientAuthentication::private_key_jwt(SignsWith(Err(Error::transient("throttled")))).into(),
        ClientAuthentication::private_key_jwt(SignsWith(Ok(vec![0x30; 71]))).into(),
    ];
    for authentication in authentications {
        let source = source(auth.token_url(), auth.clone()).authentication(authentication);
        errors.outcome(over(source).token().await);
    }
    clock_that_is_off().await;
    let never = Secret::from_fn(std::future::pending::<Result<String, Error>>);
    let source_of_it = source(auth.token_url(), auth.clone()).authentication(never).timeout(Duration::from_secs(10));
    errors.outcome(over(source_of_it).token().await);

    let auth = AuthorizationServer::in_memory();
    auth.set_client("abcde", "12345");
    let reads = AtomicUsize::new(0);
    let rotated = Secret::from_fn(move || ready(Ok(["12345", "67890"][reads.fetch_add(1, Ordering::SeqCst).min(1)])));
    let tokens = over(source(auth.token_url(), auth.clone()).authentication(rotated));
    tokens.token().await.expect("a token");
    sleep(Duration::from_secs(3600)).await;
    tokens.token().await.expect("a token by the previous secret");
}

/// Of a server that accepts what is made by its own time.
async fn clock_that_is_off() {
    let auth = AuthorizationServer::in_memory();
    // Further from any test's clock than is allowed.
    auth.respond_next(MockResponse::oauth_error("invalid_client").with_header("date", "Thu, 01 Jan 2015 00:00:00 GMT"));
    let key = PrivateKey::es256(Key::p256().pem()).expect("a key");
    let authentication = ClientAuthentication::private_key_jwt(key);
    let source = source(auth.token_url(), auth.clone()).authentication(authentication);
    over(source).token().await.expect("a token by the server's time");
}

/// What an issuer's metadata says.
async fn discoveries(errors: &mut Errors) {
    let responses = [
        (404, ""),
        (200, "<html>"),
        (302, ""),
        (200, r#"{"issuer":"https://auth.example.com/","token_endpoint":"https://auth.example.com/token"}"#),
        (200, r#"{"issuer":"https://auth.example.com","token_endpoint":"https://login.example.com/token"}"#),
    ];
    for response in responses {
        errors.outcome(discovering(move |_| response).token().await);
    }

    let asked = Arc::new(AtomicUsize::new(0));
    let tokens = discovering(move |method| match *method {
        Method::POST => (200, r#"{"access_token":"abcde12345","expires_in":3600}"#),
        _ if asked.fetch_add(1, Ordering::SeqCst) > 0 => (503, ""),
        _ => (200, r#"{"issuer":"https://auth.example.com","token_endpoint":"https://auth.example.com/token"}"#),
    });
    tokens.token().await.expect("a token");
    sleep(Duration::from_secs(24 * 60 * 60)).await;
    tokens.token().await.expect("a token from where the old document says");
}

fn discovering(response: impl Fn(&Method) -> (u16, &'static str) + Clone + Send + Sync + 'static) -> TokenCache {
    let service = tower::service_fn(move |request: Request<Bytes>| {
        let (status, body) = response(request.method());
        let response = Response::builder().status(status).body(body.to_owned());
        ready(Ok::<_, Infallible>(response.expect("a response")))
    });
    let source = ClientCredentials::discover("https://auth.example.com", "abcde", "12345").any_origin();
    over(source.http_client(TowerClient::new(service)))
}

/// What happens in a token's life.
async fn lives(errors: &mut Errors) {
    let auth = AuthorizationServer::in_memory();
    let tokens = cache(&auth);
    tokens.token().await.expect("a token");
    advance(Duration::from_secs(50 * 60)).await;
    tokens.token().await.expect("the old token");
    sleep(Duration::from_millis(1)).await;
    auth.respond_always(MockResponse::status(503));
    advance(Duration::from_secs(50 * 60)).await;
    tokens.token().await.expect("the old token");
    sleep(Duration::from_secs(5)).await;

    let odd = AuthorizationServer::in_memory();
    odd.respond_always(MockResponse::status(200).with_body(r#"{"access_token":"a","expires_in":0,"scope":"b"}"#));
    over(source(odd.token_url(), odd.clone()).scope("a b")).token().await.expect("a token");

    // The same token again, after a rejection and without one.
    for reject in [true, false] {
        let auth = AuthorizationServer::in_memory();
        let same = r#"{"access_token":"the-same","expires_in":3600}"#;
        auth.respond_always(MockResponse::status(200).with_body(same));
        let tokens = cache(&auth);
        let token = tokens.token().await.expect("a token");
        if reject {
            tokens.reject(&token);
        } else {
            auth.respond_always(MockResponse::status(200).with_body(r#"{"access_token":"the-same","expires_in":300}"#));
            advance(Duration::from_secs(55 * 60)).await;
        }
        sleep(Duration::from_secs(2)).await;
        tokens.token().await.expect("the old token");
        sleep(Duration::from_secs(2)).await;
        let status = tokens.status();
        errors.push(status.last_error().expect("the renewal failed"));
    }

    let source = source(auth.token_url(), AuthorizationServer::in_memory()).build().expect("complete");
    let tokens = TokenCache::builder(source).most_keys(1).clock(Clock::tokio()).build().expect("complete");
    for scope in ["a", "b", "c"] {
        let request = TokenRequest::builder().scope(scope).resource("https://a").audience("https://a");
        tokens.token_for(&request.build().expect("complete")).await.expect("a token");
    }
}

/// What happens between a caller and an API.
async fn apis(errors: &mut Errors) {
    let auth = AuthorizationServer::in_memory();
    let api = ProtectedApi::in_memory(&auth);
    let tokens = cache(&auth);
    let layer = BearerAuthLayer::new(tokens.clone());
    let service = tower::ServiceBuilder::new().layer(layer).service(api.clone());
    let send = |url: &str, own_header: bool| {
        let request = Request::get(url);
        let request = if own_header { request.header("authorization", "Basic YTpi") } else { request };
        service.clone().oneshot(request.body(String::new()).expect("a request"))
    };
    send("https://api.test/", false).await.expect("a response");
    send("https://elsewhere.test/", false).await.expect("a response");
    errors.outcome(tokens.header_for("https://elsewhere.test/").await);
    send("https://api.test/", true).await.expect("a response");
    let error = send("http://api.test/", false).await.expect_err("refused");
    errors.push(&*error);
    let error = send("/without-a-host", false).await.expect_err("refused");
    errors.push(&*error);
    let elsewhere = Request::get("https://api.test/").header("host", "elsewhere.test").body(String::new());
    service.clone().oneshot(elsewhere.expect("a request")).await.expect("a response");
    errors.outcome(BearerAuthLayer::new(tokens.clone()).for_origin("https://elsewhere.test"));
    sleep(Duration::from_secs(3000)).await;
    for _ in 0..3 {
        auth.revoke_all();
        send("https://api.test/", false).await.expect("a response");
        sleep(Duration::from_secs(2)).await;
    }
    let forbidding = tower::service_fn(|_: Request<String>| async {
        let response =
            Response::builder().status(403).header("www-authenticate", "Bearer error=\"insufficient_scope\"");
        Ok::<_, Infallible>(response.body(String::new()).expect("a response"))
    });
    let service = tower::ServiceBuilder::new().layer(BearerAuthLayer::new(tokens.clone())).service(forbidding);
    service.oneshot(Request::get("https://api.test/").body(String::new()).expect("a request")).await.expect("a 403");
    // With a copy to send again; the second challenge is no rejection.
    for challenge in ["Bearer", "Basic"] {
        let rejecting = tower::service_fn(move |_: Request<String>| async move {
            let response = Response::builder().status(401).header("www-authenticate", challenge);
            Ok::<_, Infallible>(response.body(String::new()).expect("a response"))
        });
        let layer = BearerAuthLayer::new(cache(&auth)).with_replay(client_credentials::TryClone);
        let service = tower::ServiceBuilder::new().layer(layer).service(rejecting);
        let request = Request::get("https://api.test/").body(String::new()).expect("a request");
        service.oneshot(request).await.expect("a 401");
    }

    let down = AuthorizationServer::in_memory();
    down.respond_always(MockResponse::oauth_error("invalid_client"));
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(BearerAuthMiddleware::new(cache(&down)))
        .build();
    for _held_back in [false, true] {
        errors.push(&client.get("https://api.test/").send().await.expect_err("no token"));
    }
}

/// A redirect that reqwest follows on its own.
async fn redirects(errors: &mut Errors) {
    let auth = AuthorizationServer::in_memory();
    let end = support::responding(ResponseTemplate::new(401).insert_header("www-authenticate", "Bearer")).await;
    let redirect = ResponseTemplate::new(302).insert_header("location", format!("{}/end", end.uri()));
    let start = support::responding(redirect).await;
    let tokens = source(auth.token_url(), auth.clone()).origin(start.uri());
    let middleware = BearerAuthMiddleware::new(tokens.build().expect("complete").into());
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
    client.get(start.uri()).send().await.expect("a response");
    // And one of a token endpoint, to a client that follows it.
    let redirecting = ClientCredentials::builder(start.uri(), "abcde", "12345").any_origin();
    let redirecting = redirecting.http_client(reqwest::Client::new()).build().expect("complete");
    errors.outcome(TokenCache::from(redirecting).token().await);
}

/// What is refused when it is built.
fn refusals(errors: &mut Errors) {
    let auth = AuthorizationServer::in_memory();
    let builder = |url: &str| ClientCredentials::builder(url, "abcde", "12345").http_client(auth.clone());
    errors.outcome(builder("https://auth.test/token").build());
    errors.outcome(builder("http://auth.test/token").any_origin().build());
    errors.outcome(ClientCredentials::vonage(Region::Emea, "abcde", "12345").http_client(auth.clone()).build());
    let document = "https://auth.example.com/.well-known/openid-configuration";
    errors.outcome(ClientCredentials::discover(document, "abcde", "12345").any_origin().build());
    let certificate = ClientAuthentication::tls_client_auth();
    errors.outcome(ClientCredentials::builder(auth.token_url(), "abcde", certificate).any_origin().build());
    let settings = serde_json::json!({"token_url": auth.token_url(), "client_id": "abcde"});
    errors.outcome(serde_json::from_value::<ClientCredentialsBuilder>(settings).expect("a table").build());
    let settings = serde_json::json!({
        "token_url": auth.token_url(), "client_id": "abcde", "client_secret": "12345", "origins": "https://api.test",
        "client_secret_file": "/run/secrets/oauth",
    });
    let overridden = serde_json::from_value::<ClientCredentialsBuilder>(settings).expect("a table");
    overridden.http_client(auth.clone()).build().expect("complete");

    let key = Key::p256();
    errors.outcome(PrivateKey::rs256(key.pem()));
    errors.outcome(PrivateKey::es256(&key.public));
    errors.outcome(PrivateKey::es256(pem("ENCRYPTED PRIVATE KEY", b"key")));
    errors.outcome(PrivateKey::es256(pem("OPENSSH PRIVATE KEY", b"key")));
    errors.outcome(PrivateKey::es256(key.pem().replace('\n', "\\n")));
}

/// Several instances and a store, in all its states.
#[cfg(feature = "store")]
async fn shared_tokens() {
    use super::instances::{Fleet, Instance, SECRET, together};
    use client_credentials::{Identifying, TokenIdentity, TokenSource, store::EncryptionKey};

    struct Unsure;

    #[async_trait]
    impl TokenSource for Unsure {
        async fn token(&self, _: &TokenRequest) -> Result<AccessToken, Error> {
            AccessToken::new("abcde12345")
        }

        fn identity<'a>(&'a self, _: &'a TokenRequest) -> Option<Identifying<'a>> {
            Some(Box::pin(async { Err::<TokenIdentity, _>(Error::transient("no idea")) }))
        }
    }

    let fleet = Fleet::of(3);
    fleet.auth.respond_next(MockResponse::usual().with_delay(Duration::from_secs(2)));
    together(fleet.instances.iter().map(Instance::token)).await;
    let scoped = TokenRequest::builder().scope("stats").build().expect("a scope");
    for instance in &fleet.instances[..2] {
        instance.tokens.token_for(&scoped).await.expect("a token");
    }
    let other = TokenRequest::builder().scope("orders").build().expect("a scope");
    fleet.auth.respond_next(MockResponse::status(429).with_retry_after(Duration::from_secs(9)));
    for instance in &fleet.instances[..2] {
        instance.tokens.token_for(&other).await.expect_err("busy");
    }
    let keyed = |byte: u8| {
        let bytes: [u8; 32] = std::array::from_fn(|at| byte.wrapping_add(at as u8));
        let key = EncryptionKey::from_bytes(&bytes).expect("a key");
        fleet.instance_with(SECRET, |builder| builder.shared(fleet.store.clone(), key))
    };
    keyed(1).token().await;
    keyed(2).token().await;
    let unsure = TokenCache::builder(Unsure).any_origin().shared_in_the_clear(fleet.store.clone());
    unsure.build().expect("complete").token().await.expect("a token");
    fleet.store.fail();
    let alone = fleet.instance();
    alone.token().await;
    fleet.store.restore();
    sleep(Duration::from_secs(11)).await;
    alone.tokens.token_for(&scoped).await.expect("a token");
}
