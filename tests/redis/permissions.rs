//! The permissions that the documentation of `RedisStore` lists.

use client_credentials::store::{RedisStore, TokenStore};

use crate::{get, name, put, server::Server};

const RULES: [&str; 8] = ["+eval", "+evalsha", "+get", "+pttl", "+time", "+set", "+del", "~client-credentials:*"];

fn store(server: &Server, rules: &[&str], protocol: &str) -> RedisStore {
    server.command::<()>(&format!("ACL SETUSER tokens reset on >password -@all {}", rules.join(" ")));
    RedisStore::new(format!("redis://tokens:password@127.0.0.1:{}/?protocol={protocol}", server.port)).expect("a store")
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_documented_permissions_are_enough() {
    let server = Server::start();
    for protocol in ["resp2", "resp3"] {
        let store = store(&server, &RULES, protocol);
        assert!(put(&store, None, "a").await.expect("permitted"));
        assert_eq!(get(&store).await.expect("permitted").as_deref(), Some("a"));
        assert!(store.remove(&name(), b"a").await.expect("permitted"));
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn fewer_permissions_are_an_error_that_lists_them() {
    let server = Server::start();
    for lacking in RULES {
        let rules: Vec<_> = RULES.into_iter().filter(|rule| *rule != lacking).collect();
        let store = store(&server, &rules, "resp2");
        server.command::<()>("SCRIPT FLUSH");
        let error = put(&store, None, "a").await.expect_err(lacking).to_string();
        assert!(error.starts_with("the Redis user lacks a permission"), "{lacking}: {error}");
        assert!(error.contains(&RULES[..7].join(" ")), "{lacking}: {error}");
    }
}
