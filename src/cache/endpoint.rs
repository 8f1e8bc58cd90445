//! What all the tokens of a source share: their exchanges run against one endpoint.
//!
//! A failure is about the token that was asked for. Only what three tokens get in a row, none of which was failing
//! before, with no success between, is about all of them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::{
    backoff::{BETWEEN_RELEASES, BETWEEN_REQUESTS, FORGET_FAILURES, Failed, Hold, Reason},
    clock::{Clock, Moment},
    lock,
};
use crate::{error::Error, token_request::TokenRequest};

/// Exchanges in flight at once.
const MOST_IN_FLIGHT: usize = 16;
/// So many more, for a line in which callers wait longer than this while the endpoint keeps up.
const MOST_MORE: usize = 48;
const LONG_LINE: Duration = Duration::from_secs(5);
/// An exchange that takes longer passes its turn on, so that those that hang take nobody's.
const PASSES_ITS_TURN_ON: Duration = Duration::from_secs(1);
/// So many such beside those whose turn it is.
const MOST_SLOW: usize = 16;
/// So many tokens in a row make a failure one of all. Where that was wrong, twice as many the next time.
const PROOF: usize = 3;
const LONGEST_PROOF: usize = 12;
/// So long an exchange that was under way before may prove the contrary.
const MAY_REFUTE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Endpoint {
    state: Mutex<State>,
    /// A turn has ended.
    vacated: Notify,
}

#[derive(Default)]
struct State {
    turns: HashMap<u64, Begun>,
    turns_given: u64,
    last_start: Option<Moment>,
    /// Of each kind, the tokens that met it in a row.
    runs: [Run; 3],
    trouble: Option<Trouble>,
    line: Line,
    /// How often, and when last, a proof was soon refuted.
    refuted: (u32, Option<Moment>),
    /// When the client's credentials were last seen to change.
    credentials_since: Option<Moment>,
}

/// Those who wait for their turn.
#[derive(Default)]
struct Line {
    is_long: bool,
    /// So many exchanges may run beside the usual number.
    more: usize,
    /// How long one took when only the usual number ran.
    usual: Duration,
    /// When the endpoint last said that it is asked too much.
    busy_at: Option<Moment>,
}

/// An exchange whose turn it is.
struct Begun {
    at: Moment,
    /// Its runtime is not driven any more if it has not ended by then.
    ends_at: Moment,
}

/// What the failure of a token request may say about all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// The endpoint is down.
    Down,
    /// It wants to be asked later.
    Busy,
    /// It refuses the client.
    Refused,
}

#[derive(Default)]
struct Run {
    tokens: Vec<TokenRequest>,
    last: Option<Moment>,
}

/// A finding that is about all tokens, until one request succeeds.
struct Trouble {
    finding: Finding,
    since: Moment,
    /// No exchange starts before; after it, one a second.
    until: Moment,
    /// Attempts that were made since, and failed.
    failures: u32,
    last_failure: Moment,
    /// When the last of these attempts failed.
    confirmed_at: Option<Moment>,
    /// In words that are no token's own.
    error: Error,
}

/// Leave to start an exchange.
pub(super) struct Turn<'a> {
    endpoint: &'a Endpoint,
    id: u64,
    began_at: Moment,
    /// Whether all is well, so that quick retries do not add to an outage.
    pub is_calm: bool,
}

impl Endpoint {
    /// What holds back every token.
    pub(super) fn hold(&self, now: Moment) -> Option<Hold> {
        self.lock().hold(now)
    }

    /// Whether nobody may ask now, certain or not.
    pub(super) fn is_to_be_left_alone(&self, now: Moment) -> bool {
        self.lock().trouble.as_ref().is_some_and(|trouble| !now.reached(trouble.until))
    }

