//! What it costs to share tokens in a store.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --features store --bin share` prints a table. With
//! `REDIS_URL`, it has a row for that server. Ends within a minute.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use client_credentials::{
    AccessToken, TokenCache, TokenCacheBuilder,
    store::{EncryptionKey, FileStore, RedisStore},
    testing::MemoryStore,
    token_fn,
};
use tokio::{task::JoinSet, time::sleep};

const ROUNDS: usize = 200;
const STARTS: usize = 9;
const INSTANCES: usize = 50;
/// How long a token request takes when many instances start.
const EXCHANGE: Duration = Duration::from_millis(50);

/// How an instance shares its tokens.
struct Way {
    name: &'static str,
    share: Box<dyn Fn(TokenCacheBuilder) -> TokenCacheBuilder>,
    /// How long it took to obtain and store a token, and to take a stored one.
    obtain: Vec<Duration>,
    take: Vec<Duration>,
    /// How long it took until the last of many instances had its token.
    start: Vec<Duration>,
    token_requests: usize,
}

#[tokio::main]
async fn main() {
    let folder = std::env::temp_dir().join(format!("client-credentials-share-{}", std::process::id()));
    let mut ways = ways(&folder);
    // The first round, which makes connections, folders and threads, is not counted.
    for round in 0..=ROUNDS {
        for way in &mut ways {
            let (obtain, take) = (first_token(way, round).await, first_token(way, round).await);
            if round > 0 {
                way.obtain.push(obtain);
                way.take.push(take);
            }
        }
    }
    for round in 0..STARTS {
        for way in &mut ways {
            start_at_once(way, round).await;
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
    print(&mut ways);
}

fn ways(folder: &Path) -> Vec<Way> {
    let bytes = std::array::from_fn(|index| (index as u8).wrapping_mul(37));
    let key = EncryptionKey::from_bytes(&bytes).expect("a key");
    let (memory, files) = (MemoryStore::new(), FileStore::new(folder).expect("a folder of our own"));
    let (in_the_clear, sealed) = (files.clone(), key.clone());
    let mut ways = vec![
        Way::new("none", |builder| builder),
        Way::new("memory", move |builder| builder.shared_in_the_clear(memory.clone())),
        Way::new("files, without encryption", move |builder| builder.shared_in_the_clear(in_the_clear.clone())),
        Way::new("files", move |builder| builder.shared(files.clone(), sealed.clone())),
    ];
    if let Ok(url) = std::env::var("REDIS_URL") {
        // A prefix of this run alone, so that nothing is stored yet.
        let prefix = format!("client-credentials-share-{}:", std::process::id());
        let redis = RedisStore::new(url).and_then(|store| store.key_prefix(prefix)).expect("a URL of Redis");
        ways.push(Way::new("Redis", move |builder| builder.shared(redis.clone(), key.clone())));
    }
    ways
}

impl Way {
    fn new(name: &'static str, share: impl Fn(TokenCacheBuilder) -> TokenCacheBuilder + 'static) -> Self {
        let share = Box::new(share);
        Self { name, share, obtain: Vec::new(), take: Vec::new(), start: Vec::new(), token_requests: 0 }
    }

    /// A new instance, which shares with the others of this round.
    fn instance(&self, round: &str, exchange: Duration, requests: &Arc<AtomicUsize>) -> TokenCache {
        let requests = Arc::clone(requests);
        let source = token_fn(move |_| {
            requests.fetch_add(1, Ordering::Relaxed);
            async move {
                if !exchange.is_zero() {
                    sleep(exchange).await;
                }
                Ok(AccessToken::new("t".repeat(1024))?.with_expires_in(Duration::from_secs(3600)))
            }
        });
        let builder = (self.share)(TokenCache::builder(source).any_origin());
        let builder = if self.name == "none" { builder } else { builder.namespace(round) };
        builder.build().expect("the settings are complete")
    }
}

async fn first_token(way: &Way, round: usize) -> Duration {
    let tokens = way.instance(&format!("round-{round}"), Duration::ZERO, &Arc::default());
    let came = Instant::now();
    tokens.token().await.expect("a token");
    came.elapsed()
}

async fn start_at_once(way: &mut Way, round: usize) {
    let (requests, mut instances) = (Arc::default(), JoinSet::new());
    let came = Instant::now();
    for _ in 0..INSTANCES {
        let tokens = way.instance(&format!("start-{round}"), EXCHANGE, &requests);
        instances.spawn(async move { tokens.token().await.map(drop) });
    }
    while let Some(instance) = instances.join_next().await {
        instance.expect("no panic").expect("a token");
    }
    way.start.push(came.elapsed());
    way.token_requests = way.token_requests.max(requests.load(Ordering::Relaxed));
}

fn print(ways: &mut [Way]) {
    println!(
        "| store | obtain and store, µs | × none | take a stored token, µs | × none | {INSTANCES} start at once, ms | \
         token requests |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut base = None;
    for way in ways {
        let micros = |times: &mut Vec<Duration>| median(times).as_secs_f64() * 1e6;
        let (obtain, take, start) = (micros(&mut way.obtain), micros(&mut way.take), micros(&mut way.start) / 1e3);
        let base = *base.get_or_insert(obtain);
        let (name, token_requests) = (way.name, way.token_requests);
        let (obtains, takes) = (obtain / base, take / base);
        println!("| {name} | {obtain:.0} | {obtains:.1} | {take:.0} | {takes:.1} | {start:.0} | {token_requests} |");
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
