//! oauth2-mock-server accepts every client and every scope, unless a listener of its events says otherwise. Its tokens
//! are JWTs.

use std::sync::LazyLock;

use client_credentials::{ClientAuthentication, ClientCredentials, ClientCredentialsBuilder};

use crate::{Server, ask, assert_refused, assert_renewed_beside_the_traffic, assert_two_faults_are_overcome};

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start(["node", "oauth2-mock-server/server.mjs"], ""));

fn discovered(id: &str, authentication: impl Into<ClientAuthentication>) -> ClientCredentialsBuilder {
    ClientCredentials::discover(SERVER.origin(), id, authentication).origin(SERVER.origin())
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn basic_and_post_are_accepted_with_its_issuer_and_with_its_token_url() {
    for authentication in
        [ClientAuthentication::client_secret_basic("a-secret"), ClientAuthentication::client_secret_post("a-secret")]
    {
        for client in [discovered("id", authentication.clone()), SERVER.client("id", authentication)] {
            let token = ask(client.scope("read write")).await.expect("a token");
            assert_eq!(SERVER.api(&token).await["iss"], SERVER.origin());
            assert_eq!(SERVER.api(&token).await["scope"], "read write");
        }
    }
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn every_scope_is_granted() {
    let token = ask(discovered("id", "a-secret").scope("nothing")).await.expect("a token");
    assert_eq!(token.scope(), Some("nothing"));
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn an_audience_is_a_parameter_with_another_name() {
    let token = ask(discovered("id", "a-secret").parameter("aud", "https://api.example.com")).await.expect("a token");
    assert_eq!(SERVER.api(&token).await["aud"], "https://api.example.com");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_client_that_a_listener_refuses_is_refused_by_its_code() {
    assert_refused(ask(discovered("unknown", "a-secret")).await, "invalid_client");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn faults_of_a_listener_are_overcome() {
    assert_two_faults_are_overcome(SERVER.client("faults", "a-secret")).await;
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn tokens_are_renewed_beside_the_traffic() {
    assert_renewed_beside_the_traffic(SERVER.client("short", "a-secret"), &SERVER.url("/api")).await;
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn without_expires_in_the_lifetime_is_that_of_the_jwt() {
    assert_eq!(ask(SERVER.client("short-by-exp", "a-secret")).await.expect("a token").expires_in(), None);
    assert_renewed_beside_the_traffic(SERVER.client("short-by-exp", "a-secret"), &SERVER.url("/api")).await;
}
