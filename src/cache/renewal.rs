//! When to renew, and how long to hold back: the numbers of the crate, as pure functions.

use std::time::Duration;

use crate::{error::Error, token::AccessToken};

/// Between two token requests for one token, start to start.
pub(super) const BETWEEN_REQUESTS: Duration = Duration::from_secs(1);
/// Beyond the source's own time limit: a flight that has not ended by then runs on a runtime that nobody drives.
pub(super) const FLIGHT_GRACE: Duration = Duration::from_millis(500);
/// A failed key that nobody asked for during this time starts afresh.
pub(super) const FORGET_FAILURES: Duration = Duration::from_secs(60);

const MOST_EARLY: Duration = Duration::from_secs(60 * 60);
const MOST_LEEWAY: Duration = Duration::from_secs(10);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);
const QUICK_RETRY_AFTER: Duration = Duration::from_secs(5);
const QUICK_WAITS: [(u64, u64); 2] = [(50, 250), (250, 1000)];

/// The settings of a cache.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// How much of its lifetime before its end a token is renewed.
    pub share: f64,
    /// The lifetime of a token whose server does not say.
    pub assumed_lifetime: Duration,
    /// How long a caller waits for a token.
    pub wait_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { share: 0.25, assumed_lifetime: Duration::from_secs(60 * 60), wait_limit: Duration::from_secs(30) }
    }
}

/// A token's life, counted from when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub lifetime: Duration,
    pub renew_after: Duration,
    pub expires_after: Duration,
}

impl Life {
    /// `jitter` is between 0 and 1, and stable for a cache and key: it spreads a fleet.
    pub(super) fn new(token: &AccessToken, settings: &Settings, jitter: f64) -> Self {
        let lifetime = token.expires_in().unwrap_or(settings.assumed_lifetime);
        let leeway = (lifetime / 20).min(MOST_LEEWAY);
        let early = lifetime.mul_f64(settings.share).min(MOST_EARLY).mul_f64(1.0 + jitter / 10.0);
        let renew_after = match token.refresh_in() {
            Some(hint) => hint.clamp(lifetime / 4, lifetime.mul_f64(0.95)),
            None => lifetime.saturating_sub(early),
        };
        Self { lifetime, renew_after, expires_after: lifetime.saturating_sub(leeway) }
    }
}

/// How long token requests are held back after the `failures`th failure in a row (from 1), with a token that is still usable for
/// `remaining` (zero: there is none). `random` is between 0 and 1.
pub(super) fn hold_back(error: &Error, failures: u32, remaining: Duration, random: f64) -> Duration {
    if let Some(retry_after) = error.retry_after() {
        let most = if remaining.is_zero() { LONGEST_RETRY_AFTER } else { (remaining / 2).min(LONGEST_RETRY_AFTER) };
        return retry_after.min(most).mul_f64(1.0 + random);
    }
    let doublings = failures.saturating_sub(1).min(16);
    if !error.is_transient() {
        return Duration::from_secs(10 << doublings.min(3)).min(Duration::from_secs(60));
    }
    let seconds = |seconds| Duration::from_secs(seconds);
    let cap = if !remaining.is_zero() {
        (remaining / 4).clamp(seconds(30), seconds(300))
    } else if error.is_client_error() {
        seconds(60)
    } else {
        seconds(30)
    };
    seconds(1 << doublings).min(cap).mul_f64(0.5 + random / 2.0)
}

/// How long to wait before the same token request is sent again within one flight, after `tried` attempts; `None`: it is not.
pub(super) fn quick_retry(error: &Error, tried: usize, random: f64) -> Option<Duration> {
    let (least, most) = *QUICK_WAITS.get(tried.checked_sub(1)?)?;
    match error.retry_after() {
        Some(retry_after) => {
            (error.is_transient() && retry_after <= QUICK_RETRY_AFTER).then(|| retry_after.mul_f64(1.0 + random))
        }
        None => error
            .is_quick_retry()
            .then(|| Duration::from_millis(least) + Duration::from_millis(most - least).mul_f64(random)),
    }
}

/// How long renewals caused by rejections wait after the `count`th in a row (from 1) by one origin.
pub(super) fn rejection_interval(count: u32) -> Duration {
    Duration::from_secs(10 << count.saturating_sub(1).min(8)).min(Duration::from_secs(5 * 60))
}
