//! What a fleet of instances costs the authorization server, with and without a store in which they share their tokens.
//!
//! `FLEET=1000 cargo test --all-features --test it fleet -- --nocapture` prints the figures that
//! `docs/sharing-tokens.md` quotes.

use std::{
    io,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use client_credentials::{
    AccessToken, Clock, Error, TokenCache, TokenRequest, TokenSource, async_trait, testing::MemoryStore,
};
use tokio::time::{Instant, sleep};

use crate::{
    fleet::instances,
    support::source::{hours, millis, minutes, seconds},
};

const LIFETIME: Duration = Duration::from_secs(3600);

/// What happens to the fleet.
#[derive(Clone, Default)]
struct Story {
    lasts: Duration,
    has_store: bool,
    /// Tokens that the server issues in a minute.
    limit: Option<usize>,
    server_down: Range<Duration>,
    store_down: Range<Duration>,
}

struct Server {
    story: Story,
    started: Instant,
    token_requests: Vec<Duration>,
}

struct Source(Arc<Mutex<Server>>);

#[derive(Debug, Default)]
struct Figures {
    token_requests: Vec<Duration>,
    /// When the last instance got its first token.
    all_served: Duration,
    /// Instances that lost their token at some time.
    lost: usize,
}

impl Figures {
    fn busiest_minute(&self, after: Duration) -> usize {
        let requests: Vec<_> = self.token_requests.iter().filter(|at| **at >= after).collect();
        let within = |from| requests[from..].iter().take_while(|at| ***at < *requests[from] + minutes(1)).count();
        (0..requests.len()).map(within).max().unwrap_or_default()
    }

    fn within(&self, time: &Range<Duration>) -> usize {
        self.token_requests.iter().filter(|&at| time.contains(at)).count()
    }
}

#[async_trait]
impl TokenSource for Source {
    async fn token(&self, _request: &TokenRequest) -> Result<AccessToken, Error> {
        let response = self.0.lock().expect("no panic").respond();
        sleep(millis(300)).await;
        response
    }
}

impl Server {
    fn respond(&mut self) -> Result<AccessToken, Error> {
        let at = self.started.elapsed();
        self.token_requests.push(at);
        if self.story.server_down.contains(&at) {
            return Err(Error::transient(io::Error::from(io::ErrorKind::ConnectionReset)));
        }
        let minute = at.as_secs() / 60;
        let used = self.token_requests.iter().rev().take_while(|at| at.as_secs() / 60 == minute).count();
        if self.story.limit.is_some_and(|limit| used > limit) {
            return Err(Error::transient("too many").with_retry_after(seconds(60 - at.as_secs() % 60)));
        }
        Ok(AccessToken::new(format!("token-{}", self.token_requests.len()))?.with_expires_in(LIFETIME))
    }
}

/// The instances start within a second, and have traffic all the time.
async fn live(story: Story) -> Figures {
    fastrand::seed(7); // What the caches draw in this thread is the same in every run.
    let started = Instant::now();
    let store = MemoryStore::new();
    let server = Server { story: story.clone(), started, token_requests: Vec::new() };
    let server = Arc::new(Mutex::new(server));
    let mut caches = Vec::new();
    for number in 1..=instances() {
        let mut builder = TokenCache::builder(Source(Arc::clone(&server))).any_origin().clock(Clock::tokio());
        if story.has_store {
            builder = builder.namespace("fleet").shared_in_the_clear(store.clone());
        }
        caches.push((builder.keep_warm().build().expect("the settings are complete"), false));
        let _ = caches[number - 1].0.try_token();
        sleep(seconds(1).mul_f64(number as f64 / instances() as f64).saturating_sub(started.elapsed())).await;
    }
    let (mut figures, mut lost) = (Figures::default(), vec![false; caches.len()]);
    while started.elapsed() < story.lasts {
        let at = started.elapsed();
        if story.store_down.contains(&at) {
            store.fail();
        } else {
            store.restore();
        }
        for ((cache, is_served), lost) in caches.iter_mut().zip(&mut lost) {
            let has_token = cache.try_token().is_some();
            if has_token && !*is_served {
                (*is_served, figures.all_served) = (true, at);
            }
            *lost |= *is_served && !has_token;
        }
        sleep(seconds(5)).await;
    }
    assert!(caches.iter().all(|(_, is_served)| *is_served), "everybody is served in the end");
    figures.lost = lost.into_iter().filter(|lost| *lost).count();
    figures.token_requests.clone_from(&server.lock().expect("no panic").token_requests);
    figures
}

async fn without_and_with(story: Story) -> [Figures; 2] {
    [live(story.clone()).await, live(Story { has_store: true, ..story }).await]
}

#[tokio::test(start_paused = true)]
async fn a_restart_costs_one_token_request() {
    let of = instances();
    let story = Story { lasts: hours(3), limit: Some(of / 10), ..Story::default() };
    let [without, with] = without_and_with(story).await;
    for (how, figures) in [("without", &without), ("with   ", &with)] {
        println!(
            "restart of {of} against {} a minute, {how} a store: the last is served within {:.1} min; {} token \
             requests in three hours, {} in the busiest minute",
            of / 10,
            (figures.all_served + seconds(5)).as_secs_f64() / 60.0,
            figures.token_requests.len(),
            figures.busiest_minute(Duration::ZERO),
        );
    }
    assert!(without.all_served > minutes(5) && without.token_requests.len() > 4 * of);
    assert!(with.all_served <= seconds(5), "{:?}", with.all_served);
    assert!((4..=5).contains(&with.token_requests.len()), "{:?}", with.token_requests);
    assert_eq!((without.lost, with.lost), (0, 0));
}

/// A shared token has one end for all: what matters is when the outage begins.
#[tokio::test(start_paused = true)]
async fn an_outage_of_the_server_costs_few_token_requests_and_a_quarter_of_the_lifetime_is_survived() {
    let of = instances();
    let mut lost = Vec::new();
    for (length, begins) in [(10, 43), (15, 43), (30, 25), (30, 43)] {
        let down = minutes(begins)..minutes(begins + length);
        let story = Story { lasts: down.end + minutes(15), server_down: down.clone(), ..Story::default() };
        let with = live(Story { has_store: true, ..story }).await;
        println!(
            "outage of the server for {length} min, at the age of {begins} min of the shared token: {} of {of} lost, \
             {} token requests meanwhile, {} in the first minute after it",
            with.lost,
            with.within(&down),
            with.within(&(down.end..down.end + minutes(1))),
        );
        assert!(with.within(&down) <= 100, "{}", with.within(&down));
        assert!(with.within(&(down.end..down.end + minutes(5))) <= 3);
        lost.push(with.lost);
    }
    assert_eq!(lost, [0, 0, 0, of]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_is_no_herd_and_nobody_notices() {
    let of = instances();
    let down = minutes(40)..minutes(70);
    let story = Story { lasts: hours(3), has_store: true, store_down: down.clone(), ..Story::default() };
    let figures = live(story).await;
    println!(
        "outage of the store for 30 min: {} of {of} lost; {} token requests meanwhile, {} in the busiest minute, {} in \
         the two hours after it",
        figures.lost,
        figures.within(&down),
        figures.busiest_minute(down.start),
        figures.within(&(down.end..hours(3))),
    );
    assert_eq!((figures.lost, figures.within(&down)), (0, of));
    assert!(figures.busiest_minute(down.start) <= of / 5, "{}", figures.busiest_minute(down.start));
    assert!(figures.within(&(down.end..hours(3))) <= 8);
}
