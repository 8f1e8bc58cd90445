//! Several instances with traffic, on tokens that live for two seconds, while something happens to the server.

use std::{
    collections::BTreeSet,
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use client_credentials::{
    ClientCredentials, ObtainedFrom, TokenCache,
    store::{EncryptionKey, RedisStore},
    testing::AuthorizationServer,
};
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::sleep,
};
use tracing::Level;

use crate::{log::Log, round_trips::Monitor, server::Server};

const LIFETIME: Duration = Duration::from_secs(2);
const CLIENT: &str = "the-clients-id";
const SECRET: &str = "s3cr3t-of-the-client";

struct Fleet {
    auth: AuthorizationServer,
    instances: Vec<TokenCache>,
    traffic: JoinSet<()>,
    /// Of all requests, and of those without a token.
    sent: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

impl Fleet {
    /// With a connection of its own for each instance.
    fn of(count: usize, url: &str) -> Self {
        let auth = AuthorizationServer::in_memory();
        auth.set_client(CLIENT, SECRET);
        auth.set_lifetime(LIFETIME);
        let instances = (0..count).map(|_| instance(&auth, RedisStore::new(url).expect("a store"))).collect();
        Self { auth, instances, traffic: JoinSet::new(), sent: Arc::default(), lost: Arc::default() }
    }

