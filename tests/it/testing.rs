//! `testing`: the stand-ins that applications test with.

use std::time::Duration;

use client_credentials::{
    BearerAuthLayer, BearerAuthMiddleware, ClientAuthentication, ClientCredentials, Clock, Error, ErrorKind,
    TokenCache,
    testing::{AuthorizationServer, MockResponse, ProtectedApi},
};
use tower::{Service, ServiceExt};

/// A small application, such as one that a user tests.
struct Shop {
    client: reqwest_middleware::ClientWithMiddleware,
    api: String,
}

impl Shop {
    fn new(tokens: TokenCache, api: String) -> Self {
        let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
            .with(BearerAuthMiddleware::new(tokens))
            .build();
        Self { client, api }
    }

    async fn order(&self, what: &'static str) -> Result<String, reqwest_middleware::Error> {
        let response = self.client.post(format!("{}/orders", self.api)).body(what).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }
}

#[tokio::test]
async fn a_small_application_is_tested_in_twenty_lines() {
    let auth = AuthorizationServer::start().await;
    auth.set_client("shop", "hunter2");
    auth.allow_scope("orders");
    let api = ProtectedApi::start(&auth).await;
    let source = ClientCredentials::builder(auth.token_url(), "shop", "hunter2").scope("orders").origin(api.origin());
    let shop = Shop::new(source.build().expect("the settings are complete").into(), api.origin());

    assert_eq!(shop.order("a book").await.expect("a response"), "a book");
    auth.revoke_all();
    assert_eq!(shop.order("a pen").await.expect("renewed, and sent again"), "a pen");
    api.respond_next(MockResponse::status(500));
    shop.order("a lamp").await.expect_err("the API's own failure");

    assert_eq!(auth.token_requests().len(), 2);
    assert_eq!(api.requests().len(), 4);
}

fn tokens(auth: &AuthorizationServer, secret: impl Into<ClientAuthentication>, scope: &str) -> TokenCache {
    let source = ClientCredentials::builder(auth.token_url(), "shop", secret)
        .scope(scope)
        .http_client(auth.clone())
        .any_origin()
        .build()
        .expect("the settings are complete");
    TokenCache::builder(source).clock(Clock::tokio()).build().expect("the source names its origins")
}

async fn failure(auth: &AuthorizationServer, response: MockResponse) -> Error {
    auth.respond_always(response);
    tokens(auth, "hunter2", "orders").token().await.expect_err("a failure")
}

#[tokio::test(start_paused = true)]
async fn a_server_that_expects_a_client_and_scopes_refuses_others() {
    let auth = AuthorizationServer::in_memory();
    auth.set_client("shop", "hunter2");
    auth.allow_scope("orders");
    auth.allow_scope("stock");
    let code = async |secret: ClientAuthentication, scope: &str| {
        let outcome = tokens(&auth, secret, scope).token().await;
        outcome.map_err(|error| error.response().map(|response| response.error.clone()).unwrap_or_default()).err()
    };
    let basic = ClientAuthentication::client_secret_basic;
    assert_eq!(code("hunter2".into(), "orders").await, None);
    assert_eq!(code(basic("hunter2"), "stock orders").await, None);
    assert_eq!(code("wrong".into(), "orders").await.as_deref(), Some("invalid_client"));
    assert_eq!(code(basic("wrong"), "orders").await.as_deref(), Some("invalid_client"));
    assert_eq!(code("hunter2".into(), "admin").await.as_deref(), Some("invalid_scope"));

    let received = auth.token_requests();
    assert_eq!(received.len(), 5);
    assert_eq!((received[1].client_id(), received[1].client_secret()), (Some("shop"), Some("hunter2")));
    assert_eq!((received[1].scope(), received[1].parameter("client_id")), (Some("stock orders"), None));
    assert!(!format!("{received:?}").contains("hunter2"), "{received:?}");
}

