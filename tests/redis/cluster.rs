//! A cluster of three primaries, each with a replica, which `scripts/test-cluster` starts.

use std::{env, process::Command, time::Duration};

use client_credentials::{
    store::{EntryName, RedisStore, TokenStore},
    testing::check_token_store,
};
use redis::{Client, FromRedisValue, cluster::ClusterClient};
use tokio::time::timeout;

use crate::{LIFE, PATIENCE, server::wait_until};

fn ports() -> Vec<u16> {
    let ports = env::var("CLUSTER_PORTS").expect("run scripts/test-cluster");
    ports.split(' ').map(|port| port.parse().expect("a port")).collect()
}

fn urls() -> Vec<String> {
    ports().into_iter().map(|port| format!("redis://127.0.0.1:{port}/")).collect()
}

/// One entry for each of some tokens, which are on all primaries.
fn names() -> Vec<EntryName> {
    (0..24).map(|number| format!("{number:08x}.token").parse().expect("a name")).collect()
}

fn try_command<T: FromRedisValue>(port: u16, words: &str) -> redis::RedisResult<T> {
    let mut connection = Client::open(format!("redis://127.0.0.1:{port}/"))?.get_connection()?;
    let mut command = redis::Cmd::new();
    words.split(' ').for_each(|word| {
        command.arg(word);
    });
    command.query(&mut connection)
}

fn command<T: FromRedisValue>(port: u16, words: &str) -> T {
    try_command(port, words).expect("a command")
}

fn with_role(role: &str) -> Vec<u16> {
    let has_role = |port: &u16| {
        try_command::<String>(*port, "INFO replication").is_ok_and(|info| info.contains(&format!("role:{role}")))
    };
    ports().into_iter().filter(has_role).collect()
}

/// Each entry is put, changed and read, by trying until it works: a failover takes a while.
async fn works(store: &RedisStore) {
    for name in names() {
        for attempt in 0.. {
            match timeout(PATIENCE, write(store, &name)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) if attempt < 50 => eprintln!("{name}: {error}"),
                outcome => panic!("{name}: {outcome:?}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn write(store: &RedisStore, name: &EntryName) -> Result<(), client_credentials::store::BoxError> {
    let old = store.load(std::slice::from_ref(name)).await?.remove(0);
    let old = old.as_ref().map(|entry| &entry.bytes[..]);
    let new = fastrand::u64(..).to_string();
    if !store.put(name, old, new.as_bytes(), LIFE, PATIENCE).await? {
        return Err("another one wrote".into());
    }
    let found = store.load(std::slice::from_ref(name)).await?.remove(0).map(|entry| entry.bytes.clone());
    if found != Some(new.into_bytes()) {
        return Err("the entry is lost".into());
    }
    Ok(())
}

async fn stores() -> Vec<RedisStore> {
    let client = ClusterClient::new(urls()).expect("a client");
    let connection = client.get_async_connection().await.expect("a connection");
    vec![RedisStore::cluster(urls()).expect("a store"), RedisStore::over(connection)]
}

#[tokio::test]
#[ignore = "run scripts/test-cluster"]
async fn cluster_fulfils_the_contract() {
    for store in stores().await {
        check_token_store(store).await.expect("the contract");
    }
    let resp3 = urls().into_iter().map(|url| format!("{url}?protocol=resp3"));
    check_token_store(RedisStore::cluster(resp3).expect("a store")).await.expect("the contract");
}

#[tokio::test]
#[ignore = "run scripts/test-cluster"]
async fn cluster_needs_no_more_than_the_documented_permissions() {
    let rules = "-@all +eval +evalsha +get +pttl +time +set +del ~client-credentials:* +cluster|slots";
    for port in ports() {
        command::<()>(port, &format!("ACL SETUSER tokens reset on >password {rules}"));
    }
    let urls = ports().into_iter().map(|port| format!("redis://tokens:password@127.0.0.1:{port}/"));
    works(&RedisStore::cluster(urls).expect("a store")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run scripts/test-cluster"]
async fn cluster_slots_that_move_are_followed() {
    let stores = stores().await;
    for store in &stores {
        works(store).await;
    }
    for name in names() {
        move_slot(&name);
        for store in &stores {
            timeout(PATIENCE, write(store, &name)).await.expect("in time").expect("the new primary");
        }
    }
}

/// To another primary, as `redis-cli --cluster reshard` does.
fn move_slot(name: &EntryName) {
    let primaries = with_role("master");
    let key = format!("client-credentials:{{{}}}.token", name.as_str().trim_end_matches(".token"));
    let slot: u16 = command(primaries[0], &format!("CLUSTER KEYSLOT {key}"));
    let is_there = |port: &&u16| try_command::<i64>(**port, &format!("EXISTS {key}")).is_ok();
    let from = *primaries.iter().find(is_there).expect("a primary");
    let to = *primaries.iter().find(|port| **port != from).expect("another one");
    let id = |port: u16| command::<String>(port, "CLUSTER MYID");
    command::<()>(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from)));
    command::<()>(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to)));
    command::<()>(from, &format!("MIGRATE 127.0.0.1 {to} {key} 0 5000"));
    for port in [to, from] {
        command::<()>(port, &format!("CLUSTER SETSLOT {slot} NODE {}", id(to)));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run scripts/test-cluster"]
async fn cluster_that_fails_over_is_used_on() {
    let stores = stores().await;
    for store in &stores {
        works(store).await;
    }
    // By hand: nothing is lost, and no operation fails.
    let replicas = with_role("slave");
    command::<()>(replicas[0], "CLUSTER FAILOVER");
    wait_until("the replica is promoted", || with_role("master").contains(&replicas[0]));
    for store in &stores {
        for name in names() {
            timeout(PATIENCE, write(store, &name)).await.expect("in time").expect("the new primary");
        }
    }
    // A primary dies. The others notice after a second.
    let dead = with_role("master")[0];
    let info: String = command(dead, "INFO server");
    let process = info.lines().find_map(|line| line.strip_prefix("process_id:")).expect("a process").trim();
    assert!(Command::new("sh").args(["-c", &format!("kill -9 {process}")]).status().expect("a shell").success());
    for store in &stores {
        works(store).await;
    }
}
