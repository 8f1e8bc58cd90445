//! What all the tokens of a source share: their exchanges run against one endpoint.
//!
//! A failure is about the token that was requested. A failure that three tokens get in a row, none of which was failing
//! before, with no success between, is about all of them ([trouble]).

mod line;
mod trouble;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use self::{
    line::Line,
    trouble::{Diagnosis, FailedExchange, Trouble},
};
use super::{
    backoff::{BETWEEN_RELEASES, BETWEEN_REQUESTS, Hold, Reason},
    clock::{Clock, Moment},
};
use crate::{error::Error, lock::lock, token_request::TokenRequest};

/// How many exchanges are in flight at once.
const MOST_IN_FLIGHT: usize = 16;
/// An exchange that takes longer passes its turn on, so that exchanges that hang block nobody.
const PASSES_ITS_TURN_ON: Duration = Duration::from_secs(1);
/// How many such exchanges may run beside those that hold a turn.
const MOST_SLOW: usize = 16;
/// How long an exchange that was already under way may refute a finding.
const MAY_REFUTE: Duration = Duration::from_secs(5);

pub(super) struct Endpoint {
    clock: Clock,
    turns: Mutex<Turns>,
    /// A turn has ended.
    vacated: Notify,
}

#[derive(Default)]
struct Turns {
    in_progress: HashMap<u64, Begun>,
    given: u64,
    last_start: Option<Moment>,
    line: Line,
    diagnosis: Diagnosis,
    /// When the client's credentials were last seen to change.
    credentials_since: Option<Moment>,
}

/// An exchange that holds a turn.
struct Begun {
    at: Moment,
    /// If it has not ended by then, nobody drives its runtime any more.
    ends_at: Moment,
}

/// Permission to start an exchange.
pub(super) struct Turn<'a> {
    endpoint: &'a Endpoint,
    id: u64,
    began_at: Moment,
    /// Whether nothing had failed for this token before.
    is_first: bool,
    /// Whether the same exchange may be tried again at once: for a first failure, and not in an outage.
    pub allows_quick_retry: bool,
    /// When the exchange started that brought a token, which ends any trouble when the turn ends.
    pub succeeded_since: Option<Moment>,
}

impl Endpoint {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, turns: Mutex::default(), vacated: Notify::new() }
    }

    /// What holds back every token.
    pub(super) fn hold(&self, now: Moment) -> Option<Hold> {
        self.lock().hold(now)
    }

    /// Whether no request may start now, even if the trouble is not certain yet.
    pub(super) fn is_to_be_left_alone(&self, now: Moment) -> bool {
        self.lock().diagnosis.trouble.as_ref().is_some_and(|trouble| !now.reached(trouble.hold.until))
    }

    /// Why token requests fail for all tokens.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.lock().diagnosis.trouble.as_ref().map(|trouble| trouble.hold.error.clone())
    }

    /// Waits for permission to start an exchange: a bounded number at once, and one a second in an outage. A turn ends
    /// after `time`, unless it is [extended](Turn::extend).
    ///
    /// # Errors
    ///
    /// Why token requests fail for all tokens, once that is certain.
    pub(super) async fn turn(&self, time: Duration, is_first: bool) -> Result<Turn<'_>, Error> {
        let came = self.clock.now();
        // In an outage, tokens that have not failed yet go first, in an order that no caller's rhythm decides.
        let yields = BETWEEN_REQUESTS.mul_f64(if is_first { fastrand::f64() } else { 1.0 });
        loop {
            let wait = {
                let (now, mut turns) = (self.clock.now(), self.lock());
                match turns.wait(came, now, yields) {
                    Ok(None) => {
                        return Ok(Turn {
                            endpoint: self,
                            id: turns.begin(came, now, time),
                            began_at: now,
                            is_first,
                            allows_quick_retry: is_first && turns.diagnosis.trouble.is_none(),
                            succeeded_since: None,
                        });
                    }
                    Ok(Some(wait)) => wait,
                    Err(error) => {
                        drop(turns);
                        // This caller may have used up a notice that the next in line needs.
                        self.vacated.notify_one();
                        return Err(error);
                    }
                }
            };
            // Never without a timeout: the notice may go to a caller whose runtime nobody drives.
            let _ = timeout(wait, self.vacated.notified()).await;
        }
    }

    /// The client's credentials have changed, which ends a hold on the client; at most once a minute, since they may
    /// change all the time and never be right. Returns when the current ones appeared.
    pub(super) fn credentials_changed(&self, now: Moment) -> Moment {
        let mut turns = self.lock();
        if let Some(since) = turns.credentials_since
            && !now.reached(since.after(BETWEEN_RELEASES))
        {
            // Several tokens may have been refused because of the same credentials.
            return since;
        }
        turns.diagnosis.trouble.take_if(|trouble| trouble.hold.reason == Reason::Verdict);
        turns.credentials_since = Some(now);
        now
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        lock(&self.turns)
    }
}

