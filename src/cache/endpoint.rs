//! What all the tokens of a source share: their exchanges run against one endpoint.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::{sync::Notify, time::timeout};

use super::{
    clock::{Clock, Moment},
    lock, renewal,
};
use crate::error::Error;

/// Exchanges in flight at once.
const MOST_IN_FLIGHT: usize = 16;

#[derive(Default)]
pub(super) struct Endpoint {
    state: Mutex<State>,
    /// A turn has ended.
    vacated: Notify,
}

#[derive(Default)]
struct State {
    /// `Retry-After` and `invalid_client` are about the endpoint and the client, so that they hold back every token.
    hold: Option<Hold>,
    /// Those whose turn it is, and when it ends at the latest.
    turns: HashMap<u64, Moment>,
    turns_given: u64,
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
    endpoint: &'a Endpoint,
    id: u64,
    /// Whether the last exchange went well, so that quick retries do not add to an outage.
    pub calm: bool,
}

impl Endpoint {
    pub(super) fn hold(&self, now: Moment) -> Option<Hold> {
        lock(&self.state).hold(now).cloned()
    }

    /// Waits for leave to start an exchange: a bounded number at once, and one a second while the last one failed. Whoever waits for
    /// another's attempt shares its failure. A turn is over after `time`, unless it is [extended](Turn::extend).
    pub(super) async fn turn(&self, clock: &Clock, time: Duration) -> Result<Turn<'_>, Error> {
        let came = clock.now();
        loop {
            let next = lock(&self.state).turn(came, clock.now(), time);
            let wait = match next {
                Ok(Next::Turn { id, calm }) => return Ok(Turn { endpoint: self, id, calm }),
                Ok(Next::Wait(wait)) => wait,
                Err(error) => {
                    // The notice is of use to whoever is next in line.
                    self.vacated.notify_one();
                    return Err(error);
                }
            };
            // Not for the notice alone: it may go to one whose runtime nobody drives.
            let _ = timeout(wait, self.vacated.notified()).await;
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

enum Next {
    Turn { id: u64, calm: bool },
    Wait(Duration),
}

impl State {
    fn hold(&self, now: Moment) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| !now.reached(hold.until))
    }

    fn turn(&mut self, came: Moment, now: Moment, time: Duration) -> Result<Next, Error> {
        // It may have begun while they stood in line.
        if let Some(hold) = self.hold(now) {
            return Err(hold.error.held_back(now.until(hold.until)));
        }
        // One whose runtime nobody drives keeps nobody else out.
        self.turns.retain(|_, end| !now.reached(*end));
        let next = match (&self.failure, self.last_start) {
            (Some(_), Some(last_start)) => last_start.after(renewal::BETWEEN_REQUESTS),
            _ => now,
        };
        let wait = if now.reached(next) { renewal::BETWEEN_REQUESTS } else { now.until(next) };
        if now.reached(next) && self.turns.len() < MOST_IN_FLIGHT {
            let forgotten = |(_, at): &(_, Moment)| now.reached(at.after(renewal::FORGET_FAILURES));
            let calm = self.failure.as_ref().is_none_or(forgotten);
            self.last_start = Some(now);
            self.turns_given += 1;
            self.turns.insert(self.turns_given, now.after(time));
            return Ok(Next::Turn { id: self.turns_given, calm });
        }
        match &self.failure {
            Some((error, failed_at)) if !came.reached(*failed_at) => Err(error.held_back(wait)),
            _ => Ok(Next::Wait(wait)),
        }
    }
}

impl Turn<'_> {
    /// Something else begins in the same turn, which takes until `end` at the latest.
    pub(super) fn extend(&self, end: Moment) {
        lock(&self.endpoint.state).turns.insert(self.id, end);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.endpoint.state).turns.remove(&self.id);
        self.endpoint.vacated.notify_one();
    }
}
