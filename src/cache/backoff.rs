//! How long token requests are held back, as pure functions.

use std::time::Duration;

use super::clock::Moment;
use crate::error::Error;

/// Between two token requests for one token, start to start.
pub(super) const BETWEEN_REQUESTS: Duration = Duration::from_secs(1);
/// Failures that have not recurred for this long are forgotten.
pub(super) const FORGET_FAILURES: Duration = Duration::from_secs(60);
/// Between two hold-backs that end early because the client's credentials have changed.
pub(super) const BETWEEN_RELEASES: Duration = Duration::from_secs(60);
/// A renewal that keeps failing is tried once more this long before its token ends.
const LAST_CALL: Duration = Duration::from_secs(5);

const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);
/// The longest minimum wait: a fleet that has to wait five minutes still spreads over one minute.
const LEAST_RETRY_AFTER: Duration = Duration::from_secs(4 * 60);
/// The total wait for `Retry-After` within one flight.
const QUICK_RETRY_AFTER: Duration = Duration::from_secs(5);
const QUICK_WAITS: [(u64, u64); 2] = [(50, 250), (250, 1000)];

/// Why token requests are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A failure that may pass on its own.
    Failure,
    /// A failure that only a person can fix.
    Verdict,
    /// The server said when to try again.
    RetryAfter,
}

impl Reason {
    pub(super) fn of(error: &Error) -> Self {
        match (error.retry_after(), error.is_transient()) {
            (Some(_), _) => Self::RetryAfter,
            (None, true) => Self::Failure,
            (None, false) => Self::Verdict,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Verdict => "verdict",
            Self::RetryAfter => "retry_after",
        }
    }
}

/// Why and until when no token request starts.
#[derive(Clone)]
pub(super) struct Hold {
    pub until: Moment,
    pub reason: Reason,
    pub error: Error,
}

impl Hold {
    /// Whether callers wait for its end instead of failing.
    pub(super) fn is_short(&self, now: Moment) -> bool {
        now.until(self.until) < BETWEEN_REQUESTS && self.reason != Reason::RetryAfter
    }

    /// What callers get in the meantime.
    pub(super) fn error(&self, now: Moment) -> Error {
        self.error.held_back(now.until(self.until))
    }
}

/// A token request that failed.
pub(super) struct Failed<'a> {
    pub error: &'a Error,
    /// How many have failed in a row, this one included.
    pub in_a_row: u32,
    /// How long the request took.
    pub took: Duration,
    /// How long the old token can still be used; zero: there is no usable token.
    pub remaining: Duration,
}

impl Failed<'_> {
    /// How long the next token request is held back. `random` is between 0 and 1.
    pub(super) fn hold_back(&self, random: f64) -> Duration {
        let wait = match Reason::of(self.error) {
            Reason::RetryAfter => self.retry_after(random),
            Reason::Verdict => self.since_its_start(Duration::from_secs((10 << self.doublings().min(3)).min(60))),
            Reason::Failure => {
                let most = Duration::from_secs(1 << self.doublings()).min(self.longest());
                self.since_its_start(most.mul_f64(0.5 + random / 2.0))
            }
        };
        // One more attempt while the old token can still be used.
        let last_call = self.remaining.saturating_sub(LAST_CALL);
        if last_call >= BETWEEN_REQUESTS { wait.min(last_call) } else { wait }
    }

    /// Drawn from the range between what the server requests and twice as much, so that a fleet does not return at
    /// once.
    fn retry_after(&self, random: f64) -> Duration {
        let stated = self.error.retry_after().unwrap_or_default();
        let (mut least, mut most) = (stated.min(LEAST_RETRY_AFTER), stated.saturating_mul(2).min(LONGEST_RETRY_AFTER));
        if !self.remaining.is_zero() {
            let half = self.remaining / 2;
            (least, most) = (least.min(half.mul_f64(0.8)), most.min(half));
        }
        least + (most - least).mul_f64(random)
    }

    /// Counted from the start of the attempt, so that the wait after a slow failure is shorter than after a quick one.
    fn since_its_start(&self, wait: Duration) -> Duration {
        wait.saturating_sub(self.took).max(BETWEEN_REQUESTS)
    }

    fn doublings(&self) -> u32 {
        self.in_a_row.saturating_sub(1).min(16)
    }

    fn longest(&self) -> Duration {
        let seconds = Duration::from_secs;
        if !self.remaining.is_zero() {
            (self.remaining / 4).clamp(seconds(30), seconds(300))
        } else if self.error.is_client_error() {
            seconds(60)
        } else {
            seconds(30)
        }
    }
}

