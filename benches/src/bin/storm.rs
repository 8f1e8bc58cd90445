//! Herds of callers against an authorization server on a real socket, in an outage and at renewals.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin storm` prints a table and fails if somebody was left unserved or if the
//! server was asked more often than it had to be. Ends within four minutes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use client_credentials::{AccessToken, ClientCredentials, Error, TokenCache};
use http::{Response, StatusCode};
use support::Server;
use tokio::{task::JoinSet, time::sleep};

#[path = "../../../tests/support/servers.rs"]
mod support;

const CALLERS: usize = 10_000;
const EXCHANGE: Duration = Duration::from_millis(50);
/// Of one exchange: a herd that meets a server which hangs is to end in this time.
const TIMEOUT: Duration = Duration::from_secs(3);
const RENEWALS: usize = 30;

/// What the server does with its n-th token request, counted from 1.
#[derive(Clone, Copy)]
enum Answer {
    Token { seconds: u64 },
    Status(u16, &'static str),
    Hang,
}

fn main() {
    // The server has a thread of its own, as it would have a machine of its own.
    let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let callers = tokio::runtime::Runtime::new().expect("a runtime");
    println!("{:<44} {:>8} {:>8} {:>15} {:>15}", "", "served", "errors", "token requests", "slowest caller");
    let mut wrong = Vec::new();
    for storm in storms() {
        let (endpoint, tokens) = server.block_on(endpoint(storm.answer));
        let figures = callers.block_on((storm.run)(tokens));
        let asked = endpoint.count();
        println!(
            "{:<44} {:>8} {:>8} {:>15} {:>12.1} ms",
            storm.name,
            figures.served,
            figures.errors,
            asked,
            figures.slowest.as_secs_f64() * 1000.0
        );
        let all_or_none = if storm.fails { figures.served } else { figures.errors };
        if all_or_none != 0 || asked > storm.most {
            wrong.push(storm.name);
        }
    }
    assert!(wrong.is_empty(), "not as it should be: {wrong:?}");
}

struct Storm {
    name: &'static str,
    answer: fn(usize) -> Answer,
    run: fn(TokenCache) -> std::pin::Pin<Box<dyn Future<Output = Figures>>>,
    /// Whether everybody is to fail, or nobody.
    fails: bool,
    /// Token requests.
    most: usize,
}

fn storms() -> Vec<Storm> {
    const HOUR: Answer = Answer::Token { seconds: 3600 };
    const BRIEF: Answer = Answer::Token { seconds: 2 };
    vec![
        Storm { name: "cold", answer: |_| HOUR, run: |tokens| Box::pin(herd(tokens, false)), fails: false, most: 1 },
        Storm {
            name: "first caller dropped",
            answer: |_| HOUR,
            run: |tokens| Box::pin(herd(tokens, true)),
            fails: false,
            most: 1,
        },
        Storm {
            name: "first answer 500",
            answer: |number| if number == 1 { Answer::Status(500, "") } else { HOUR },
            run: |tokens| Box::pin(herd(tokens, false)),
            fails: false,
            most: 2,
        },
        Storm {
            name: "every answer 401",
            answer: |_| Answer::Status(401, r#"{"error":"invalid_client"}"#),
            run: |tokens| Box::pin(herd(tokens, false)),
            fails: true,
            most: 1,
        },
        Storm {
            name: "the server hangs (time limit 3 s)",
            answer: |_| Answer::Hang,
            run: |tokens| Box::pin(herd(tokens, false)),
            fails: true,
            most: 1,
        },
        Storm {
            name: "2 000 requests/s through 30 renewals",
            answer: |_| BRIEF,
            run: |tokens| Box::pin(steady(tokens)),
            fails: false,
            most: RENEWALS + 5,
        },
        Storm {
            name: "the same, every third token request fails",
            answer: |number| if number % 3 == 2 { Answer::Status(503, "") } else { BRIEF },
            run: |tokens| Box::pin(steady(tokens)),
            fails: false,
            most: 2 * RENEWALS,
        },
    ]
}

async fn endpoint(answer: fn(usize) -> Answer) -> (Server, TokenCache) {
    let count = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |_request| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            sleep(EXCHANGE).await;
            match answer(number) {
                Answer::Token { seconds } => support::json(&format!(
                    r#"{{"access_token":"token-{number}","expires_in":{seconds},"token_type":"Bearer"}}"#
                )),
                Answer::Status(status, body) => {
                    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
                    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                    response
                }
                Answer::Hang => std::future::pending().await,
            }
        }
    })
    .await;
    let source = ClientCredentials::builder(format!("{}/token", server.origin()), "abcde", "12345")
        .any_origin()
        .timeout(TIMEOUT)
        .build()
        .expect("the settings are complete");
    (server, TokenCache::from(source))
}

#[derive(Default)]
struct Figures {
    served: usize,
    errors: usize,
    slowest: Duration,
}

impl Figures {
    fn count(&mut self, outcome: &Result<AccessToken, Error>, waited: Duration) {
        match outcome {
            Ok(_) => self.served += 1,
            Err(_) => self.errors += 1,
        }
        self.slowest = self.slowest.max(waited);
    }
}

async fn herd(tokens: TokenCache, first_goes_away: bool) -> Figures {
    let call = |tokens: TokenCache| async move {
        let came = Instant::now();
        let outcome = tokens.token().await;
        (outcome, came.elapsed())
    };
    if first_goes_away {
        let first = tokio::spawn(call(tokens.clone()));
        sleep(Duration::from_millis(10)).await;
        first.abort();
    }
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call(tokens.clone()));
    }
    let mut figures = Figures::default();
    while let Some(caller) = callers.join_next().await {
        let (outcome, waited) = caller.expect("no panic");
        figures.count(&outcome, waited);
    }
    figures
}

/// Ten callers every 5 ms, each of which takes the time from when it runs to when it has its token, until so many tokens have been
/// seen. The first token is not counted: everybody has to wait for that one.
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
            figures.count(&outcome, waited);
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
