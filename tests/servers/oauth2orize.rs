//! oauth2orize leaves client authentication to passport, which does not decode Basic credentials, ends a secret at a
//! `:` there, and refuses with a word of text.

use std::sync::LazyLock;

use client_credentials::{AccessToken, ClientAuthentication};
use http::StatusCode;

use crate::{
    Server, ask, assert_refused, assert_renewed_beside_the_traffic, assert_revocation_goes_unnoticed,
    assert_two_faults_are_overcome,
};

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start(["node", "oauth2orize/server.mjs"], ""));

const ODD: (&str, &str) = ("an odd+id%20&=", "s e+c%20r &=/?#");

async fn assert_unauthorized(id: &str, authentication: impl Into<ClientAuthentication>) -> String {
    let error = ask(SERVER.client(id, authentication)).await.expect_err("refused");
    assert_eq!(error.status(), Some(StatusCode::UNAUTHORIZED), "{error}");
    assert!(!error.is_transient(), "{error}");
    error.to_string()
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn raw_basic_and_post_are_accepted_and_encoded_basic_is_not() {
    let (id, secret) = ODD;
    for authentication in
        [ClientAuthentication::client_secret_basic_raw(secret), ClientAuthentication::client_secret_post(secret)]
    {
        let token = ask(SERVER.client(id, authentication).scope("write")).await.expect("a token");
        assert_eq!(token.scope(), Some("write"));
        assert_eq!(SERVER.api(&token).await["client_id"], id);
    }
    let error = assert_unauthorized(id, ClientAuthentication::client_secret_basic(secret)).await;
    assert!(error.contains("client_secret_basic_raw"), "{error}");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_secret_with_a_colon_can_only_be_posted() {
    ask(SERVER.client("colon", "a:secret")).await.expect("a token");
    assert_unauthorized("colon", ClientAuthentication::client_secret_basic_raw("a:secret")).await;
    assert_unauthorized("colon", ClientAuthentication::client_secret_basic("a:secret")).await;
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_wrong_secret_is_unauthorized() {
    assert_unauthorized("basic", ClientAuthentication::client_secret_basic("wrong")).await;
    assert_unauthorized("basic", ClientAuthentication::client_secret_post("wrong")).await;
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_wrong_scope_and_a_grant_that_it_denies_are_refused_by_their_codes() {
    assert_refused(ask(SERVER.client("basic", "a-secret").scope("read nothing")).await, "invalid_scope");
    assert_refused(ask(SERVER.client("not-granted", "a-secret")).await, "invalid_grant");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_token_without_anything_else_is_used() {
    let token = ask(SERVER.client("by-default", "a-secret")).await.expect("a token");
    assert_eq!((token.expires_in(), token.scope()), (None, None));
    assert_eq!(SERVER.api(&token).await["client_id"], "by-default");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn its_own_faults_are_overcome() {
    assert_two_faults_are_overcome(SERVER.client("faults", "a-secret")).await;
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