/// How long to wait before the same token request is sent again within one flight, after `tried` attempts and `waited`
/// between them in total; `None`: it is not sent again.
pub(super) fn quick_retry(error: &Error, tried: usize, waited: Duration, random: f64) -> Option<Duration> {
    let (least, most) = *QUICK_WAITS.get(tried.checked_sub(1)?)?;
    match error.retry_after() {
        Some(stated) => {
            let left = QUICK_RETRY_AFTER.checked_sub(waited).filter(|left| error.is_transient() && stated <= *left)?;
            Some(stated + (stated * 2).min(left).saturating_sub(stated).mul_f64(random))
        }
        None => error
            .is_quick_retry()
            .then(|| Duration::from_millis(least) + Duration::from_millis(most - least).mul_f64(random)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const NONE: Duration = Duration::ZERO;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn transient() -> Error {
        Error::transient("down")
    }

    fn status(status: u16) -> Error {
        Error::new(ErrorKind::Status, "").with_status(status.try_into().expect("a status"))
    }

    fn hold_back(error: &Error, in_a_row: u32, took: Duration, remaining: Duration, random: f64) -> Duration {
        Failed { error, in_a_row, took, remaining }.hold_back(random)
    }

    #[test]
    fn back_off_doubles_up_to_its_cap() {
        // The most of each wait, failure by failure: for an error, and with a token that lives on for so long.
        let verdict = || transient().lasting();
        for (error, remaining, waits) in [
            (transient(), NONE, [1, 2, 4, 8, 16, 30, 30, 30]),
            (status(503), NONE, [1, 2, 4, 8, 16, 30, 30, 30]),
            (status(407), NONE, [1, 2, 4, 8, 16, 32, 60, 60]),
            (transient(), seconds(240.0), [1, 2, 4, 8, 16, 32, 60, 60]),
            (transient(), seconds(900.0), [1, 2, 4, 8, 16, 32, 64, 128]),
            (verdict(), NONE, [10, 20, 40, 60, 60, 60, 60, 60]),
            (verdict(), seconds(900.0), [10, 20, 40, 60, 60, 60, 60, 60]),
        ] {
            for (failures, most) in (1..).zip(waits) {
                let most = Duration::from_secs(most);
                let least = if error.is_transient() { (most / 2).max(BETWEEN_REQUESTS) } else { most };
                assert_eq!(hold_back(&error, failures, NONE, remaining, 1.0), most, "{error} {failures}");
                assert_eq!(hold_back(&error, failures, NONE, remaining, 0.0), least, "{error} {failures}");
            }
        }
        let long = Duration::from_secs(24 * 3600);
        assert_eq!(hold_back(&transient(), u32::MAX, NONE, long, 1.0), Duration::from_secs(300));
        assert_eq!(hold_back(&transient(), 0, NONE, NONE, 1.0), Duration::from_secs(1));
    }

    #[test]
    fn a_slow_failure_is_waited_out_from_its_start() {
        let slow = seconds(25.0);
        assert_eq!(hold_back(&status(504), 1, slow, NONE, 1.0), seconds(1.0));
        assert_eq!(hold_back(&status(504), 9, slow, NONE, 1.0), seconds(5.0));
        assert_eq!(hold_back(&transient().lasting(), 9, slow, NONE, 1.0), seconds(35.0));
    }

    #[test]
    fn one_more_attempt_is_made_shortly_before_the_old_token_ends() {
        let verdict = transient().lasting();
        assert_eq!(hold_back(&verdict, 9, NONE, seconds(36.0), 1.0), seconds(31.0));
        assert_eq!(hold_back(&verdict, 9, NONE, seconds(6.0), 1.0), seconds(1.0));
        assert_eq!(hold_back(&verdict, 9, NONE, seconds(5.9), 1.0), seconds(60.0), "that was the last one");
        assert_eq!(hold_back(&transient(), 9, NONE, seconds(20.0), 1.0), seconds(15.0));
    }

    #[test]
    fn what_the_server_asks_for_is_waited_out_with_up_to_as_much_again() {
        for (retry_after, remaining, least, most) in [
            (7, 0, 7.0, 14.0),
            (200, 0, 200.0, 300.0),
            (300, 0, 240.0, 300.0),
            (86_400, 0, 240.0, 300.0),
            (7, 900, 7.0, 14.0),
            // The last fifth of half of what the usable token still has.
            (86_400, 500, 200.0, 250.0),
            (86_400, 3600, 240.0, 300.0),
        ] {
            for error in [status(429), status(503), transient().lasting()] {
                let error = error.with_retry_after(Duration::from_secs(retry_after));
                let remaining = Duration::from_secs(remaining);
                assert_eq!(hold_back(&error, 1, seconds(25.0), remaining, 0.0), seconds(least));
                assert_eq!(hold_back(&error, 9, NONE, remaining, 1.0), seconds(most));
            }
        }
    }

    #[test]
    fn quick_retries_are_for_what_may_be_over_in_a_second() {
        let kinds =
            [ErrorKind::Connect, ErrorKind::Dns, ErrorKind::Proxy, ErrorKind::Reset].map(|kind| Error::new(kind, ""));
        let statuses = [500, 502, 503, 504].map(status);
        for error in kinds.into_iter().chain(statuses) {
            assert_eq!(quick_retry(&error, 1, NONE, 0.0), Some(Duration::from_millis(50)), "{error:?}");
            assert_eq!(quick_retry(&error, 1, NONE, 1.0), Some(Duration::from_millis(250)));
            assert_eq!(quick_retry(&error, 2, NONE, 0.0), Some(Duration::from_millis(250)));
            assert_eq!(quick_retry(&error, 2, NONE, 1.0), Some(Duration::from_millis(1000)));
            assert_eq!(quick_retry(&error, 3, NONE, 0.0), None);
        }
        let kinds = [ErrorKind::Timeout, ErrorKind::Tls, ErrorKind::TlsMissing];
        let kinds = kinds.map(|kind| Error::new(kind, ""));
        let asking = Error::new(ErrorKind::Proxy, "").lasting();
        for error in kinds.into_iter().chain([asking]).chain([400, 407, 408, 429, 501].map(status)) {
            assert_eq!(quick_retry(&error, 1, NONE, 0.5), None, "{error:?}");
        }
    }

    #[test]
    fn a_short_retry_after_is_waited_out_within_the_flight_for_five_seconds_in_all() {
        let asked = |status_code, wait| status(status_code).with_retry_after(Duration::from_secs(wait));
        for status in [429, 503] {
            assert_eq!(quick_retry(&asked(status, 2), 1, NONE, 0.0), Some(seconds(2.0)));
            assert_eq!(quick_retry(&asked(status, 2), 1, NONE, 1.0), Some(seconds(4.0)));
            assert_eq!(quick_retry(&asked(status, 5), 1, NONE, 1.0), Some(seconds(5.0)));
            assert_eq!(quick_retry(&asked(status, 6), 1, NONE, 0.0), None);
            assert_eq!(quick_retry(&asked(status, 1), 2, seconds(3.5), 1.0), Some(seconds(1.5)));
            assert_eq!(quick_retry(&asked(status, 2), 2, seconds(3.5), 0.0), None);
            assert_eq!(quick_retry(&asked(status, 1), 3, NONE, 0.0), None);
        }
        assert_eq!(quick_retry(&asked(400, 5).lasting(), 1, NONE, 0.0), None, "a verdict stands");
    }
}
