//! django-oauth-toolkit decodes Basic credentials as RFC 6749 says, has its metadata behind its path, and its decorator
//! rejects tokens by a 403 without a challenge.

use std::sync::LazyLock;

use client_credentials::{
    AccessToken, BearerAuthMiddleware, ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, TokenCache,
};
use http::StatusCode;

use crate::{
    Counted, Server, ask, assert_refused, assert_renewed_beside_the_traffic, assert_revocation_goes_unnoticed, http,
};

static SERVER: LazyLock<Server> =
    LazyLock::new(|| Server::start(["django-oauth-toolkit/.venv/bin/python", "django-oauth-toolkit/server.py"], ""));

const ODD: (&str, &str) = ("an:odd+id%20 &=", "s:e+c%20r &=/?#\"\\~*'()!@");

fn client(id: &str, authentication: impl Into<ClientAuthentication>) -> ClientCredentialsBuilder {
    ClientCredentials::builder(SERVER.url("/o/token/"), id, authentication).origin(SERVER.origin())
}

fn both(secret: &str) -> [ClientAuthentication; 2] {
    [ClientAuthentication::client_secret_basic(secret), ClientAuthentication::client_secret_post(secret)]
}

async fn revoke(token: &AccessToken) {
    SERVER.post("/o/revoke_token/", ("basic", "a-secret"), &[("token", token.expose_secret())]).await;
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn encoded_basic_and_post_are_accepted_and_raw_basic_is_not() {
    let (id, secret) = ODD;
    for authentication in both(secret) {
        let token = ask(client(id, authentication).scope("read")).await.expect("a token");
        assert_eq!(SERVER.api(&token).await, serde_json::json!({"client_id": id, "scope": "read"}));
    }
    ask(client("plus", ClientAuthentication::client_secret_basic("a+secret"))).await.expect("a token");
    let raw = ClientAuthentication::client_secret_basic_raw("a+secret");
    assert_refused(ask(client("plus", raw)).await, "invalid_client");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_wrong_secret_and_a_wrong_scope_are_refused_by_their_codes() {
    for authentication in both("wrong") {
        assert_refused(ask(client("basic", authentication)).await, "invalid_client");
    }
    assert_refused(ask(client("basic", "a-secret").scope("read nothing")).await, "invalid_scope");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn without_a_scope_the_token_has_all_of_them() {
    let token = ask(client("basic", "a-secret")).await.expect("a token");
    assert_eq!(token.scope(), Some("read write"));
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn its_issuer_is_enough() {
    let issuer = SERVER.url("/o");
    for authentication in both("a-secret") {
        let client = ClientCredentials::discover(&*issuer, "basic", authentication).origin(SERVER.origin());
        let token = ask(client).await.expect("a token");
        assert_eq!(SERVER.api(&token).await["client_id"], "basic");
    }
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn tokens_are_renewed_beside_the_traffic() {
    assert_renewed_beside_the_traffic(client("short", "a-secret"), &SERVER.url("/api")).await;
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_revocation_goes_unnoticed() {
    assert_revocation_goes_unnoticed(client("basic", "a-secret"), &SERVER.url("/api"), revoke).await;
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_bare_403_of_its_decorator_can_be_named_as_a_rejection() {
    let endpoint = Counted::new();
    let tokens = TokenCache::from(client("basic", "a-secret").http_client(endpoint.clone()).build().expect("complete"));
    let send = async |middleware| {
        let client = reqwest_middleware::ClientBuilder::new(http()).with(middleware).build();
        client.get(SERVER.url("/bare-api")).send().await.expect("a response").status()
    };
    revoke(&tokens.token().await.expect("a token")).await;
    assert_eq!(send(BearerAuthMiddleware::new(tokens.clone())).await, StatusCode::FORBIDDEN);
    let by_403 = BearerAuthMiddleware::new(tokens).with_rejection(|status, _| status == StatusCode::FORBIDDEN);
    assert_eq!(send(by_403).await, StatusCode::OK);
    assert_eq!(endpoint.count(), 2);
}
