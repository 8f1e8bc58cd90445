//! When to renew, and how long to hold back: the numbers of the crate, as pure functions.

use std::time::Duration;

use crate::{error::Error, token::AccessToken};

/// Between two token requests for one token, start to start.
pub(super) const BETWEEN_REQUESTS: Duration = Duration::from_secs(1);
/// Beyond the source's own time limit: a flight that has not ended by then runs on a runtime that nobody drives.
pub(super) const FLIGHT_GRACE: Duration = Duration::from_millis(500);
/// Between two hold-backs that end early because the client's credentials have changed.
pub(super) const BETWEEN_RELEASES: Duration = Duration::from_secs(60);
/// A failed key that nobody asked for during this time starts afresh.
pub(super) const FORGET_FAILURES: Duration = Duration::from_secs(60);
/// Callers wait this long for the renewal of a token that an API declared invalid, and are served with it after that: the other APIs may
/// still take it.
pub(super) const SUSPECT_WAIT: Duration = Duration::from_secs(5);
/// How long a keep-warm task sleeps at most before it looks at the wall clock again.
pub(super) const LOOK_AT_THE_CLOCK: Duration = Duration::from_secs(30);

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
    /// Whether the default token is renewed when nobody asks for it.
    pub keep_warm: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            share: 0.25,
            assumed_lifetime: Duration::from_secs(60 * 60),
            wait_limit: Duration::from_secs(30),
            keep_warm: false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const NONE: Duration = Duration::ZERO;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn life(lifetime: u64, jitter: f64) -> Life {
        let token = AccessToken::new("abcde12345").expect("a token").with_expires_in(Duration::from_secs(lifetime));
        Life::new(&token, &Settings::default(), jitter)
    }

    fn transient() -> Error {
        Error::transient("down")
    }

    fn status(status: u16) -> Error {
        Error::new(ErrorKind::Status, "").with_status(status.try_into().expect("a status"))
    }

    #[test]
    fn a_token_is_renewed_a_quarter_of_its_lifetime_before_its_end_and_given_up_a_little_before_it() {
        // Lifetime; renewed after, without and with all of the jitter; given up after.
        for (lifetime, calm, jittered, given_up) in [
            (0, 0.0, 0.0, 0.0),
            (1, 0.75, 0.725, 0.95),
            (2, 1.5, 1.45, 1.9),
            (60, 45.0, 43.5, 57.0),
            (200, 150.0, 145.0, 190.0),
            (201, 150.75, 145.725, 191.0),
            (3600, 2700.0, 2610.0, 3590.0),
            (7200, 5400.0, 5220.0, 7190.0),
            (14_400, 10_800.0, 10_440.0, 14_390.0),
            // An hour at most.
            (86_400, 82_800.0, 82_440.0, 86_390.0),
        ] {
            assert_eq!(life(lifetime, 0.0).renew_after, seconds(calm), "{lifetime}");
            assert_eq!(life(lifetime, 1.0).renew_after, seconds(jittered), "{lifetime}");
            assert_eq!(life(lifetime, 0.5).expires_after, seconds(given_up), "{lifetime}");
        }
    }

    #[test]
    fn a_hint_of_the_server_wins_within_the_middle_of_the_lifetime() {
        for (hint, renewed) in [(0, 900), (899, 900), (1800, 1800), (3419, 3419), (3600, 3420), (u64::MAX, 3420)] {
            let token = AccessToken::new("abcde12345").expect("a token").with_expires_in(Duration::from_secs(3600));
            let token = token.with_refresh_in(Duration::from_secs(hint));
            let life = Life::new(&token, &Settings::default(), 0.7);
            assert_eq!(life.renew_after, Duration::from_secs(renewed), "refresh_in {hint}");
        }
    }

    #[test]
    fn what_the_server_does_not_say_is_assumed() {
        let life = Life::new(&AccessToken::new("abcde12345").expect("a token"), &Settings::default(), 0.0);
        assert_eq!((life.lifetime, life.renew_after), (Duration::from_secs(3600), Duration::from_secs(2700)));
    }

    #[test]
    fn back_off_doubles_up_to_its_cap() {
        // The most of each wait, failure by failure: for an error, and with a token that lives on for so long.
        let invalid_client = || transient().lasting();
        for (error, remaining, waits) in [
            (transient(), NONE, [1, 2, 4, 8, 16, 30, 30, 30]),
            (status(503), NONE, [1, 2, 4, 8, 16, 30, 30, 30]),
            (status(403), NONE, [1, 2, 4, 8, 16, 32, 60, 60]),
            (transient(), Duration::from_secs(10), [1, 2, 4, 8, 16, 30, 30, 30]),
            (transient(), Duration::from_secs(240), [1, 2, 4, 8, 16, 32, 60, 60]),
            (transient(), Duration::from_secs(900), [1, 2, 4, 8, 16, 32, 64, 128]),
            (invalid_client(), NONE, [10, 20, 40, 60, 60, 60, 60, 60]),
            (invalid_client(), Duration::from_secs(900), [10, 20, 40, 60, 60, 60, 60, 60]),
        ] {
            for (failures, most) in (1..).zip(waits) {
                let most = Duration::from_secs(most);
                let least = if error.is_transient() { most / 2 } else { most };
                assert_eq!(hold_back(&error, failures, remaining, 1.0), most, "{error} {failures}");
                assert_eq!(hold_back(&error, failures, remaining, 0.0), least, "{error} {failures}");
            }
        }
        let long = Duration::from_secs(24 * 3600);
        assert_eq!(hold_back(&transient(), u32::MAX, long, 1.0), Duration::from_secs(300));
        assert_eq!(hold_back(&transient(), 0, NONE, 1.0), Duration::from_secs(1));
    }

    #[test]
    fn what_the_server_asks_for_is_waited_out_with_up_to_as_much_again() {
        for (retry_after, remaining, least) in [
            (7, 0, 7.0),
            (300, 0, 300.0),
            (86_400, 0, 300.0),
            (7, 900, 7.0),
            // Half of what the usable token still has.
            (86_400, 500, 250.0),
            (86_400, 3600, 300.0),
        ] {
            for error in [status(429), status(503), transient().lasting()] {
                let error = error.with_retry_after(Duration::from_secs(retry_after));
                let remaining = Duration::from_secs(remaining);
                assert_eq!(hold_back(&error, 1, remaining, 0.0), seconds(least));
                assert_eq!(hold_back(&error, 9, remaining, 1.0), seconds(2.0 * least));
            }
        }
    }

    #[test]
    fn quick_retries_are_for_what_may_be_over_in_a_second() {
        let kinds = [ErrorKind::Connect, ErrorKind::Dns, ErrorKind::Reset].map(|kind| Error::new(kind, ""));
        let statuses = [500, 502, 503, 504].map(status);
        for error in kinds.into_iter().chain(statuses) {
            assert_eq!(quick_retry(&error, 1, 0.0), Some(Duration::from_millis(50)), "{error:?}");
            assert_eq!(quick_retry(&error, 1, 1.0), Some(Duration::from_millis(250)));
            assert_eq!(quick_retry(&error, 2, 0.0), Some(Duration::from_millis(250)));
            assert_eq!(quick_retry(&error, 2, 1.0), Some(Duration::from_millis(1000)));
            assert_eq!(quick_retry(&error, 3, 0.0), None);
        }
        let kinds = [ErrorKind::Timeout, ErrorKind::Tls, ErrorKind::TlsMissing, ErrorKind::InvalidResponse];
        let kinds = kinds.map(|kind| Error::new(kind, ""));
        for error in kinds.into_iter().chain([400, 403, 407, 408, 429, 501].map(status)) {
            assert_eq!(quick_retry(&error, 1, 0.5), None, "{error:?}");
        }
    }

    #[test]
    fn a_short_retry_after_is_waited_out_within_the_flight() {
        let asked = |status_code, wait| status(status_code).with_retry_after(Duration::from_secs(wait));
        for status in [429, 503] {
            assert_eq!(quick_retry(&asked(status, 5), 1, 0.0), Some(Duration::from_secs(5)));
            assert_eq!(quick_retry(&asked(status, 5), 2, 1.0), Some(Duration::from_secs(10)));
            assert_eq!(quick_retry(&asked(status, 6), 1, 0.0), None);
            assert_eq!(quick_retry(&asked(status, 5), 3, 0.0), None);
        }
        assert_eq!(quick_retry(&asked(400, 5).lasting(), 1, 0.0), None, "a verdict stands");
    }

    #[test]
    fn renewals_caused_by_rejection_are_spaced_out() {
        let waits: Vec<_> = (1..=7).map(|count| rejection_interval(count).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(rejection_interval(u32::MAX).as_secs(), 300);
    }
}
