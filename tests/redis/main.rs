//! `RedisStore` on a real server, which each test starts for itself.
//!
//! Needs redis-server (Debian: `apt-get install redis-server`), or another program of that kind that `REDIS_SERVER`
//! names, such as valkey-server. Then: `cargo test --all-features --test redis -- --ignored`; `scripts/test` does it.
#![cfg(all(feature = "redis", feature = "tracing", unix))]

mod cluster;
mod connections;
mod contract;
mod deadlines;
mod faults;
mod fleet;
#[path = "../it/support/log.rs"]
mod log;
mod permissions;
mod proxy;
mod round_trips;
mod runtimes;
mod server;
mod settings;

use std::time::Duration;

use client_credentials::store::{BoxError, Entry, EntryName, TokenStore};

/// Of a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(10);
const LIFE: Duration = Duration::from_secs(60);

/// The entries of one token.
fn names() -> [EntryName; 3] {
    ["token", "lease", "failure"].map(|what| format!("9f86d081.{what}").parse().expect("a name"))
}

fn name() -> EntryName {
    names()[0].clone()
}

async fn put(store: &impl TokenStore, old: Option<&str>, new: &str) -> Result<bool, BoxError> {
    let name = name();
    let put = store.put(&name, old.map(str::as_bytes), new.as_bytes(), LIFE, PATIENCE);
    tokio::time::timeout(PATIENCE, put).await?
}

/// What is stored under [`name`].
async fn get(store: &impl TokenStore) -> Result<Option<String>, BoxError> {
    let entries = tokio::time::timeout(PATIENCE, store.load(&[name()])).await??;
    let text = |entry: &Entry| String::from_utf8(entry.bytes.clone()).expect("text");
    Ok(entries[0].as_ref().map(text))
}
