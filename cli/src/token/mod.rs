//! `client-credentials token`: prints a token.

mod output;
mod store;

use std::time::Duration;

use clap::ArgMatches;
use client_credentials::{Error, ErrorKind, ObtainedFrom, TokenCache, TokenSource};

use crate::{failure::Failure, settings::Settings};

pub(crate) async fn run(options: &ArgMatches, settings: &Settings) -> Result<String, Failure> {
    let is_kept = !options.get_flag("no-store") && !options.get_flag("demo");
    let tokens = cache(settings, is_kept)?;
    let time = options.get_one::<Duration>("valid-for").copied().unwrap_or_default();
    let obtain = async || tokens.token_valid_for(time).await.map_err(|error| failed(settings, &error, time));
    let mut token = obtain().await?;
    if options.get_flag("fresh") && tokens.status().obtained_from() == Some(ObtainedFrom::Store) {
        tokens.reject(&token);
        token = obtain().await?;
    }
    Ok(output::text(options, &token, tokens.status().usable_for()))
}

fn cache(settings: &Settings, is_kept: bool) -> Result<TokenCache, Failure> {
    let source = settings.builder(None)?.build().map_err(|error| Failure::settings(&error))?;
    let wait = wait_limit(source.time_limit());
    // So that what is left of a token's life is exact. A token that is about to end is due, and not printed anyway.
    let cache = TokenCache::builder(source).leeway(Duration::ZERO).wait_limit(wait);
    let cache = match is_kept.then(store::open).flatten() {
        Some(store) => cache.shared_in_the_clear(store),
        None => cache,
    };
    cache.build().map_err(|error| Failure::settings(&error))
}

/// At least the library's own, which is too short for a long `--timeout`.
fn wait_limit(token_request: Duration) -> Duration {
    Duration::from_secs(30).max(token_request + Duration::from_secs(2))
}

fn failed(settings: &Settings, error: &Error, time: Duration) -> Failure {
    settings.say_replaced();
    match error.kind() {
        ErrorKind::Configuration if !time.is_zero() => Failure::usage(format!("--valid-for: {error}")),
        _ => Failure::token(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_waits_for_as_long_as_its_token_request_may_take() {
        for (timeout, wait) in [(1, 30), (28, 30), (60, 62)] {
            assert_eq!(wait_limit(Duration::from_secs(timeout)), Duration::from_secs(wait));
        }
    }
}
