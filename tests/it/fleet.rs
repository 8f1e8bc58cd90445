//! Why a token is renewed a quarter of its lifetime early: a fleet of instances, each with a cache of its own.
//!
//! `FLEET=1000 cargo test --test it fleet -- --nocapture` prints the figures of `docs/how-it-works.md`.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use client_credentials::{AccessToken, Clock, Error, TokenCache, TokenRequest, TokenSource, async_trait};
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use crate::support::source::{hours, minutes, seconds};

const LIFETIME: Duration = Duration::from_secs(3600);
/// How long a token is used: until the leeway before its end.
const USABLE: Duration = Duration::from_secs(3590);

/// How many instances there are: two hundred, for a test of seconds, unless the environment says otherwise.
pub(crate) fn instances() -> usize {
    std::env::var("FLEET").map_or(200, |number| number.parse().expect("FLEET is a number of instances"))
}

/// What the authorization server makes of a token request at this time, counted from the start.
type Respond = dyn FnMut(Duration) -> Result<(), Error> + Send;

struct Fleet {
    started: Instant,
    respond: Box<Respond>,
    figures: Figures,
}

#[derive(Clone, Debug, Default)]
struct Figures {
    token_requests: usize,
    by_minute: Vec<usize>,
    /// Instances that had no usable token at some time.
    lost: usize,
    /// When the last instance got its first token.
    all_served: Duration,
}

impl Figures {
    fn busiest_minute(&self) -> usize {
        self.by_minute.iter().copied().max().unwrap_or_default()
    }
}

/// The source of one instance's tokens.
struct Instance {
    fleet: Arc<Mutex<Fleet>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    usable_until: Option<Duration>,
    lost: bool,
}

#[async_trait]
impl TokenSource for Instance {
    async fn token(&self, _request: &TokenRequest) -> Result<AccessToken, Error> {
        let mut fleet = self.fleet.lock().expect("no panic");
        let mut state = self.state.lock().expect("no panic");
        let at = fleet.started.elapsed();
        let minute = at.as_secs() as usize / 60;
        fleet.figures.token_requests += 1;
        if fleet.figures.by_minute.len() <= minute {
            fleet.figures.by_minute.resize(minute + 1, 0);
        }
        fleet.figures.by_minute[minute] += 1;
        if !state.lost && state.usable_until.is_some_and(|until| at >= until) {
            state.lost = true;
            fleet.figures.lost += 1;
        }
        (fleet.respond)(at)?;
        if state.usable_until.is_none() {
            fleet.figures.all_served = at;
        }
        state.usable_until = Some(at + USABLE);
        Ok(AccessToken::new("abcde12345")?.with_expires_in(LIFETIME))
    }
}

/// The instances start at any time within `start`. Each asks as soon as it may, like one that has traffic all the time.
async fn run(
    share: f64,
    start: Duration,
    end: Duration,
    respond: impl FnMut(Duration) -> Result<(), Error> + Send + 'static,
) -> Figures {
    fastrand::seed(7); // What the caches draw in this thread is the same in every run.
    let mut random = Rng::with_seed(7);
    let started = Instant::now();
    let fleet = Fleet { started, respond: Box::new(respond), figures: Figures::default() };
    let fleet = Arc::new(Mutex::new(fleet));
    let mut starts: Vec<_> = (0..instances()).map(|_| start.mul_f64(random.f64())).collect();
    starts.sort();
    let mut caches = Vec::new();
    for at in starts {
        sleep(at.saturating_sub(started.elapsed())).await;
        let source = Instance { fleet: Arc::clone(&fleet), state: Mutex::default() };
        let cache = TokenCache::builder(source).any_origin().clock(Clock::tokio()).renewal_share(share).keep_warm();
        let cache = cache.build().expect("the settings are complete");
        let _ = cache.try_token();
        caches.push(cache);
    }
    sleep(end.saturating_sub(start)).await;
    fleet.lock().map(|fleet| fleet.figures.clone()).expect("no panic")
}

/// An outage of this length, which begins when the renewals of the fleet are spread evenly.
async fn outage(share: f64, length: Duration) -> Figures {
    let outage = LIFETIME..LIFETIME + length;
    let end = outage.end + minutes(15);
    let respond = move |at| {
        if outage.contains(&at) {
            Err(Error::transient(io::Error::from(io::ErrorKind::ConnectionReset)))
        } else {
            Ok(())
        }
    };
    run(share, LIFETIME.mul_f64(1.0 - share), end, respond).await
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_ends_within_a_quarter_of_the_lifetime_is_not_noticed() {
    let of = instances();
    println!("outage   renewed 5 min early   renewed a quarter early");
    let mut figures = Vec::new();
    for length in [10, 15, 30] {
        let (late, quarter) = (outage(1.0 / 12.0, minutes(length)).await, outage(0.25, minutes(length)).await);
        println!(
            "{length:>2} min   {:>4} of {of} lost        {:>4} of {of} lost, {} in the busiest minute",
            late.lost,
            quarter.lost,
            quarter.busiest_minute()
        );
        figures.push((late, quarter));
    }
    let [(late, quarter), (late_15, quarter_15), (late_30, quarter_30)] = &figures[..] else { unreachable!() };
    assert_eq!(quarter.lost, 0);
    assert!(late.lost > of / 20);
    assert!(quarter_15.lost <= of / 100 && late_15.lost > of / 10);
    assert!(quarter_30.lost < late_30.lost);
    // A fleet that comes back does not bring the server down again.
    assert!(figures.iter().all(|(_, quarter)| quarter.busiest_minute() <= 4 * of));
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_restarts_at_once_is_served_at_the_pace_of_the_server() {
    let of = instances();
    let a_minute = of / 10;
    let (mut minute, mut used) = (0, 0);
    let respond = move |at: Duration| {
        if at.as_secs() / 60 != minute {
            (minute, used) = (at.as_secs() / 60, 0);
        }
        used += 1;
        if used <= a_minute {
            return Ok(());
        }
        Err(Error::transient("too many").with_retry_after(seconds(60 - at.as_secs() % 60)))
    };
    let figures = run(0.25, seconds(1), hours(2), respond).await;
    println!(
        "restart of {of} against {a_minute} a minute: the last is served after {:.1} min; \
         {} in the busiest minute, {} in two hours",
        figures.all_served.as_secs_f64() / 60.0,
        figures.busiest_minute(),
        figures.token_requests
    );
    assert!(figures.all_served <= minutes(30), "{:?}", figures.all_served);
    assert_eq!(figures.lost, 0);
}
