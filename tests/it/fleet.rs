//! A fleet of instances: what it costs the authorization server, and how many instances an outage leaves without a
//! token. Why a token is renewed a quarter of its lifetime early, and what a store changes.
//!
//! `FLEET=1000 cargo test --all-features --test it fleet -- --nocapture` prints the figures of
//! `docs/how-it-works.md` and `docs/sharing-tokens.md`.

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

use crate::support::source::{hours, millis, minutes, seconds};

const LIFETIME: Duration = Duration::from_secs(3600);
const QUARTER: f64 = 0.25;

/// How many instances there are: two hundred, for a test of seconds, unless the environment says otherwise.
fn instances() -> usize {
    std::env::var("FLEET").map_or(200, |number| number.parse().expect("FLEET is a number of instances"))
}

/// What happens to the fleet, with times from the first start.
#[derive(Clone)]
struct Story {
    /// The instances start evenly spread over this time.
    starts: Duration,
    lasts: Duration,
    renewal_share: f64,
    has_store: bool,
    /// Tokens that the server issues in a minute.
    limit: Option<usize>,
    server_down: Range<Duration>,
    store_down: Range<Duration>,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            starts: seconds(1),
            lasts: hours(3),
            renewal_share: QUARTER,
            has_store: false,
            limit: None,
            server_down: Range::default(),
            store_down: Range::default(),
        }
    }
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
    /// When the last instance had its first token.
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

/// Each instance has traffic from its start on.
async fn live(story: Story) -> Figures {
    fastrand::seed(7); // What the caches draw in this thread is the same in every run.
    let started = Instant::now();
    let store = MemoryStore::new();
    let server = Server { story: story.clone(), started, token_requests: Vec::new() };
    let server = Arc::new(Mutex::new(server));
    let mut caches = Vec::new();
    for number in 1..=instances() {
        let builder = TokenCache::builder(Source(Arc::clone(&server))).any_origin().clock(Clock::tokio());
        let mut builder = builder.renewal_share(story.renewal_share).keep_warm();
        if story.has_store {
            builder = builder.namespace("fleet").shared_in_the_clear(store.clone());
        }
        let cache = builder.build().expect("the settings are complete");
        let _ = cache.try_token();
        caches.push((cache, false));
        sleep(story.starts.mul_f64(number as f64 / instances() as f64).saturating_sub(started.elapsed())).await;
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

/// The outage begins when the renewals of the fleet are spread evenly.
#[tokio::test(start_paused = true)]
async fn an_outage_that_ends_within_a_quarter_of_the_lifetime_is_not_noticed() {
    let of = instances();
    println!("outage   renewed 5 min early   renewed a quarter early");
    let mut figures = Vec::new();
    for length in [10, 15, 30] {
        let story = |renewal_share| Story {
            starts: LIFETIME.mul_f64(1.0 - renewal_share),
            lasts: LIFETIME + minutes(length + 15),
            renewal_share,
            server_down: LIFETIME..LIFETIME + minutes(length),
            ..Story::default()
        };
        let (late, quarter) = (live(story(1.0 / 12.0)).await, live(story(QUARTER)).await);
        println!(
            "{length:>2} min   {:>4} of {of} lost        {:>4} of {of} lost, {} in the busiest minute",
            late.lost,
            quarter.lost,
            quarter.busiest_minute(Duration::ZERO)
        );
        figures.push((late, quarter));
    }
    let [(late, quarter), (late_15, quarter_15), (late_30, quarter_30)] = &figures[..] else { unreachable!() };
    assert_eq!(quarter.lost, 0);
    assert!(late.lost > of / 20);
    assert!(quarter_15.lost <= of / 100 && late_15.lost > of / 10);
    assert!(quarter_30.lost < late_30.lost);
    // A fleet that comes back does not bring the server down again.
    assert!(figures.iter().all(|(_, quarter)| quarter.busiest_minute(Duration::ZERO) <= 4 * of));
}

/// Without a store, a fleet is served at the pace of the server.
#[tokio::test(start_paused = true)]
async fn with_a_store_a_restart_costs_one_token_request() {
    let of = instances();
    let story = Story { limit: Some(of / 10), ..Story::default() };
    let (without, with) = (live(story.clone()).await, live(Story { has_store: true, ..story }).await);
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
    assert!((minutes(5)..minutes(30)).contains(&without.all_served), "{:?}", without.all_served);
    assert!(without.token_requests.len() > 4 * of);
    assert!(with.all_served <= seconds(5), "{:?}", with.all_served);
    assert!((4..=5).contains(&with.token_requests.len()), "{:?}", with.token_requests);
    assert_eq!((without.lost, with.lost), (0, 0));
}

/// A shared token has one end for all: what matters is when the outage begins.
#[tokio::test(start_paused = true)]
async fn with_a_store_an_outage_costs_few_token_requests_and_a_quarter_of_the_lifetime_is_survived() {
    let of = instances();
    let mut lost = Vec::new();
    for (length, begins) in [(10, 43), (15, 43), (30, 25), (30, 43)] {
        let down = minutes(begins)..minutes(begins + length);
        let lasts = down.end + minutes(15);
        let story = Story { lasts, has_store: true, server_down: down.clone(), ..Story::default() };
        let figures = live(story).await;
        println!(
            "outage of the server for {length} min, at the age of {begins} min of the shared token: {} of {of} lost, \
             {} token requests meanwhile, {} in the first minute after it",
            figures.lost,
            figures.within(&down),
            figures.within(&(down.end..down.end + minutes(1))),
        );
        assert!(figures.within(&down) <= 100, "{}", figures.within(&down));
        assert!(figures.within(&(down.end..down.end + minutes(5))) <= 3);
        lost.push(figures.lost);
    }
    assert_eq!(lost, [0, 0, 0, of]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_is_no_herd_and_nobody_notices() {
    let of = instances();
    let down = minutes(40)..minutes(70);
    let story = Story { has_store: true, store_down: down.clone(), ..Story::default() };
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
