//! What happens to a server.

use client_credentials::store::{RedisStore, TokenStore};
use redis::{Client, aio::ConnectionManager};

use crate::{
    get, name, names,
    proxy::Proxy,
    put,
    server::{Server, free_port, wait_until},
};

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_store_is_built_while_the_server_is_down_and_works_once_it_is_up() {
    let port = free_port();
    let store = RedisStore::new(format!("redis://127.0.0.1:{port}/")).expect("a store");
    let error = get(&store).await.expect_err("down").to_string();
    assert!(error.starts_with(&format!("cannot connect to Redis at 127.0.0.1:{port}: Connection refused")), "{error}");
    let _server = Server::start_on(port, &[]).expect("it starts");
    assert!(put(&store, None, "a").await.expect("up"));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_restarted_server_is_used_at_once_and_is_empty() {
    let mut server = Server::start();
    for store in stores(&server.url()).await {
        assert!(put(&store, None, "a").await.expect("up"));
        server.restart();
        assert_eq!(get(&store).await.expect("up again"), None);
        assert!(put(&store, None, "b").await.expect("up again"));
        server.restart();
        assert!(put(&store, None, "c").await.expect("up again"));
        server.command::<()>("FLUSHALL");
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_is_gone_is_an_error_until_it_is_back() {
    let mut server = Server::start();
    let store = RedisStore::new(server.url()).expect("a store");
    assert!(put(&store, None, "a").await.expect("up"));
    server.kill();
    for _ in 0..3 {
        get(&store).await.expect_err("down");
    }
    server.restart();
    assert_eq!(get(&store).await.expect("up again"), None);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn an_idle_disconnection_is_not_noticed() {
    let server = Server::start_with(&["--timeout", "1"]);
    for store in stores(&server.url()).await {
        assert!(put(&store, None, "a").await.expect("up"));
        await_disconnection(&server);
        assert!(put(&store, Some("a"), "b").await.expect("a new connection"));
        await_disconnection(&server);
        assert_eq!(get(&store).await.expect("a new connection").as_deref(), Some("b"));
        server.command::<()>("FLUSHALL");
    }
}

fn await_disconnection(server: &Server) {
    // The administrator's own.
    wait_until("nobody is connected", || server.command::<String>("CLIENT LIST").lines().count() == 1);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_demoted_primary_behind_the_same_name_is_left() {
    let (demoted, promoted) = (Server::start(), Server::start());
    let proxy = Proxy::start(demoted.port).await;
    for store in stores(&proxy.url()).await {
        for operation in ["load", "put"] {
            proxy.lead_to(demoted.port);
            assert!(put(&store, None, "a").await.expect("up"), "{store:?}");
            promoted.command::<()>("SET client-credentials:{9f86d081}.token 0123456789abcdefb PX 60000");
            demoted.command::<()>(&format!("REPLICAOF 127.0.0.1 {}", promoted.port));
            proxy.lead_to(promoted.port);
            if operation == "load" {
                assert_eq!(get(&store).await.expect("the new primary").as_deref(), Some("b"), "{store:?}");
            }
            assert!(put(&store, Some("b"), "c").await.expect("the new primary"), "{store:?}");
            // For the next one.
            demoted.command::<()>("REPLICAOF NO ONE");
            demoted.command::<()>("FLUSHALL");
            promoted.command::<()>("FLUSHALL");
            demoted.command::<()>("CLIENT KILL TYPE normal");
            promoted.command::<()>("CLIENT KILL TYPE normal");
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_replica_is_an_error_for_loads_too() {
    let (replica, primary) = (Server::start(), Server::start());
    replica.command::<()>(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    let store = RedisStore::new(replica.url()).expect("a store");
    for _ in 0..2 {
        let error = get(&store).await.expect_err("a replica").to_string();
        assert!(error.starts_with("this Redis takes no writes (now): READONLY"), "{error}");
        let error = put(&store, None, "a").await.expect_err("a replica").to_string();
        assert!(error.starts_with("this Redis takes no writes (now): READONLY"), "{error}");
        assert!(!error.contains("script"), "{error}");
    }
    replica.command::<()>("REPLICAOF NO ONE");
    assert!(put(&store, None, "a").await.expect("a primary"));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_full_server_still_returns_what_it_has() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]);
    let store = RedisStore::new(server.url()).expect("a store");
    assert!(put(&store, None, "a").await.expect("up"));
    server.command::<()>("CONFIG SET maxmemory 1");
    assert_eq!(get(&store).await.expect("reads").as_deref(), Some("a"));
    let error = put(&store, Some("a"), "b").await.expect_err("full").to_string();
    assert!(error.starts_with("OOM "), "{error}");
    assert!(store.remove(&name(), b"a").await.expect("removes"));
    server.command::<()>("CONFIG SET maxmemory 0");
    assert!(put(&store, None, "b").await.expect("up again"));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn flushed_scripts_are_sent_again() {
    let server = Server::start();
    for store in stores(&server.url()).await {
        for _ in 0..2 {
            server.command::<()>("SCRIPT FLUSH");
            assert!(put(&store, None, "a").await.expect("up"));
            server.command::<()>("SCRIPT FLUSH");
            assert_eq!(get(&store).await.expect("up").as_deref(), Some("a"));
            server.command::<()>("SCRIPT FLUSH");
            assert!(store.remove(&name(), b"a").await.expect("up"));
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_wrong_password_is_said_and_not_shown() {
    let server = Server::start_with(&["--requirepass", "right"]);
    let address = format!("127.0.0.1:{}", server.port);
    for url in ["redis://:hunter2@", "redis://user:hunter2@"].map(|start| format!("{start}{address}/")) {
        for protocol in ["", "?protocol=resp3"] {
            let store = RedisStore::new(format!("{url}{protocol}")).expect("a store");
            let error = get(&store).await.expect_err("refused").to_string();
            assert!(error.starts_with(&format!("Redis at {address} refused the user or the password")), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
    let store = RedisStore::new(server.url()).expect("a store");
    let error = get(&store).await.expect_err("refused").to_string();
    assert!(error.contains("NOAUTH"), "{error}");
    let store = RedisStore::new(format!("redis://:right@{address}/")).expect("a store");
    assert_eq!(get(&store).await.expect("accepted"), None);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn entries_without_a_life_are_no_entries() {
    let server = Server::start();
    let store = RedisStore::new(server.url()).expect("a store");
    server.command::<()>("SET client-credentials:{9f86d081}.token 0123456789abcdefa");
    assert_eq!(get(&store).await.expect("up"), None);
    assert!(!store.remove(&name(), b"a").await.expect("up"));
    assert!(put(&store, None, "b").await.expect("up"));
    assert_eq!(get(&store).await.expect("up").as_deref(), Some("b"));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_write_whose_response_is_lost_is_not_taken_for_anothers() {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    for store in stores(&proxy.url()).await {
        store.load(&names()).await.expect("up");
        proxy.break_at_next_response();
        assert!(put(&store, None, "a").await.expect("up"), "{store:?}");
        // But without a loss, the same bytes are another's.
        assert!(!put(&store, None, "a").await.expect("up"), "{store:?}");
        assert!(store.remove(&name(), b"a").await.expect("up"), "{store:?}");
    }
}

/// One of each kind.
async fn stores(url: &str) -> [RedisStore; 3] {
    let client = Client::open(url).expect("a client");
    let manager = ConnectionManager::new(client.clone()).await.expect("a connection");
    let connect = move || {
        let client = client.clone();
        async move { client.get_multiplexed_async_connection().await }
    };
    [RedisStore::new(url).expect("a store"), RedisStore::over(manager), RedisStore::connect_with(connect)]
}