    fn start_traffic(&mut self) {
        for tokens in self.instances.clone() {
            let (sent, lost) = (Arc::clone(&self.sent), Arc::clone(&self.lost));
            self.traffic.spawn(async move {
                loop {
                    sent.fetch_add(1, Ordering::Relaxed);
                    if let Err(error) = tokens.token().await {
                        eprintln!("{error}");
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                    sleep(Duration::from_millis(10)).await;
                }
            });
        }
    }

    /// Each time that all instances have the same token, `is_enough` is asked.
    async fn shares_until(&self, what: &str, mut is_enough: impl FnMut() -> bool) {
        let began = Instant::now();
        while !(self.shares().await && is_enough()) {
            assert!(began.elapsed() < Duration::from_secs(45), "{what}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn shares(&self) -> bool {
        let mut tokens = Vec::new();
        for instance in &self.instances {
            tokens.extend(instance.token().await.map(|token| token.expose_secret().to_owned()));
        }
        tokens.len() == self.instances.len() && tokens.windows(2).all(|pair| pair[0] == pair[1])
    }
}

fn instance(auth: &AuthorizationServer, store: RedisStore) -> TokenCache {
    let source = ClientCredentials::builder(auth.token_url(), CLIENT, SECRET).http_client(auth.clone());
    let key = EncryptionKey::from_bytes(b"0123456789abcdefghijklmnopqrstuv").expect("a key");
    TokenCache::builder(source.any_origin().build().expect("complete")).shared(store, key).build().expect("complete")
}

/// Runs a fleet while `fault` happens for `long` and then `repair`. No request is lost, and who says that the store is
/// down says that it is back.
async fn survives(fault: &'static str, long: Duration, repair: &'static str) {
    let server = Arc::new(Mutex::new(Server::start_with(&["--maxmemory-policy", "noeviction"])));
    let url = server.lock().expect("no panic").url();
    let mut fleet = Fleet::of(4, &url);
    let (log, _guard) = Log::start();
    let happens = |what: &'static str| {
        let server = Arc::clone(&server);
        // This runtime has one thread, as the log has.
        async move { spawn_blocking(move || happen(&mut server.lock().expect("no panic"), what)).await.expect(what) }
    };
    fleet.start_traffic();
    fleet.shares_until("at first, all instances have the same token", || true).await;
    let count = |lines: &[String], what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
    let (down, back) = ("the token store is down", "the token store is back");
    log.drain();
    happens(fault).await;
    sleep(long).await;
    let mut lines = log.take(Level::INFO);
    if !long.is_zero() {
        assert!(count(&lines, down) <= fleet.instances.len() && count(&lines, back) == 0, "{lines:#?}");
    }
    happens(repair).await;

    fleet
        .shares_until("the store is back, and all instances have the same token", || {
            lines.extend(log.take(Level::INFO));
            // Whoever had no reason to use it meanwhile says nothing.
            count(&lines, down) == count(&lines, back) && (long.is_zero() || count(&lines, down) > 0)
        })
        .await;
    assert_eq!(fleet.lost.load(Ordering::Relaxed), 0, "of {}", fleet.sent.load(Ordering::Relaxed));
    assert!(!lines.iter().any(|line| line.contains("renewal failed")), "{lines:#?}");
}

fn happen(server: &mut Server, what: &str) {
    match what {
        "kill" => server.kill(),
        "restart" => server.restart(),
        "STOP" | "CONT" => server.signal(what),
        command => drop(server.command::<redis::Value>(command)),
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_is_killed_and_restarted_empty_loses_no_request() {
    survives("kill", Duration::from_secs(4), "restart").await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_is_restarted_at_once_loses_no_request() {
    survives("restart", Duration::ZERO, "PING").await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_stands_still_loses_no_request() {
    survives("STOP", Duration::from_secs(10), "CONT").await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_full_server_loses_no_request() {
    survives("CONFIG SET maxmemory 1", Duration::from_secs(15), "CONFIG SET maxmemory 0").await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_is_demoted_for_a_while_loses_no_request() {
    survives("REPLICAOF 127.0.0.1 1", Duration::from_secs(4), "REPLICAOF NO ONE").await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn permissions_that_are_withdrawn_lose_no_request() {
    survives("ACL SETUSER default -eval -evalsha", Duration::from_secs(4), "ACL SETUSER default +@all").await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn flushed_scripts_and_killed_connections_are_not_noticed() {
    survives("SCRIPT FLUSH", Duration::ZERO, "CLIENT KILL TYPE normal").await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn an_instance_that_connects_slowly_shares_from_its_first_request_on() {
    let server = Server::start();
    let fleet = Fleet::of(1, &server.url());
    fleet.auth.set_lifetime(Duration::from_secs(3600));
    fleet.instances[0].token().await.expect("a token");
    let client = redis::Client::open(server.url()).expect("a client");
    let slow = RedisStore::connect_with(move || {
        let client = client.clone();
        async move {
            // Longer than an operation may take that a caller waits for.
            sleep(Duration::from_millis(700)).await;
            client.get_multiplexed_async_connection().await
        }
    });
    let tokens = instance(&fleet.auth, slow);
    tokens.token().await.expect("a token");
    assert_eq!(tokens.status().obtained_from(), Some(ObtainedFrom::Store));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn nothing_is_in_the_clear_and_a_cached_token_costs_nothing() {
    // scripts/test-cluster takes the time for more.
    let lifetimes = env::var("LIFETIMES").map_or(8, |number| number.parse().expect("a number"));
    let server = Server::start();
    let mut fleet = Fleet::of(3, &server.url());
    let mut monitor = Monitor::start(&server);
    fleet.start_traffic();
    let (mut tokens, began) = (BTreeSet::new(), Instant::now());
    while began.elapsed() < LIFETIME * lifetimes {
        tokens.insert(fleet.instances[0].token().await.expect("a token").expose_secret().to_owned());
        sleep(LIFETIME / 8).await;
    }
    fleet.traffic.shutdown().await;
    let commands = monitor.commands(&server);
    let (seen, sent) = (commands.len(), fleet.sent.load(Ordering::Relaxed));
    let requests = fleet.auth.token_requests().len();
    assert!(requests > 1 && seen > requests, "{seen} commands for {requests} tokens");

    let commands = commands.join("\n");
    for secret in tokens.iter().map(String::as_str).chain([CLIENT, SECRET]) {
        assert!(!commands.contains(secret), "{secret} is in the clear");
    }
    assert!(!commands.contains("access_token") && !commands.contains("Bearer"));

    fleet.auth.set_lifetime(Duration::from_secs(3600));
    sleep(LIFETIME).await;
    for tokens in &fleet.instances {
        tokens.token().await.expect("a token");
    }
    monitor.commands(&server);
    for tokens in &fleet.instances {
        for _ in 0..1000 {
            tokens.token().await.expect("a token");
        }
    }
    let commands = monitor.commands(&server);
    assert!(commands.is_empty(), "{commands:#?}");
    assert_eq!(fleet.lost.load(Ordering::Relaxed), 0, "of {sent}");
}
