//! node-oauth2-server does not decode Basic credentials, and has tokens without an end.

use std::sync::LazyLock;

use client_credentials::{AccessToken, ClientAuthentication};

use crate::{Server, ask, assert_refused, assert_renewed_beside_the_traffic, assert_revocation_goes_unnoticed};

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start(["node", "node-oauth2-server/server.mjs"], ""));

const ODD: (&str, &str) = ("an odd+id%20&=", "s:e+c%20r &=/?#");

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn raw_basic_and_post_are_accepted_and_encoded_basic_is_not() {
    let (id, secret) = ODD;
    for authentication in
        [ClientAuthentication::client_secret_basic_raw(secret), ClientAuthentication::client_secret_post(secret)]
    {
        let token = ask(SERVER.client(id, authentication)).await.expect("a token");
        assert_eq!(SERVER.api(&token).await["client_id"], id);
    }
    let encoded = ClientAuthentication::client_secret_basic(secret);
    assert_refused(ask(SERVER.client(id, encoded)).await, "invalid_client");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn without_odd_characters_both_kinds_of_basic_are_accepted() {
    for authentication in [
        ClientAuthentication::client_secret_basic("a-secret"),
        ClientAuthentication::client_secret_basic_raw("a-secret"),
    ] {
        let token = ask(SERVER.client("basic", authentication).scope("read write")).await.expect("a token");
        assert_eq!(token.scope(), Some("read write"));
        assert_eq!(SERVER.api(&token).await["scope"], "read write");
    }
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_wrong_secret_and_a_wrong_scope_are_refused_by_their_codes() {
    for authentication in
        [ClientAuthentication::client_secret_basic("wrong"), ClientAuthentication::client_secret_post("wrong")]
    {
        assert_refused(ask(SERVER.client("basic", authentication)).await, "invalid_client");
    }
    assert_refused(ask(SERVER.client("basic", "a-secret").scope("read nothing")).await, "invalid_scope");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_token_without_an_end_is_used() {
    let token = ask(SERVER.client("without-end", "a-secret")).await.expect("a token");
    assert_eq!(token.expires_in(), None);
    assert_eq!(SERVER.api(&token).await["client_id"], "without-end");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn tokens_are_renewed_beside_the_traffic() {
    assert_renewed_beside_the_traffic(SERVER.client("short", "a-secret"), &SERVER.url("/api")).await;
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_revocation_goes_unnoticed() {
    let revoke = async |token: &AccessToken| {
        SERVER.post("/revoke", ("basic", "a-secret"), &[("token", token.expose_secret())]).await;
    };
    assert_revocation_goes_unnoticed(SERVER.client("basic", "a-secret"), &SERVER.url("/api"), revoke).await;
}