impl Turns {
    /// How long a caller that came at `came` waits before it asks again; `None`: it is its turn.
    fn wait(&mut self, came: Moment, now: Moment, yields: Duration) -> Result<Option<Duration>, Error> {
        self.in_progress.retain(|_, begun| !now.reached(begun.ends_at));
        self.diagnosis.forget(now);
        if let Some(hold) = self.hold(now) {
            return Err(hold.error(now));
        }
        if let Some(trouble) = &self.diagnosis.trouble {
            let paced = self.last_start.map_or(now, |start| start.after(BETWEEN_REQUESTS));
            let next = paced.max(trouble.hold.until).after(yields);
            if !now.reached(next) {
                let is_met = trouble.was_met_since(came) && self.is_certain(trouble, now);
                let (wait, error) = (now.until(next), &trouble.hold.error);
                return if is_met { Err(error.held_back(wait)) } else { Ok(Some(wait.min(BETWEEN_REQUESTS))) };
            }
        }
        Ok((self.free(now) == 0).then(|| self.next_slow(now)))
    }

    /// How many exchanges may start now, but for trouble.
    fn free(&self, now: Moment) -> usize {
        let is_slow = |begun: &&Begun| now.reached(begun.at.after(PASSES_ITS_TURN_ON));
        let slow = self.in_progress.values().filter(is_slow).count();
        let most = MOST_IN_FLIGHT + self.line.more;
        (most + slow).min(most.max(MOST_IN_FLIGHT + MOST_SLOW)).saturating_sub(self.in_progress.len())
    }

    /// A caller that came at `came` gets a turn, which ends after `time`.
    fn begin(&mut self, came: Moment, now: Moment, time: Duration) -> u64 {
        self.line.advances(came, now);
        self.last_start = Some(now);
        self.given += 1;
        self.in_progress.insert(self.given, Begun { at: now, ends_at: now.after(time) });
        self.given
    }

    /// How long until an exchange passes its turn on.
    fn next_slow(&self, now: Moment) -> Duration {
        let passes_on = self.in_progress.values().map(|begun| now.until(begun.at.after(PASSES_ITS_TURN_ON)));
        passes_on.filter(|wait| !wait.is_zero()).min().unwrap_or(BETWEEN_REQUESTS)
    }

    /// What holds back every token, once that is certain.
    fn hold(&self, now: Moment) -> Option<Hold> {
        let trouble = self.diagnosis.trouble.as_ref().filter(|trouble| !now.reached(trouble.hold.until))?;
        self.is_certain(trouble, now).then(|| trouble.hold.clone())
    }

    /// A finding is certain once every exchange that was under way before it has ended without a token, or has run for
    /// some time: any of them may refute it.
    fn is_certain(&self, trouble: &Trouble, now: Moment) -> bool {
        let cannot_refute = |begun: &Begun| begun.at.reached(trouble.since) || now.reached(begun.at.after(MAY_REFUTE));
        self.in_progress.values().all(cannot_refute)
    }
}

impl Turn<'_> {
    /// Another exchange begins in the same turn and ends by `end` at the latest.
    pub(super) fn extend(&self, end: Moment) {
        if let Some(begun) = self.endpoint.lock().in_progress.get_mut(&self.id) {
            begun.ends_at = end;
        }
    }

    /// An exchange failed. Returns whether this shows that token requests fail for all tokens.
    pub(super) fn failed(&self, token: &TokenRequest, error: &Error, source: &str) -> bool {
        let failure = FailedExchange { token, error, began_at: self.began_at, is_first: self.is_first, source };
        let (now, mut turns) = (self.endpoint.clock.now(), self.endpoint.lock());
        turns.line.failed(Reason::of(error) == Reason::RetryAfter, now);
        turns.diagnosis.failed(&failure, now)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let (now, mut turns) = (self.endpoint.clock.now(), self.endpoint.lock());
        // More notices than places would change the order of the callers that wait.
        let ends_trouble = self.succeeded_since.is_some() && turns.diagnosis.trouble.is_some();
        let announced = if ends_trouble { 0 } else { turns.free(now) };
        turns.in_progress.remove(&self.id);
        if let Some(started_at) = self.succeeded_since {
            turns.diagnosis.succeeded(now);
            turns.line.succeeded(started_at.until(now), now);
        }
        let free = turns.free(now);
        drop(turns);
        (announced..free).for_each(|_| self.endpoint.vacated.notify_one());
    }
}
