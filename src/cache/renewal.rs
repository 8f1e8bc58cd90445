//! When to renew a token, as pure functions.

use std::time::Duration;

use crate::token::AccessToken;

const MOST_EARLY: Duration = Duration::from_secs(60 * 60);
const MOST_LEEWAY: Duration = Duration::from_secs(10);

/// The settings of a cache.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// How early a token is renewed, as a share of its lifetime before its end.
    pub share: f64,
    /// How long before its end a token counts as expired; `None`: the default.
    pub leeway: Option<Duration>,
    /// The lifetime of a token whose server states none.
    pub assumed_lifetime: Duration,
    /// How long a caller waits for a token.
    pub wait_limit: Duration,
    /// Whether the default token is renewed with or without traffic.
    pub keep_warm: bool,
    /// How many tokens are kept beside the default token.
    pub most_keys: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            share: 0.25,
            leeway: None,
            assumed_lifetime: Duration::from_secs(60 * 60),
            wait_limit: Duration::from_secs(30),
            keep_warm: false,
            most_keys: 1000,
        }
    }
}

/// A token's life, counted from when it was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub lifetime: Duration,
    pub renew_after: Duration,
    pub expires_after: Duration,
}

impl Life {
    /// `jitter` is between 0 and 1, and stable for a slot: it spreads the renewals of a fleet.
    pub(super) fn new(token: &AccessToken, settings: &Settings, jitter: f64) -> Self {
        let assumed = settings.assumed_lifetime.min(token.expires_within().unwrap_or(Duration::MAX));
        let lifetime = token.expires_in().unwrap_or(assumed);
        let leeway = settings.leeway.map_or((lifetime / 20).min(MOST_LEEWAY), |leeway| leeway.min(lifetime / 2));
        let expires_after = lifetime.saturating_sub(leeway);
        let renew_after = match token.refresh_in() {
            Some(hint) => spread(hint, lifetime, jitter),
            None => lifetime.saturating_sub(spread_early(lifetime.mul_f64(settings.share).min(MOST_EARLY), jitter)),
        };
        // A configured leeway may be longer than the share.
        let latest = settings.leeway.map_or(renew_after, |_| expires_after.mul_f64(0.9));
        Self { lifetime, renew_after: renew_after.min(latest), expires_after }
    }
}

/// The server's hint, limited to the middle of the lifetime and spread.
fn spread(hint: Duration, lifetime: Duration, jitter: f64) -> Duration {
    let (earliest, latest) = (lifetime / 4, lifetime.mul_f64(0.95));
    let hint = hint.clamp(earliest, latest);
    let early = lifetime.saturating_sub(hint);
    let shift = spread_early(early, jitter).saturating_sub(early);
    if hint >= earliest + shift { hint - shift } else { hint + shift }
}

/// Up to a tenth earlier.
fn spread_early(early: Duration, jitter: f64) -> Duration {
    early.mul_f64(1.0 + jitter / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn life(lifetime: u64, jitter: f64) -> Life {
        let token = AccessToken::new("abcde12345").expect("a token").with_expires_in(Duration::from_secs(lifetime));
        Life::new(&token, &Settings::default(), jitter)
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
    fn a_hint_of_the_server_wins_within_the_middle_of_the_lifetime_and_is_spread() {
        for (hint, calm, jittered) in [
            (0, 900, 1170),
            (899, 900, 1170),
            (1800, 1800, 1620),
            (3419, 3419, 3400),
            (3600, 3420, 3402),
            (u64::MAX, 3420, 3402),
        ] {
            let token = AccessToken::new("abcde12345").expect("a token").with_expires_in(Duration::from_secs(3600));
            let token = token.with_refresh_in(Duration::from_secs(hint));
            let renewed = |jitter| Life::new(&token, &Settings::default(), jitter).renew_after.as_secs();
            assert_eq!((renewed(0.0), renewed(1.0)), (calm, jittered), "refresh_in {hint}");
        }
    }

    #[test]
    fn a_leeway_of_ones_own_is_kept_and_the_renewal_comes_before_it() {
        for (leeway, lifetime, renewed, given_up) in [
            (0, 3600, 2700, 3600),
            (60, 3600, 2700, 3540),
            (1200, 3600, 2160, 2400),
            // Half of the lifetime at most.
            (7200, 3600, 1620, 1800),
        ] {
            let token = AccessToken::new("abcde12345").expect("a token").with_expires_in(Duration::from_secs(lifetime));
            let settings = Settings { leeway: Some(Duration::from_secs(leeway)), ..Settings::default() };
            let life = Life::new(&token, &settings, 0.0);
            assert_eq!((life.renew_after.as_secs(), life.expires_after.as_secs()), (renewed, given_up), "{leeway}");
        }
    }

    #[test]
    fn what_the_server_does_not_say_is_assumed() {
        let life = Life::new(&AccessToken::new("abcde12345").expect("a token"), &Settings::default(), 0.0);
        assert_eq!((life.lifetime, life.renew_after), (Duration::from_secs(3600), Duration::from_secs(2700)));
    }
}
