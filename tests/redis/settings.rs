//! What is refused when a store is built. Needs no server.

use client_credentials::{Error, ErrorKind, store::RedisStore};

fn refused(result: Result<RedisStore, Error>) -> String {
    let error = result.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    error.to_string()
}

#[test]
fn a_url_of_another_scheme_is_refused_with_those_that_fit() {
    for url in ["http://:hunter2@cache.internal/", "cache.internal:6379", "hunter2", "", "redis-cluster://hunter2@a/"] {
        let error = refused(RedisStore::new(url));
        assert!(error.starts_with("the store's URL does not begin with redis:// or rediss://"), "{error}");
        assert!(error.contains("redis://user:password@host:6379/0"), "{error}");
    }
}

#[test]
fn a_url_that_cannot_be_used_is_refused_without_its_password() {
    for (url, why) in [
        ("redis://:hunter2@cache.internal/hunter2", "Invalid database number"),
        ("redis://:hunter2@cache.internal/?protocol=hunter2", "Invalid protocol version"),
        ("redis://:hunter2@[cache/", "did not parse"),
        ("redis://", "Missing hostname"),
    ] {
        let error = refused(RedisStore::new(url));
        assert!(error.contains(why), "{url}: {error}");
    }
}

#[test]
fn tls_without_the_feature_is_refused_with_the_feature() {
    let error = refused(RedisStore::new("rediss://:hunter2@cache.internal/"));
    assert!(error.contains("asks for TLS") && error.contains("tokio-rustls-comp"), "{error}");
    let error = refused(RedisStore::cluster(["rediss://:hunter2@cache.internal/"]));
    assert!(error.contains("asks for TLS"), "{error}");
}

#[test]
fn nodes_of_a_cluster_that_differ_are_refused() {
    let nodes = ["redis://:hunter2@a/", "redis://:other@b/"];
    assert!(refused(RedisStore::cluster(nodes)).contains("different password"));
    assert!(refused(RedisStore::cluster::<&str>([])).contains("empty"));
}

#[test]
fn a_prefix_that_would_change_slots_or_patterns_is_refused() {
    for prefix in ["", "a b", "{a}", "a*"] {
        let store = RedisStore::new("redis://localhost").expect("a store");
        refused(store.key_prefix(prefix));
    }
    let store = RedisStore::new("valkey://localhost").expect("a store");
    store.key_prefix("app:tokens").expect("a prefix");
}

#[test]
fn debug_shows_the_server_and_no_password() {
    let store = RedisStore::new("redis://user:hunter2@cache.internal/").expect("a store");
    let text = format!("{store:?}");
    assert!(text.contains("cache.internal:6379") && !text.contains("hunter2"), "{text}");
}
