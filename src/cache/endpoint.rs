//! What all the tokens of a source share: their exchanges run against one endpoint.

use std::sync::Mutex;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    clock::{Clock, Moment},
    lock, renewal,
};
use crate::error::Error;

/// Exchanges in flight at once.
const MOST_IN_FLIGHT: usize = 16;

pub(super) struct Endpoint {
    permits: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `Retry-After` and `invalid_client` are about the endpoint and the client, so that they hold back every token.
    hold: Option<Hold>,
    last_start: Option<Moment>,
    /// What the last exchange failed with, and when.
    failure: Option<(Error, Moment)>,
    /// When a hold ended early.
    released_at: Option<Moment>,
}

/// Why, and until when, no token request starts.
#[derive(Clone)]
pub(super) struct Hold {
    pub until: Moment,
    pub error: Error,
}

/// Leave to start an exchange.
pub(super) struct Turn<'a> {
    _permit: SemaphorePermit<'a>,
    /// Whether the last exchange went well, so that quick retries do not add to an outage.
    pub calm: bool,
}

impl Endpoint {
    pub(super) fn new() -> Self {
        Self { permits: Semaphore::new(MOST_IN_FLIGHT), state: Mutex::default() }
    }

    pub(super) fn hold(&self, now: Moment) -> Option<Hold> {
        lock(&self.state).hold.clone().filter(|hold| !now.reached(hold.until))
    }

    /// Waits for leave to start an exchange: a bounded number at once, and one a second while the last one failed. Whoever waits for
    /// another's attempt shares its failure.
    pub(super) async fn turn(&self, clock: &Clock) -> Result<Turn<'_>, Error> {
        let came = clock.now();
        // Never closed; an error would be a failure like any other.
        let permit = self.permits.acquire().await.map_err(Error::transient)?;
        loop {
            let now = clock.now();
            let wait = {
                let mut state = lock(&self.state);
                let next = match (&state.failure, state.last_start) {
                    (Some(_), Some(last_start)) => last_start.after(renewal::BETWEEN_REQUESTS),
                    _ => now,
                };
                if now.reached(next) {
                    state.last_start = Some(now);
                    let forgotten = |(_, at): &(_, Moment)| now.reached(at.after(renewal::FORGET_FAILURES));
                    return Ok(Turn { _permit: permit, calm: state.failure.as_ref().is_none_or(forgotten) });
                }
                let wait = now.until(next);
                match &state.failure {
                    Some((error, failed_at)) if !came.reached(*failed_at) => return Err(error.held_back(wait)),
                    _ => wait,
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// An exchange failed. A verdict is about one token; the endpoint itself works.
    pub(super) fn failed(&self, error: &Error, now: Moment) {
        lock(&self.state).failure = error.is_transient().then(|| (error.clone(), now));
    }

    /// An exchange brought a token: what was held against the client is settled. What the server asked for (`Retry-After`) stays.
    pub(super) fn succeeded(&self) {
        let mut state = lock(&self.state);
        state.failure = None;
        state.hold.take_if(|hold| hold.error.retry_after().is_none());
    }

    /// Ends a hold early, because the client has other credentials than the exchange that began at `asked_at`; rarely, since they may change all the
    /// time and never be right. Returns whether what that exchange left behind ends too. What the server asked for (`Retry-After`) stays.
    pub(super) fn release(&self, asked_at: Moment, now: Moment) -> bool {
        let mut state = lock(&self.state);
        if let Some(released_at) = state.released_at
            && !now.reached(released_at.after(renewal::BETWEEN_RELEASES))
        {
            // Several tokens may have been refused for one and the same reason.
            return !asked_at.reached(released_at);
        }
        state.released_at = Some(now);
        state.hold.take_if(|hold| hold.error.retry_after().is_none());
        true
    }

    /// Holds back every token; a longer hold stays.
    pub(super) fn hold_back(&self, hold: &Hold, now: Moment) {
        let mut state = lock(&self.state);
        if state.hold.as_ref().is_none_or(|held| now.until(held.until) < now.until(hold.until)) {
            state.hold = Some(hold.clone());
        }
    }
}
