//! Authlib decodes `%20` in Basic credentials but not `+`, and takes each client's own method only.

use std::sync::LazyLock;

use client_credentials::{AccessToken, ClientAuthentication, ClientCredentialsBuilder};

use crate::{Server, ask, assert_refused, assert_renewed_beside_the_traffic, assert_revocation_goes_unnoticed, json};

static SERVER: LazyLock<Server> =
    LazyLock::new(|| Server::start(["authlib/.venv/bin/python", "authlib/server.py"], ""));

const ODD: (&str, &str) = ("an:odd+id%20 &=", "s:e+c%20r &=/?#");

fn basic(id: &str, secret: &str) -> ClientCredentialsBuilder {
    SERVER.client(id, ClientAuthentication::client_secret_basic(secret))
}

async fn assert_active(token: &AccessToken, client_id: &str) {
    let form = [("token", token.expose_secret())];
    let said = json(SERVER.post("/introspect", ("basic", "a-secret"), &form).await).await;
    assert_eq!(said, serde_json::json!({"active": true, "client_id": client_id, "scope": "read"}));
    assert_eq!(SERVER.api(token).await["client_id"], client_id);
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn encoded_basic_and_post_are_accepted_each_from_its_client() {
    let (id, secret) = ODD;
    assert_active(&ask(basic(id, secret)).await.expect("a token"), id).await;
    assert_active(&ask(SERVER.client("post", secret)).await.expect("a token"), "post").await;
    assert_refused(ask(SERVER.client(id, secret)).await, "invalid_client");
    assert_refused(ask(basic("post", secret)).await, "invalid_client");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_wrong_secret_and_a_wrong_scope_are_refused_by_their_codes() {
    assert_refused(ask(basic("basic", "wrong")).await, "invalid_client");
    assert_refused(ask(SERVER.client("post", "wrong")).await, "invalid_client");
    assert_refused(ask(basic("basic", "a-secret").scope("nothing")).await, "invalid_scope");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn tokens_are_renewed_beside_the_traffic() {
    assert_renewed_beside_the_traffic(basic("short", "a-secret"), &SERVER.url("/api")).await;
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_revocation_goes_unnoticed() {
    let revoke = async |token: &AccessToken| {
        SERVER.post("/revoke", ("basic", "a-secret"), &[("token", token.expose_secret())]).await;
    };
    assert_revocation_goes_unnoticed(basic("basic", "a-secret"), &SERVER.url("/api"), revoke).await;
}
