//! A write that arrives late changes nothing.

use std::time::Duration;

use client_credentials::store::{RedisStore, TokenStore};
use tokio::time::{sleep, timeout};

use crate::{LIFE, get, name, names, proxy::Proxy, put, server::Server};

const LIMIT: Duration = Duration::from_millis(250);

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_write_to_a_stopped_server_has_no_effect_when_it_continues() {
    let server = Server::start();
    let (stuck, other) =
        (RedisStore::new(server.url()).expect("a store"), RedisStore::new(server.url()).expect("a store"));
    assert!(put(&stuck, None, "a").await.expect("up"));
    let name = name();
    // The server knows the scripts.
    assert!(!stuck.remove(&name, b"b").await.expect("up"));
    server.signal("STOP");
    // Both are sent before the connection is given up.
    let (write, removal) = (stuck.put(&name, Some(b"a"), b"b", LIFE, LIMIT), stuck.remove(&name, b"a"));
    let (write, removal) = tokio::join!(timeout(LIMIT, write), timeout(LIMIT, removal));
    write.expect_err("stopped");
    removal.expect_err("stopped");
    sleep(Duration::from_secs(10)).await;
    server.signal("CONT");
    // What was sent before is done before.
    assert_eq!(get(&other).await.expect("up").as_deref(), Some("a"));
    assert_eq!(get(&stuck).await.expect("up, on another connection").as_deref(), Some("a"));
    assert!(put(&stuck, Some("a"), "b").await.expect("up"));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_write_in_a_slow_network_has_no_effect_after_its_limit() {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let store = RedisStore::new(proxy.url()).expect("a store");
    store.load(&names()).await.expect("up");
    proxy.delay(2 * LIMIT);
    assert!(!store.put(&name(), None, b"a", LIFE, LIMIT).await.expect("up"));
    proxy.delay(Duration::ZERO);
    assert_eq!(get(&store).await.expect("up"), None);
    assert!(store.put(&name(), None, b"a", LIFE, 20 * LIMIT).await.expect("up"));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_write_long_after_the_last_look_is_in_time() {
    let server = Server::start();
    let store = RedisStore::new(server.url()).expect("a store");
    assert!(put(&store, None, "a").await.expect("up"));
    sleep(Duration::from_secs(11)).await;
    assert!(store.put(&name(), Some(b"a"), b"b", LIFE, 20 * LIMIT).await.expect("up"));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn limits_and_lives_of_any_length_are_accepted() {
    let server = Server::start();
    let store = RedisStore::new(server.url()).expect("a store");
    assert!(store.put(&name(), None, b"a", Duration::MAX, Duration::MAX).await.expect("up"));
    assert!(store.put(&name(), Some(b"a"), b"", Duration::from_nanos(1), Duration::MAX).await.expect("up"));
    sleep(Duration::from_millis(20)).await;
    assert_eq!(get(&store).await.expect("up"), None);
    assert!(!store.put(&name(), None, b"a", LIFE, Duration::ZERO).await.expect("up"));
    assert_eq!(get(&store).await.expect("up"), None);
}
