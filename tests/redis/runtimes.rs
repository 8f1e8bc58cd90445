//! A store in several tokio runtimes.

use client_credentials::store::{RedisStore, TokenStore};
use redis::{AsyncConnectionConfig, Client};
use tokio::runtime::{Builder, Runtime};

use crate::{get, name, put, server::Server};

/// Nothing in it runs while nobody blocks on it.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
#[ignore = "needs redis-server"]
fn the_next_runtime_makes_its_own_connection_after_one_that_ended() {
    let server = Server::start();
    let store = RedisStore::new(server.url()).expect("a store");
    for (old, new) in [(None, "a"), (Some("a"), "b"), (Some("b"), "c")] {
        assert!(runtime().block_on(put(&store, old, new)).expect("up"));
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_runtime_that_stands_still_holds_up_no_other() {
    let server = Server::start();
    let client = Client::open(server.url()).expect("a client");
    // Without a time-out of its own.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let store = RedisStore::connect_with(move || {
        let (client, config) = (client.clone(), config.clone());
        async move { client.get_multiplexed_async_connection_with_config(&config).await }
    });
    let (still, other) = (runtime(), runtime());
    assert!(still.block_on(put(&store, None, "a")).expect("up"));
    assert!(other.block_on(put(&store, Some("a"), "b")).expect("up"));
    assert_eq!(still.block_on(get(&store)).expect("up").as_deref(), Some("b"));
    drop(other);
    assert!(still.block_on(store.remove(&name(), b"b")).expect("up"));
}