    /// What is the matter with all tokens.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.lock().trouble.as_ref().map(|trouble| trouble.error.clone())
    }

    /// Waits for leave to start an exchange: a bounded number at once, and one a second in an outage. A turn is over
    /// after `time`, unless it is
    /// [extended](Turn::extend).
    ///
    /// # Errors
    ///
    /// What is the matter with all tokens, once that is certain.
    pub(super) async fn turn(&self, clock: &Clock, time: Duration, is_first: bool) -> Result<Turn<'_>, Error> {
        let came = clock.now();
        // In an outage, whoever may fare better than the last goes first, and nobody's rhythm decides who that is.
        let yields = BETWEEN_REQUESTS.mul_f64(if is_first { fastrand::f64() } else { 1.0 });
        loop {
            let next = self.lock().turn(came, clock.now(), time, yields);
            let wait = match next {
                Ok(Next::Turn { id, began_at, is_calm }) => return Ok(Turn { endpoint: self, id, began_at, is_calm }),
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

    /// The client's credentials have changed, which ends what was held against it; at most once a minute, since they
    /// may change all the time and never be right. Returns since when they are the present ones.
    pub(super) fn credentials_changed(&self, now: Moment) -> Moment {
        let mut state = self.lock();
        if let Some(since) = state.credentials_since
            && !now.reached(since.after(BETWEEN_RELEASES))
        {
            // Several tokens may have been refused for one and the same reason.
            return since;
        }
        state.trouble.take_if(|trouble| trouble.finding == Finding::Refused);
        state.credentials_since = Some(now);
        now
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

enum Next {
    Turn { id: u64, began_at: Moment, is_calm: bool },
    Wait(Duration),
}

impl State {
    fn turn(&mut self, came: Moment, now: Moment, time: Duration, yields: Duration) -> Result<Next, Error> {
        self.turns.retain(|_, begun| !now.reached(begun.ends_at));
        self.trouble.take_if(|trouble| trouble.is_forgotten(now));
        if let Some(hold) = self.hold(now) {
            return Err(hold.error(now));
        }
        if let Some(trouble) = &self.trouble {
            let next = self.paced(trouble).after(yields);
            if !now.reached(next) {
                let is_met = trouble.was_met_since(came) && self.is_certain(trouble, now);
                let wait = now.until(next).min(BETWEEN_REQUESTS);
                return if is_met { Err(trouble.error.held_back(now.until(next))) } else { Ok(Next::Wait(wait)) };
            }
        }
        let slow = |begun: &&Begun| now.reached(begun.at.after(PASSES_ITS_TURN_ON));
        let slow = self.turns.values().filter(slow).count();
        let most = MOST_IN_FLIGHT + self.line.more;
        if self.turns.len() - slow >= most || self.turns.len() >= most.max(MOST_IN_FLIGHT + MOST_SLOW) {
            return Ok(Next::Wait(self.next_slow(now)));
        }
        self.line.is_long = now.reached(came.after(LONG_LINE));
        self.last_start = Some(now);
        self.turns_given += 1;
        self.turns.insert(self.turns_given, Begun { at: now, ends_at: now.after(time) });
        Ok(Next::Turn { id: self.turns_given, began_at: now, is_calm: self.trouble.is_none() })
    }

    /// When the next exchange may start in an outage.
    fn paced(&self, trouble: &Trouble) -> Moment {
        match self.last_start {
            Some(start) => start.after(BETWEEN_REQUESTS).max(trouble.until),
            None => trouble.until,
        }
    }

    /// How long until an exchange passes its turn on.
    fn next_slow(&self, now: Moment) -> Duration {
        let passes_on = self.turns.values().map(|begun| now.until(begun.at.after(PASSES_ITS_TURN_ON)));
        passes_on.filter(|wait| !wait.is_zero()).min().unwrap_or(BETWEEN_REQUESTS)
    }

    /// What holds back every token, once that is certain.
    fn hold(&self, now: Moment) -> Option<Hold> {
        let trouble = self.trouble.as_ref().filter(|trouble| !now.reached(trouble.until))?;
        let reason = if trouble.finding == Finding::Busy { Reason::RetryAfter } else { Reason::Verdict };
        self.is_certain(trouble, now).then(|| Hold { until: trouble.until, reason, error: trouble.error.clone() })
    }

    /// Not before all exchanges that were under way when it showed have ended without a token: any of them may prove
    /// the contrary.
    fn is_certain(&self, trouble: &Trouble, now: Moment) -> bool {
        self.turns.values().all(|begun| begun.at.reached(trouble.since) || now.reached(begun.at.after(MAY_REFUTE)))
    }

    /// Returns whether it is about all tokens from now on.
    fn failed(&mut self, token: &TokenRequest, error: &Error, failure: &Failure<'_>) -> bool {
        let Failure { began_at, is_first, source, now } = *failure;
        let finding = Finding::of(error);
        self.line.failed(finding, now);
        let Some(finding) = finding else {
            if error.response().is_some() {
                // A verdict about one token: the endpoint itself works, and knows the client.
                self.succeeded(now);
            }
            return false;
        };
        if let Some(trouble) = &mut self.trouble {
            trouble.met_again(finding, error.for_all_tokens(source), error, began_at, now);
            return false;
        }
        let proof = self.proof(now);
        let is_proven = is_first && self.runs[finding as usize].grows_to(token, now) >= proof;
        if is_proven {
            self.trouble = Some(Trouble::new(finding, error.for_all_tokens(source), error, now));
        }
        is_proven
    }

    /// Returns whether that ends an outage.
    fn succeeded(&mut self, now: Moment) -> bool {
        self.runs = Default::default();
        let trouble = self.trouble.take();
        if trouble.as_ref().is_some_and(|trouble| !trouble.is_confirmed()) {
            self.refuted = (self.refuted.0.saturating_add(1), Some(now));
        }
        trouble.is_some()
    }

    /// Where many tokens fail on their own, three in a row are no rarity.
    fn proof(&mut self, now: Moment) -> usize {
        if self.refuted.1.is_some_and(|at| now.reached(at.after(FORGET_FAILURES))) {
            self.refuted = (0, None);
        }
        (PROOF << self.refuted.0.min(4)).min(LONGEST_PROOF)
    }
}

/// Of an exchange that failed.
#[derive(Clone, Copy)]
struct Failure<'a> {
    began_at: Moment,
    is_first: bool,
    source: &'a str,
    now: Moment,
}

impl Finding {
    /// `None`: it is about one token, or says nothing.
    fn of(error: &Error) -> Option<Self> {
        match Reason::of(error) {
            Reason::RetryAfter => Some(Self::Busy),
            Reason::Failure => Some(Self::Down),
            Reason::Verdict => error.is_invalid_client().then_some(Self::Refused),
        }
    }
}

impl Run {
    fn grows_to(&mut self, token: &TokenRequest, now: Moment) -> usize {
        if self.last.replace(now).is_some_and(|last| now.reached(last.after(FORGET_FAILURES))) {
            self.tokens.clear();
        }
        if !self.tokens.contains(token) {
            self.tokens.push(token.clone());
        }
        self.tokens.len()
    }
}

impl Line {
    /// More exchanges may run at once, one by one, while they take no longer than at first. Returns whether one more
    /// may now.
    fn succeeded(&mut self, took: Duration, now: Moment) -> bool {
        let before = self.more;
        if before == 0 {
            self.usual = took;
        }
        let was_busy = self.busy_at.is_some_and(|at| !now.reached(at.after(FORGET_FAILURES)));
        self.more = match took <= self.usual * 2 {
            _ if was_busy || !self.is_long => 0,
            true => MOST_MORE.min(before + 1),
            false => before.saturating_sub(1),
        };
        self.more > before
    }

    fn failed(&mut self, finding: Option<Finding>, now: Moment) {
        self.more = 0;
        if finding == Some(Finding::Busy) {
            self.busy_at = Some(now);
        }
    }
}

impl Trouble {
    fn new(finding: Finding, shown: Error, error: &Error, now: Moment) -> Self {
        let mut trouble =
            Self { finding, since: now, until: now, failures: 0, last_failure: now, confirmed_at: None, error: shown };
        trouble.until = trouble.next(error, now);
        trouble
    }

    fn met_again(&mut self, finding: Finding, shown: Error, error: &Error, began_at: Moment, now: Moment) {
        self.last_failure = now;
        if began_at.reached(self.since) {
            self.failures = self.failures.saturating_add(1);
            self.confirmed_at = Some(now);
            (self.finding, self.error) = (finding, shown);
        }
        if self.finding == finding {
            self.until = self.until.max(self.next(error, now));
        }
    }

    /// When the endpoint may be asked next. In an outage it is the pace that decides.
    fn next(&self, error: &Error, now: Moment) -> Moment {
        if self.finding == Finding::Down {
            return now;
        }
        let failed = Failed { error, in_a_row: self.failures + 1, took: Duration::ZERO, remaining: Duration::ZERO };
        now.after(failed.hold_back(fastrand::f64()))
    }

    /// Whether enough attempts have failed since it showed.
    fn is_confirmed(&self) -> bool {
        self.failures >= 2
    }

    /// Whether an attempt has failed since a caller came.
    fn was_met_since(&self, came: Moment) -> bool {
        self.is_confirmed() && self.confirmed_at.is_some_and(|at| !came.reached(at))
    }

    fn is_forgotten(&self, now: Moment) -> bool {
        now.reached(self.last_failure.max(self.until).after(FORGET_FAILURES))
    }
}

impl Turn<'_> {
    /// Something else begins in the same turn, which takes until `end` at the latest.
    pub(super) fn extend(&self, end: Moment) {
        if let Some(begun) = self.endpoint.lock().turns.get_mut(&self.id) {
            begun.ends_at = end;
        }
    }

    /// An exchange failed; `is_first`: nothing failed before for this token. Returns whether it is about all tokens
    /// from now on.
    pub(super) fn failed(
        &self,
        token: &TokenRequest,
        error: &Error,
        is_first: bool,
        source: &str,
        now: Moment,
    ) -> bool {
        self.endpoint.lock().failed(token, error, &Failure { began_at: self.began_at, is_first, source, now })
    }

    /// An exchange brought a token: whatever was the matter, it is over.
    pub(super) fn succeeded(&self, started_at: Moment, now: Moment) {
        let (ends_trouble, grows) = {
            let mut state = self.endpoint.lock();
            (state.succeeded(now), state.line.succeeded(started_at.until(now), now))
        };
        if ends_trouble {
            self.endpoint.vacated.notify_waiters();
        } else if grows {
            self.endpoint.vacated.notify_one();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.endpoint.lock().turns.remove(&self.id);
        self.endpoint.vacated.notify_one();
    }
}
