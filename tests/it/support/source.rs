//! A token source that does what a test says.
//!
//! The authorization server of `testing` is on the other side of a token request. This one is in the source's place: it
//! hangs beyond its time limit, counts what is in flight, and notes when it was asked and which tokens were rejected.
#![allow(dead_code, unreachable_pub)]

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use client_credentials::{
    AccessToken, Clock, Error, TokenCache, TokenCacheBuilder, TokenRequest, TokenSource, async_trait,
};
use proptest::prelude::*;
use tokio::time::Instant;

/// What the source does with one token request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// `token-n`, where n counts the token requests, with this lifetime.
    Lives(Duration),
    /// A token of this name, with this lifetime.
    Named(&'static str, Duration),
    Fails(Error),
    /// Never ends.
    Hangs,
}

/// One token request: which token was asked for, and when, counted from when the source was made.
#[derive(Clone, Debug)]
pub struct Asked {
    pub request: TokenRequest,
    pub at: Duration,
}

/// One token that was given, with times counted from when the source was made.
#[derive(Clone, Debug)]
pub struct Given {
    pub token: String,
    pub lifetime: Duration,
    pub asked_at: Duration,
    pub given_at: Duration,
}

#[derive(Clone)]
pub struct Source(Arc<Mutex<State>>);

struct State {
    made: Instant,
    outcome: Outcome,
    delay: Duration,
    time_limit: Duration,
    asked: Vec<Asked>,
    given: Vec<Given>,
    rejected: Vec<String>,
    in_flight: usize,
    most_in_flight: usize,
}

pub fn hours(hours: u64) -> Duration {
    Duration::from_secs(3600 * hours)
}

pub fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A failure of the kind that passes without anybody's help.
pub fn down() -> Outcome {
    Outcome::Fails(Error::transient("the authorization server is down"))
}

/// Any failure; `Retry-After` is one of these waits, in seconds.
pub fn failure(waits: &'static [u64]) -> impl Strategy<Value = Outcome> {
    let retry_after = |wait| Error::transient("busy").with_retry_after(seconds(wait));
    let failure = prop_oneof![
        Just(Error::transient(io::Error::from(io::ErrorKind::ConnectionReset))),
        Just(Error::transient("down")),
        Just(Error::permanent("no such client")),
        prop::sample::select(waits).prop_map(retry_after),
    ];
    failure.prop_map(Outcome::Fails)
}

impl Source {
    /// Responds at once, with tokens that live for an hour.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            made: Instant::now(),
            outcome: Outcome::Lives(hours(1)),
            delay: Duration::ZERO,
            time_limit: seconds(30),
            asked: Vec::new(),
            given: Vec::new(),
            rejected: Vec::new(),
            in_flight: 0,
            most_in_flight: 0,
        })))
    }

    /// From now on.
    pub fn respond(&self, outcome: Outcome) {
        self.state().outcome = outcome;
    }

    /// How long each token request takes, from now on.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub fn with_time_limit(self, limit: Duration) -> Self {
        self.state().time_limit = limit;
        self
    }

    /// A cache over this source, on tokio's clock.
    pub fn cache(&self) -> TokenCache {
        self.builder().clock(Clock::tokio()).build().expect("the settings are complete")
    }

    pub fn builder(&self) -> TokenCacheBuilder {
        TokenCache::builder(self.clone()).any_origin()
    }

    /// Token requests so far.
    pub fn count(&self) -> usize {
        self.state().asked.len()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    pub fn given(&self) -> Vec<Given> {
        self.state().given.clone()
    }

    /// Now, counted from when the source was made.
    pub fn now(&self) -> Duration {
        self.state().made.elapsed()
    }

    /// Tokens that were reported to the source as rejected.
    pub fn rejected(&self) -> Vec<String> {
        self.state().rejected.clone()
    }

    /// Token requests that have neither ended nor been dropped.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    pub fn most_in_flight(&self) -> usize {
        self.state().most_in_flight
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct InFlight(Source);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

#[async_trait]
impl TokenSource for Source {
    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        let (number, asked_at, outcome, delay) = {
            let mut state = self.state();
            let at = state.made.elapsed();
            state.asked.push(Asked { request: request.clone(), at });
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            (state.asked.len(), at, state.outcome.clone(), state.delay)
        };
        let _in_flight = InFlight(self.clone());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let (token, lifetime) = match outcome {
            Outcome::Lives(lifetime) => (format!("token-{number}"), lifetime),
            Outcome::Named(name, lifetime) => (name.to_owned(), lifetime),
            Outcome::Fails(error) => return Err(error),
            Outcome::Hangs => std::future::pending().await,
        };
        let given_at = self.now();
        self.state().given.push(Given { token: token.clone(), lifetime, asked_at, given_at });
        Ok(AccessToken::new(token)?.with_expires_in(lifetime))
    }

    async fn rejected(&self, _request: &TokenRequest, token: &AccessToken) {
        self.state().rejected.push(token.expose_secret().to_owned());
    }

    fn time_limit(&self) -> Duration {
        self.state().time_limit
    }
}
