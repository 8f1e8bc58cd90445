//! When connections are made, and when they end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use client_credentials::store::{RedisStore, TokenStore};
use redis::Client;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    get, names, put,
    server::{Server, wait_until},
};

/// Without the one that asks.
fn connections(server: &Server) -> usize {
    server.command::<String>("CLIENT LIST").lines().count() - 1
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn operations_at_once_share_a_connection_that_ends_with_the_store() {
    let server = Server::start();
    let store = RedisStore::new(server.url()).expect("a store");
    assert_eq!(connections(&server), 0);
    let mut loads = JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        loads.spawn(async move { store.load(&names()).await.map(|entries| entries.len()) });
    }
    for loaded in loads.join_all().await {
        assert_eq!(loaded.expect("up"), 3);
    }
    assert_eq!(connections(&server), 1);
    drop(store);
    // This runtime has one thread, which must not be blocked.
    tokio::task::spawn_blocking(move || wait_until("it is closed", || connections(&server) == 0))
        .await
        .expect("closed");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_slow_connection_is_made_although_the_operation_gives_up() {
    let server = Server::start();
    let (client, count) = (Client::open(server.url()).expect("a client"), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    let store = RedisStore::connect_with(move || {
        let client = client.clone();
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            sleep(Duration::from_millis(300)).await;
            client.get_multiplexed_async_connection().await
        }
    });
    timeout(Duration::from_millis(10), store.load(&names())).await.expect_err("slow");
    assert_eq!(get(&store).await.expect("up"), None);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_function_that_fails_panics_or_hangs_is_an_error_and_is_called_again() {
    let server = Server::start();
    let (client, count) = (Client::open(server.url()).expect("a client"), AtomicUsize::new(0));
    let store = RedisStore::connect_with(move || {
        let (client, attempt) = (client.clone(), count.fetch_add(1, Ordering::Relaxed));
        async move {
            match attempt {
                0 => return Err("no sentinel".into()),
                1 => panic!("in the function"),
                2 => sleep(Duration::from_secs(60)).await,
                _ => {}
            }
            client.get_multiplexed_async_connection().await.map_err(client_credentials::store::BoxError::from)
        }
    });
    assert_eq!(get(&store).await.expect_err("it fails").to_string(), "cannot connect to Redis: no sentinel");
    let error = get(&store).await.expect_err("it panics").to_string();
    assert!(error.starts_with("connecting to Redis panicked (for TLS, rustls needs a crypto provider"), "{error}");
    let error = get(&store).await.expect_err("it hangs").to_string();
    assert_eq!(error, "cannot connect to Redis: it took more than 2s");
    assert!(put(&store, None, "a").await.expect("up"));
}
