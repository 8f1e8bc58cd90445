//! The steps of `docs/from-hand-written-code.md`: each is a file here, and does what the one before it does.

#[expect(unreachable_pub, reason = "on the page it is a crate of its own")]
mod before;
#[expect(unreachable_pub, reason = "on the page it is a crate of its own")]
mod header;
#[expect(unreachable_pub, reason = "on the page it is a crate of its own")]
mod middleware;

use client_credentials::testing::{AuthorizationServer, MockResponse, ProtectedApi};
use reqwest::{Client, StatusCode};

const PAGE: &str = include_str!("../../../docs/from-hand-written-code.md");

const FILES: [&str; 3] = [include_str!("before.rs"), include_str!("header.rs"), include_str!("middleware.rs")];

#[test]
fn the_page_has_the_steps_that_are_tested_here() {
    let blocks = PAGE.split("```rust\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    let steps: Vec<_> = FILES.iter().filter_map(|file| file.split_once("\n\n")).map(|(_, step)| step).collect();
    assert_eq!(blocks.collect::<Vec<_>>(), steps);
}

async fn servers() -> (AuthorizationServer, ProtectedApi) {
    let auth = AuthorizationServer::start().await;
    auth.set_client("shop", "hunter2");
    auth.allow_scope("stats");
    let api = ProtectedApi::start(&auth).await;
    api.require_scope("stats");
    (auth, api)
}

/// What one of them does with a good token, and after that is revoked.
macro_rules! works {
    ($stats:expr, $auth:ident) => {
        let stats = $stats;
        for _ in 0..2 {
            assert_eq!(stats.get("calls").await.expect("a response").status(), StatusCode::OK);
        }
        assert_eq!($auth.token_requests().len(), 1);
        $auth.revoke_all();
        assert_eq!(stats.get("calls").await.expect("a response").status(), StatusCode::OK);
        assert_eq!($auth.token_requests().len(), 2);
    };
}

#[tokio::test]
async fn each_step_shares_the_token_and_survives_its_revocation() {
    let http = Client::builder().no_proxy().build().expect("a client");
    let (auth, api) = servers().await;
    works!(before::Stats::new(http.clone(), &api.origin(), &auth.token_url(), "shop", "hunter2"), auth);
    let (auth, api) = servers().await;
    works!(header::Stats::new(http.clone(), &api.origin(), &auth.token_url(), "shop", "hunter2").expect("built"), auth);
    let (auth, api) = servers().await;
    works!(middleware::Stats::new(http, &api.origin(), &auth.token_url(), "shop", "hunter2").expect("built"), auth);
}

/// What the page says about the code that it begins with: everybody waits behind everybody's failure.
#[tokio::test]
async fn in_an_outage_only_the_old_code_sends_a_token_request_for_each_caller() {
    let http = Client::builder().no_proxy().build().expect("a client");
    let (auth, api) = servers().await;
    auth.respond_always(MockResponse::oauth_error("invalid_client"));
    let old = before::Stats::new(http.clone(), &api.origin(), &auth.token_url(), "shop", "hunter2");
    let stats = header::Stats::new(http, &api.origin(), &auth.token_url(), "shop", "hunter2").expect("built");
    for _ in 0..5 {
        old.get("calls").await.expect_err("no token");
    }
    assert_eq!(auth.token_requests().len(), 5);
    for _ in 0..5 {
        match stats.get("calls").await.expect_err("no token") {
            header::Error::Token(error) => assert!(!error.is_transient()),
            header::Error::Http(error) => panic!("sent: {error}"),
        }
    }
    assert_eq!(auth.token_requests().len(), 6);
}
