//! The contract of a store, for each kind of connection and protocol.

use client_credentials::{store::RedisStore, testing::check_token_store};
use redis::{Client, aio::ConnectionManager};

use crate::server::Server;

#[tokio::test]
#[ignore = "needs redis-server"]
async fn over_resp2() {
    let server = Server::start();
    let store = RedisStore::new(server.url()).expect("a store");
    check_token_store(store).await.expect("the contract");
    assert_eq!(server.command::<i64>("DBSIZE"), 0);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn over_resp3_and_another_database_and_prefix() {
    let server = Server::start();
    let store = RedisStore::new(format!("{}3?protocol=resp3", server.url())).expect("a store");
    check_token_store(store.key_prefix("app").expect("a prefix")).await.expect("the contract");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn over_a_connection_manager() {
    let server = Server::start();
    let client = Client::open(server.url()).expect("a client");
    let manager = ConnectionManager::new(client).await.expect("a connection");
    check_token_store(RedisStore::over(manager)).await.expect("the contract");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn over_connections_of_a_function() {
    let server = Server::start();
    let client = Client::open(server.url()).expect("a client");
    let store = RedisStore::connect_with(move || {
        let client = client.clone();
        async move { client.get_multiplexed_async_connection().await }
    });
    check_token_store(store).await.expect("the contract");
}
