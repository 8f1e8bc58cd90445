//! Herds of callers against an authorization server on a real socket, in an outage and at renewals.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --features reqwest --bin storm` prints a table and fails if,
//! with this crate, a caller was left unserved or the server got more token requests than necessary. With the feature
//! `peers`, others meet the same herds. Ends within five minutes.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use benches::endpoint::{Endpoint, Outcome};
use client_credentials::{ClientCredentials, TokenCache};
use tokio::{
    runtime::Runtime,
    task::JoinSet,
    time::{sleep, timeout_at},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Waiting = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
/// Waits for a token.
type Tokens = Box<dyn Fn() -> Waiting>;
/// A source of tokens for an endpoint, by name.
type Source = (&'static str, fn(String) -> Tokens);

const OURS: &str = "client-credentials";
const CALLERS: usize = 10_000;
const EXCHANGE: Duration = Duration::from_millis(50);
/// The limit of one exchange, and so of a herd whose server hangs.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Callers that still wait then are unserved.
const PATIENCE: Duration = Duration::from_secs(15);
const RENEWALS: usize = 30;

fn main() {
    println!("| {:<40} | {:<21} | served | errors | unserved | token requests | slowest caller |", "herd", "");
    println!("| {:-<40} | {:-<21} | -----: | -----: | -------: | -------------: | -------------: |", "", "");
    let mut wrong = Vec::new();
    for herd in herds() {
        let figures = run(herd.outcome, |url| meet(ours(url), herd.first_goes_away));
        figures.print(herd.name, OURS);
        let all_or_none = if herd.fails { figures.served } else { figures.errors };
        if all_or_none + figures.unserved != 0 || figures.token_requests > herd.most {
            wrong.push(herd.name);
        }
        for (name, start) in peers().into_iter().filter(|_| herd.peers) {
            run(herd.outcome, |url| meet(start(url), herd.first_goes_away)).print(herd.name, name);
        }
    }
    for (name, outcome, most) in [
        ("2 000 requests/s through 30 renewals", (|number| token(number, 2)) as fn(usize) -> Outcome, RENEWALS + 5),
        (
            "the same, every third token request fails",
            |number| if number % 3 == 2 { Outcome::Status(503, "") } else { token(number, 2) },
            2 * RENEWALS,
        ),
    ] {
        let figures = run(outcome, |url| steady(cache(&url)));
        figures.print(name, OURS);
        if figures.errors != 0 || figures.token_requests > most {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "not as it should be: {wrong:?}");
}

struct Herd {
    name: &'static str,
    outcome: fn(usize) -> Outcome,
    first_goes_away: bool,
    /// Whether every caller must fail, or none.
    fails: bool,
    /// The most token requests.
    most: usize,
    /// Whether the peers are measured, too.
    peers: bool,
}

fn herds() -> Vec<Herd> {
    let cold = Herd {
        name: "cold",
        outcome: |number| token(number, 3600),
        first_goes_away: false,
        fails: false,
        most: 1,
        peers: true,
    };
    vec![
        Herd { ..cold },
        Herd { name: "first caller dropped", first_goes_away: true, ..cold },
        Herd {
            name: "first outcome 500",
            outcome: |number| if number == 1 { Outcome::Status(500, "") } else { token(number, 3600) },
            most: 2,
            ..cold
        },
        Herd {
            name: "every outcome 401",
            outcome: |_| Outcome::Status(401, r#"{"error":"invalid_client"}"#),
            fails: true,
            ..cold
        },
        Herd {
            name: "the server hangs (time limit 3 s)",
            outcome: |_| Outcome::Hang,
            fails: true,
            peers: false,
            ..cold
        },
    ]
}

fn token(number: usize, seconds: u64) -> Outcome {
    Outcome::Token { token: format!("token-{number}"), seconds }
}

fn ours(url: String) -> Tokens {
    let tokens = cache(&url);
    Box::new(move || {
        let tokens = tokens.clone();
        Box::pin(async move { Ok(tokens.token().await.map(drop)?) })
    })
}

fn cache(url: &str) -> TokenCache {
    let source = ClientCredentials::builder(url, "abcde", "12345").any_origin().timeout(TIMEOUT).build();
    TokenCache::from(source.expect("the settings are complete"))
}

#[cfg(feature = "peers")]
fn peers() -> Vec<Source> {
    benches::peers::COLD.iter().map(|peer| (peer.name, peer.start)).collect()
}

#[cfg(not(feature = "peers"))]
fn peers() -> Vec<Source> {
    Vec::new()
}

#[derive(Default)]
struct Figures {
    served: usize,
    errors: usize,
    unserved: usize,
    token_requests: usize,
    slowest: Duration,
}

impl Figures {
    fn count(&mut self, served: bool, waited: Duration) {
        *(if served { &mut self.served } else { &mut self.errors }) += 1;
        self.slowest = self.slowest.max(waited);
    }

    fn print(&self, herd: &str, name: &str) {
        let Self { served, errors, unserved, token_requests, slowest } = self;
        let slowest = format!("{:.1} ms", slowest.as_secs_f64() * 1000.0);
        println!(
            "| {herd:<40} | {name:<21} | {served:>6} | {errors:>6} | {unserved:>8} | {token_requests:>14} | {slowest:>14} |"
        );
    }
}

/// Each has a runtime of its own, so that it leaves nothing behind for the next one.
fn run<F: Future<Output = Figures>>(outcome: fn(usize) -> Outcome, run: impl FnOnce(String) -> F) -> Figures {
    let endpoint = Endpoint::start(EXCHANGE, outcome);
    let callers = Runtime::new().expect("a runtime");
    let figures = callers.block_on(async { run(endpoint.url()).await });
    let figures = Figures { token_requests: endpoint.count(), ..figures };
    callers.shutdown_background();
    figures
}

async fn meet(tokens: Tokens, first_goes_away: bool) -> Figures {
    let call = |waiting: Waiting| async move {
        let came = Instant::now();
        (waiting.await.is_ok(), came.elapsed())
    };
    if first_goes_away {
        let first = tokio::spawn(call(tokens()));
        sleep(Duration::from_millis(10)).await;
        first.abort();
    }
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call(tokens()));
    }
    let mut figures = Figures::default();
    let end = tokio::time::Instant::now() + PATIENCE;
    while let Ok(Some(caller)) = timeout_at(end, callers.join_next()).await {
        let (served, waited) = caller.expect("no panic");
        figures.count(served, waited);
    }
    figures.unserved = callers.len();
    if figures.unserved > 0 {
        figures.slowest = PATIENCE;
    }
    figures
}

/// Ten callers every 5 ms, until `RENEWALS` tokens were seen. Each measures how long it waits for its token. The first
/// token is not counted: every caller has to wait for it.
async fn steady(tokens: TokenCache) -> Figures {
    let mut current = tokens.token().await.expect("a first token");
    let (mut seen, mut figures, mut callers) = (0, Figures::default(), JoinSet::new());
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let end = Instant::now() + 3 * Duration::from_secs(2) * RENEWALS as u32;
    while seen < RENEWALS && Instant::now() < end {
        ticks.tick().await;
        for _ in 0..10 {
            let tokens = tokens.clone();
            callers.spawn(async move {
                let came = Instant::now();
                let outcome = tokens.token().await;
                (outcome, came.elapsed())
            });
        }
        while let Some(caller) = callers.join_next().await {
            let (outcome, waited) = caller.expect("no panic");
            figures.count(outcome.is_ok(), waited);
            if let Ok(token) = outcome
                && token.expose_secret() != current.expose_secret()
            {
                current = token;
                seen += 1;
            }
        }
    }
    figures
}