#[tokio::test]
async fn a_server_can_be_discovered_by_its_issuer() {
    for auth in [AuthorizationServer::start().await, AuthorizationServer::in_memory()] {
        let source = ClientCredentials::discover(auth.issuer(), "shop", "hunter2").any_origin();
        let on_a_socket = auth.issuer().starts_with("http://127.0.0.1");
        let source = if on_a_socket { source } else { source.http_client(auth.clone()) };
        let tokens = TokenCache::from(source.build().expect("complete"));
        assert_eq!(tokens.token().await.expect("a token").expose_secret(), "token-1");
        assert_eq!(auth.token_requests().len(), 1, "the document is no token request");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_are_read_as_they_are_written_in_a_form_and_in_a_basic_header() {
    let secret = "a b+c%20d:e&f\u{fc}";
    let auth = AuthorizationServer::in_memory();
    auth.set_client("shop", secret);
    for secret in [ClientAuthentication::client_secret_post(secret), ClientAuthentication::client_secret_basic(secret)]
    {
        tokens(&auth, secret, "orders").token().await.expect("the right secret");
    }
    assert!(auth.token_requests().iter().all(|request| request.client_secret() == Some(secret)));

    auth.set_client("shop", "a+b:c");
    let raw = ClientAuthentication::client_secret_basic_raw("a+b:c");
    tokens(&auth, raw, "orders").token().await.expect("the right secret");
}

#[tokio::test(start_paused = true)]
async fn respond_next_and_respond_always_replace_the_usual_response() {
    let auth = AuthorizationServer::in_memory();
    let table = [
        (MockResponse::status(503).with_retry_after(Duration::from_secs(60)), ErrorKind::Status),
        (MockResponse::oauth_error("invalid_client"), ErrorKind::ErrorResponse),
        (MockResponse::garbage(), ErrorKind::InvalidResponse),
        (MockResponse::disconnect(), ErrorKind::Reset),
        (MockResponse::hang(), ErrorKind::Timeout),
    ];
    for (response, kind) in table {
        let error = failure(&auth, response.clone()).await;
        assert_eq!(error.kind(), kind, "{response:?}: {error}");
    }
    auth.respond_always(MockResponse::usual());
    auth.respond_next(MockResponse::status(502));
    auth.respond_next(MockResponse::usual().with_delay(Duration::from_secs(2)));
    let before = tokio::time::Instant::now();
    tokens(&auth, "hunter2", "orders").token().await.expect("the second attempt's token");
    assert!(before.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_server_on_loopback_has_the_same_faults() {
    let auth = AuthorizationServer::start().await;
    let fetch = async || {
        let source = ClientCredentials::builder(auth.token_url(), "shop", "hunter2").any_origin();
        TokenCache::from(source.build().expect("complete")).token().await
    };
    for _ in 0..3 {
        auth.respond_next(MockResponse::disconnect());
    }
    assert_eq!(fetch().await.expect_err("three times").kind(), ErrorKind::Reset);
    auth.respond_next(MockResponse::status(429).with_retry_after(Duration::from_secs(60)));
    assert!(fetch().await.expect_err("busy").retry_after() >= Some(Duration::from_secs(59)));
    assert_eq!(fetch().await.expect("a token").expose_secret(), "token-1");
    assert_eq!(auth.token_requests().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn tokens_end_by_time_and_by_revocation_and_an_api_says_so_by_rfc_6750() {
    let auth = AuthorizationServer::in_memory();
    auth.set_lifetime(Duration::from_secs(60));
    let mut api = ProtectedApi::in_memory(&auth);
    let mut ask = async |token: Option<&str>| {
        let request = http::Request::get("https://api.test/");
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let response = api.call(request.body(String::new()).expect("a request")).await.expect("a response");
        let challenge =
            response.headers().get("www-authenticate").map(|value| value.to_str().expect("text").to_owned());
        (response.status().as_u16(), challenge)
    };
    let invalid = || (401, Some("Bearer realm=\"api\", error=\"invalid_token\"".to_owned()));
    assert_eq!(ask(None).await, (401, Some("Bearer realm=\"api\"".to_owned())));
    assert_eq!(ask(Some("made-up")).await, invalid());
    tokens(&auth, "hunter2", "orders").token().await.expect("a token");
    tokens(&auth, "hunter2", "orders").token().await.expect("a token");
    assert_eq!(ask(Some("token-1")).await, (200, None));
    auth.revoke("token-1");
    assert_eq!((ask(Some("token-1")).await, ask(Some("token-2")).await), (invalid(), (200, None)));
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(ask(Some("token-2")).await, invalid());
    assert!(!auth.accepts("token-2"));
}

#[tokio::test(start_paused = true)]
async fn an_api_that_requires_a_scope_responds_with_403_without_it() {
    let auth = AuthorizationServer::in_memory();
    let api = ProtectedApi::in_memory(&auth);
    api.require_scope("admin");
    for (scope, status) in [("orders", 403), ("orders admin", 200)] {
        let layer = BearerAuthLayer::new(tokens(&auth, "hunter2", scope));
        let service = tower::ServiceBuilder::new().layer(layer).service(api.clone());
        let request = http::Request::get("https://api.test/").body(String::new()).expect("a request");
        assert_eq!(service.oneshot(request).await.expect("a response").status(), status, "{scope}");
    }
}
