//! The numbers of [`renewal`](super::renewal) and [`backoff`](super::backoff), driven for a fleet of a thousand instances: why they are what they are.
//!
//! `cargo test --lib fleet -- --nocapture` prints the figures that the documentation of `TokenCache` quotes.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use fastrand::Rng;

use super::{
    backoff::{Failed, quick_retry},
    renewal::{Life, Settings},
};
use crate::{
    error::{Error, ErrorKind},
    token::AccessToken,
};

const INSTANCES: usize = 1000;
const HOUR: Duration = Duration::from_secs(3600);

/// What an authorization server answers at a point in time: whether it issues a token, and otherwise what it asks to wait for.
trait Server {
    fn answer(&mut self, at: Duration) -> Result<(), Error>;
}

struct Outage {
    begins: Duration,
    ends: Duration,
}

impl Server for Outage {
    fn answer(&mut self, at: Duration) -> Result<(), Error> {
        if (self.begins..self.ends).contains(&at) { Err(status(503)) } else { Ok(()) }
    }
}

/// So many token requests a minute; beyond that, 429 until the minute is over.
struct Limit {
    a_minute: usize,
    minute: u64,
    used: usize,
}

impl Server for Limit {
    fn answer(&mut self, at: Duration) -> Result<(), Error> {
        let minute = at.as_secs() / 60;
        if minute != self.minute {
            (self.minute, self.used) = (minute, 0);
        }
        self.used += 1;
        if self.used <= self.a_minute {
            return Ok(());
        }
        Err(status(429).with_retry_after(Duration::from_secs(60 - at.as_secs() % 60)))
    }
}

fn status(status: u16) -> Error {
    Error::new(ErrorKind::Status, "").with_status(status.try_into().expect("a status"))
}

#[derive(Clone)]
struct Instance {
    jitter: f64,
    failures: u32,
    quick: usize,
    waited: Duration,
    expires_at: Duration,
}

#[derive(Debug, Default)]
struct Figures {
    token_requests: usize,
    busiest_minute: usize,
    /// Instances that had no usable token at some time.
    lost: usize,
    /// When the last instance got its first token.
    all_served: Duration,
}

/// Every instance has traffic all the time, so that it asks as soon as it may. They begin at any time within as long as `begin` says, of a
/// token's life.
fn run(settings: &Settings, server: &mut dyn Server, begin: impl Fn(Life) -> Duration, end: Duration) -> Figures {
    let mut random = Rng::with_seed(7);
    let mut figures = Figures::default();
    let mut instances =
        vec![
            Instance { jitter: 0.0, failures: 0, quick: 0, waited: Duration::ZERO, expires_at: Duration::ZERO };
            INSTANCES
        ];
    let mut lost = vec![false; INSTANCES];
    let mut minutes = vec![0; end.as_secs() as usize / 60 + 1];
    let mut due = BinaryHeap::new();
    for (index, instance) in instances.iter_mut().enumerate() {
        instance.jitter = random.f64();
        let within = begin(life(settings, instance.jitter));
        due.push(Reverse((within.mul_f64(random.f64()), index)));
    }
    while let Some(Reverse((at, index))) = due.pop() {
        if at >= end {
            continue;
        }
        figures.token_requests += 1;
        minutes[at.as_secs() as usize / 60] += 1;
        let instance = &mut instances[index];
        let cold = instance.expires_at.is_zero();
        lost[index] |= !cold && at >= instance.expires_at;
        let wait = match server.answer(at) {
            Ok(()) => {
                if cold {
                    figures.all_served = figures.all_served.max(at);
                }
                let life = life(settings, instance.jitter);
                (instance.failures, instance.quick, instance.waited) = (0, 0, Duration::ZERO);
                instance.expires_at = at + life.expires_after;
                life.renew_after
            }
            Err(error) => {
                instance.quick += 1;
                let quick = if instance.failures == 0 {
                    quick_retry(&error, instance.quick, instance.waited, random.f64())
                } else {
                    None
                };
                instance.waited += quick.unwrap_or_default();
                quick.unwrap_or_else(|| {
                    instance.failures += 1;
                    let remaining = instance.expires_at.saturating_sub(at);
                    let failed = Failed { error: &error, in_a_row: instance.failures, took: Duration::ZERO, remaining };
                    failed.hold_back(random.f64())
                })
            }
        };
        due.push(Reverse((at + wait, index)));
    }
    figures.lost = lost.iter().filter(|lost| **lost).count();
    figures.busiest_minute = minutes.into_iter().max().unwrap_or_default();
    figures
}

fn life(settings: &Settings, jitter: f64) -> Life {
    let token = AccessToken::new("abcde12345").expect("a token").with_expires_in(HOUR);
    Life::new(&token, settings, jitter)
}

fn outage(share: f64, length: Duration) -> Figures {
    let settings = Settings { share, ..Settings::default() };
    let mut server = Outage { begins: 3 * HOUR, ends: 3 * HOUR + length };
    run(&settings, &mut server, |life| life.renew_after, 6 * HOUR)
}

#[test]
fn an_outage_that_ends_within_a_quarter_of_the_lifetime_is_not_noticed() {
    println!("outage   renewed 5 min early   renewed a quarter early");
    let mut figures = Vec::new();
    for minutes in [10, 15, 30] {
        let length = Duration::from_secs(60 * minutes);
        let (late, quarter) = (outage(1.0 / 12.0, length), outage(0.25, length));
        println!(
            "{minutes:>2} min   {:>4} of {INSTANCES} lost        {:>4} of {INSTANCES} lost, {} in the busiest minute",
            late.lost, quarter.lost, quarter.busiest_minute
        );
        figures.push((late, quarter));
    }
    let [(late, quarter), (late_15, quarter_15), (late_30, quarter_30)] = &figures[..] else { unreachable!() };
    assert_eq!(quarter.lost, 0);
    assert!(late.lost > 50);
    assert!(quarter_15.lost <= 10 && late_15.lost > 100);
    assert!(quarter_30.lost < late_30.lost);
    // A fleet that comes back does not bring the server down again.
    assert!(figures.iter().all(|(_, quarter)| quarter.busiest_minute <= 4 * INSTANCES));
}

#[test]
fn a_fleet_that_restarts_at_once_is_served_at_the_pace_of_the_server() {
    let mut server = Limit { a_minute: 100, minute: 0, used: 0 };
    let figures = run(&Settings::default(), &mut server, |_| Duration::from_secs(1), 2 * HOUR);
    println!(
        "restart of {INSTANCES} against 100 a minute: the last is served after {:.1} min; {} in the busiest minute, {} in two hours",
        figures.all_served.as_secs_f64() / 60.0,
        figures.busiest_minute,
        figures.token_requests
    );
    assert!(figures.all_served <= Duration::from_secs(30 * 60), "{figures:?}");
    assert_eq!(figures.lost, 0, "{figures:?}");
}
