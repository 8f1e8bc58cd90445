//! One token's life: the only place with state.
//!
//! Every transition happens under one ordinary mutex that is never held across an await; time comes in as a
//! parameter. The hot path reads a [`Lease`] instead, a replica that is stored while that mutex is held.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    task::AbortHandle,
};

use super::{
    clock::{Clock, Moment},
    renewal::{self, Life, Settings},
};
use crate::{
    challenge::Rejection,
    error::{Error, ErrorKind},
    log,
    source::{TokenRequest, TokenSource},
    token::AccessToken,
};

/// What all the slots of a cache share.
pub(super) struct Context {
    pub source: Arc<dyn TokenSource>,
    pub settings: Settings,
    pub clock: Clock,
    /// Token requests in flight over all keys.
    pub permits: Semaphore,
    /// `Retry-After` and `invalid_client` are about the endpoint and the client, so they hold back every key.
    pub endpoint_hold: Mutex<Option<Hold>>,
}

#[derive(Clone)]
pub(super) struct Hold {
    until: Moment,
    error: Error,
}

pub(super) struct Slot {
    context: Arc<Context>,
    request: TokenRequest,
    jitter: f64,
    lease: ArcSwapOption<Lease>,
    state: Mutex<State>,
}

/// A token that may be attached without asking anybody, until a point in time.
struct Lease {
    token: AccessToken,
    until: Moment,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    flight: Option<Flight>,
    flights: u64,
    last_start: Option<Moment>,
    /// Failures in a row.
    failures: u32,
    hold: Option<Hold>,
    /// Origins whose APIs rejected a token that was not replaced by one they accepted.
    streaks: HashMap<String, Streak>,
}

/// The last token that the source gave.
struct Held {
    token: AccessToken,
    issued_at: Moment,
    /// When its renewal is due by age.
    ages_at: Moment,
    /// When its renewal is due: by age, or because it was rejected.
    renew_at: Moment,
    expires_at: Moment,
    suspicion: Option<Suspicion>,
}

/// The token was rejected before it expired.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    /// Callers wait for the renewal, as long as it has not failed.
    Awaited,
    /// Callers are served with it all the same.
    Served,
}

struct Flight {
    id: u64,
    deadline: Moment,
    outcome: watch::Receiver<Option<Outcome>>,
    task: Arc<OnceLock<AbortHandle>>,
}

type Outcome = Result<AccessToken, Error>;

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

#[derive(Clone, Copy)]
struct Streak {
    count: u32,
    not_before: Moment,
    mentioned: bool,
}

/// What a caller is to do now.
pub(super) enum Step {
    Serve(AccessToken),
    Join(Joined),
    WaitUntil(Moment),
    Fail(Error),
}

pub(super) struct Joined {
    pub outcome: watch::Receiver<Option<Outcome>>,
    pub deadline: Moment,
}

/// Why no token request may start now.
enum Pause {
    /// The last one has only just started.
    Interval(Moment),
    Failed(Hold),
}

const MOST_STREAKS: usize = 64;

impl Slot {
    pub(super) fn new(context: Arc<Context>, request: TokenRequest) -> Arc<Self> {
        Arc::new(Self {
            context,
            request,
            jitter: fastrand::f64(),
            lease: ArcSwapOption::empty(),
            state: Mutex::default(),
        })
    }

    /// The token, if nothing about it needs to be decided. Takes no lock.
    pub(super) fn current(&self) -> Option<AccessToken> {
        let lease = self.lease.load();
        let lease = lease.as_ref()?;
        (!self.context.clock.now().reached(lease.until)).then(|| lease.token.clone())
    }

    /// What a caller is to do now; starts a token request where one is due. A caller whose token was rejected does not want
    /// that one again.
    pub(super) fn step(self: &Arc<Self>, unwanted: Option<&AccessToken>) -> Step {
        let runtime = Handle::try_current().ok();
        let (step, launch) = self.next(runtime.is_some(), unwanted);
        // Outside of the lock: spawning on a runtime that has ended drops the task, whose guard takes the lock.
        if let (Some(launch), Some(runtime)) = (launch, runtime) {
            let task = Arc::clone(&launch.task);
            let handle = runtime.spawn(launch.fly()).abort_handle();
            let _ = task.set(handle);
        }
        step
    }

    fn next(self: &Arc<Self>, runtime: bool, unwanted: Option<&AccessToken>) -> (Step, Option<Launch>) {
        let now = self.context.clock.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        state.flight.take_if(|flight| now.reached(flight.deadline));
        let held = state.held.as_ref().filter(|held| !now.reached(held.expires_at));
        let Some(held) = held else {
            if let Some(flight) = &state.flight {
                return (Step::Join(flight.join()), None);
            }
            if !runtime {
                return (Step::Fail(no_runtime()), None);
            }
            return match self.pause(state, now) {
                None => {
                    let launch = self.launch(state, now);
                    (state.join(), Some(launch))
                }
                Some(Pause::Interval(until)) => (Step::WaitUntil(until), None),
                Some(Pause::Failed(hold)) => (hold.wait_or_fail(now), None),
            };
        };
        let (token, expires_at, renew_at) = (held.token.clone(), held.expires_at, held.renew_at);
        let unwanted = unwanted.is_some_and(|unwanted| token.is_same_as(unwanted));
        let waits = unwanted || held.suspicion == Some(Suspicion::Awaited);
        let serve = |until: Moment| {
            let until = until.min(expires_at);
            self.lease.store(Some(Arc::new(Lease { token: token.clone(), until })));
            Step::Serve(token.clone())
        };
        if !now.reached(renew_at) {
            return (if unwanted { Step::Fail(not_renewed()) } else { serve(renew_at) }, None);
        }
        if let Some(flight) = &state.flight {
            let deadline = flight.deadline;
            return (if waits { state.join() } else { serve(deadline) }, None);
        }
        if !runtime {
            return (if unwanted { Step::Fail(no_runtime()) } else { Step::Serve(token) }, None);
        }
        match self.pause(state, now) {
            None => {
                let launch = self.launch(state, now);
                let deadline = launch.deadline;
                (if waits { state.join() } else { serve(deadline) }, Some(launch))
            }
            Some(Pause::Interval(until)) => (if waits { Step::WaitUntil(until) } else { serve(until) }, None),
            Some(Pause::Failed(hold)) if unwanted => (Step::Fail(hold.error.held_back(now.until(hold.until))), None),
            Some(Pause::Failed(hold)) => (serve(hold.until), None),
        }
    }

    /// Takes note that an API rejected `token`. Returns whether it makes sense to ask [`step`](Self::step) for another one.
    pub(super) fn reject(&self, token: &AccessToken, origin: &str, rejection: Rejection) -> bool {
        let now = self.context.clock.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(held) = state.held.as_mut().filter(|held| held.token.is_same_as(token)) else {
            // The cache has moved on: whoever asks gets another token.
            return true;
        };
        if now.reached(held.expires_at) {
            return true;
        }
        if held.suspicion.is_some() {
            return true;
        }
        // Beyond the bound, origins share one streak.
        let origin = if state.streaks.len() < MOST_STREAKS || state.streaks.contains_key(origin) { origin } else { "" };
        let streak =
            state.streaks.entry(origin.to_owned()).or_insert(Streak { count: 0, not_before: now, mentioned: false });
        if !now.reached(streak.not_before) {
            if !std::mem::replace(&mut streak.mentioned, true) {
                log::rejected_again(origin, now.until(streak.not_before));
            }
            return false;
        }
        streak.count = streak.count.saturating_add(1);
        streak.not_before = now.after(renewal::rejection_interval(streak.count));
        streak.mentioned = false;
        let again = streak.count > 1;
        held.suspicion = Some(match rejection {
            Rejection::Explicit => Suspicion::Awaited,
            Rejection::Bare => Suspicion::Served,
        });
        held.renew_at = now;
        self.lease.store(None);
        log::rejected(origin, &self.request, held.issued_at.until(now), again);
        true
    }

    /// An API accepted the token that replaced a rejected one.
    pub(super) fn accepted(&self, origin: &str) {
        self.lock().streaks.remove(origin);
    }

    fn pause(&self, state: &State, now: Moment) -> Option<Pause> {
        let hold = [state.hold.clone(), lock(&self.context.endpoint_hold).clone()]
            .into_iter()
            .flatten()
            .filter(|hold| !now.reached(hold.until))
            .max_by_key(|hold| now.until(hold.until));
        if let Some(hold) = hold {
            return Some(Pause::Failed(hold));
        }
        let until = state.last_start?.after(renewal::BETWEEN_REQUESTS);
        (!now.reached(until)).then_some(Pause::Interval(until))
    }

    fn launch(self: &Arc<Self>, state: &mut State, now: Moment) -> Launch {
        if state.hold.as_ref().is_none_or(|hold| now.reached(hold.until.after(renewal::FORGET_FAILURES))) {
            state.failures = 0;
        }
        state.flights += 1;
        state.last_start = Some(now);
        let deadline = now.after(self.context.source.time_limit() + renewal::FLIGHT_GRACE);
        let (sender, outcome) = watch::channel(None);
        let task = Arc::new(OnceLock::new());
        state.flight = Some(Flight { id: state.flights, deadline, outcome, task: Arc::clone(&task) });
        Launch {
            guard: Guard { slot: Arc::downgrade(self), id: state.flights, outcome: sender, finished: false },
            context: Arc::clone(&self.context),
            request: self.request.clone(),
            rejected: state.held.as_ref().filter(|held| held.suspicion.is_some()).map(|held| held.token.clone()),
            quick: state.failures == 0,
            deadline,
            task,
        }
    }

    /// Another attempt within a flight begins. `None`: somebody else has taken over.
    fn begin(&self, id: u64) -> Option<Moment> {
        let now = self.context.clock.now();
        let mut state = self.lock();
        let flight = state.flight.as_mut().filter(|flight| flight.id == id)?;
        flight.deadline = now.after(self.context.source.time_limit() + renewal::FLIGHT_GRACE);
        state.last_start = Some(now);
        Some(now)
    }

    /// The end of a flight. `started_at` is when the token was asked for.
    fn finish(&self, id: u64, outcome: &Outcome, started_at: Moment) {
        let now = self.context.clock.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.flight.take_if(|flight| flight.id == id).is_none() {
            return;
        }
        match outcome {
            Ok(token) => self.renewed(state, token, started_at, now),
            Err(error) => self.failed(state, error, now),
        }
    }

    fn renewed(&self, state: &mut State, token: &AccessToken, started_at: Moment, now: Moment) {
        let life = Life::new(token, &self.context.settings, self.jitter);
        let expires_at = started_at.after(life.expires_after);
        let renew_at = started_at.after(life.renew_after);
        let renewal = state.held.is_some();
        if let Some(held) =
            state.held.as_mut().filter(|held| !now.reached(held.expires_at) && held.token.is_same_as(token))
        {
            let prolonged = expires_at.reached(held.expires_at.after(life.lifetime / 10));
            if held.suspicion.take().is_some() {
                // Only another rejection asks again, and rejections are bounded.
                held.renew_at = held.ages_at;
                return self.failed(state, &same_token("that an API rejected"), now);
            }
            if !prolonged {
                return self.failed(state, &same_token("with no more time to live"), now);
            }
        }
        state.held = Some(Held {
            token: token.clone(),
            issued_at: started_at,
            ages_at: renew_at,
            renew_at,
            expires_at,
            suspicion: None,
        });
        state.failures = 0;
        state.hold = None;
        *lock(&self.context.endpoint_hold) = None;
        self.lease.store(Some(Arc::new(Lease { token: token.clone(), until: renew_at.min(expires_at) })));
        log::obtained(&self.request, renewal, token);
    }

    fn failed(&self, state: &mut State, error: &Error, now: Moment) {
        state.failures = state.failures.saturating_add(1);
        let remaining = state.held.as_ref().map(|held| now.until(held.expires_at)).unwrap_or_default();
        let wait = renewal::hold_back(error, state.failures, remaining, fastrand::f64());
        let hold = Hold { until: now.after(wait), error: error.clone() };
        let for_all = error.retry_after().is_some()
            || error.response().is_some_and(|response| response.error == "invalid_client");
        if for_all {
            *lock(&self.context.endpoint_hold) = Some(hold.clone());
        }
        state.hold = Some(hold);
        if let Some(held) = &mut state.held {
            held.suspicion = held.suspicion.map(|_| Suspicion::Served);
        }
        log::failed(&self.request, error, remaining, wait);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// No code that can panic runs under these locks; a poisoned one would still hold a consistent state.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn join(&self) -> Step {
        match &self.flight {
            Some(flight) => Step::Join(flight.join()),
            None => Step::Fail(not_renewed()),
        }
    }
}

impl Flight {
    fn join(&self) -> Joined {
        Joined { outcome: self.outcome.clone(), deadline: self.deadline }
    }
}

impl Hold {
    fn wait_or_fail(&self, now: Moment) -> Step {
        let remaining = now.until(self.until);
        if remaining < renewal::BETWEEN_REQUESTS && self.error.retry_after().is_none() {
            Step::WaitUntil(self.until)
        } else {
            Step::Fail(self.error.held_back(remaining))
        }
    }
}

/// A token request that is about to start. Its guard is complete before its task exists.
struct Launch {
    guard: Guard,
    context: Arc<Context>,
    request: TokenRequest,
    rejected: Option<AccessToken>,
    quick: bool,
    deadline: Moment,
    task: Arc<OnceLock<AbortHandle>>,
}

impl Launch {
    async fn fly(self) {
        let Self { guard, context, request, rejected, quick, .. } = self;
        let limit = context.source.time_limit();
        // Never closed.
        let Ok(_permit) = context.permits.acquire().await else { return };
        if let Some(token) = rejected {
            let _ = tokio::time::timeout(limit, context.source.rejected(&request, &token)).await;
        }
        let mut tried = 0;
        let (outcome, started_at) = loop {
            let Some(started_at) = guard.begin() else { return };
            tried += 1;
            let answer = tokio::time::timeout(limit, context.source.token(&request)).await;
            let outcome = match answer {
                Ok(outcome) => outcome.map(|token| token.with_request(request.clone())),
                Err(_) => {
                    Err(Error::new(ErrorKind::Timeout, format!("the token source gave no token within {limit:?}")))
                }
            };
            let again = outcome.as_ref().err().filter(|_| quick);
            match again.and_then(|error| renewal::quick_retry(error, tried, fastrand::f64())) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => break (outcome, started_at),
            }
        };
        guard.finish(outcome, started_at);
    }
}

/// Speaks for a flight. If its task ends before it is finished (its runtime ended, the source panicked), this says so.
struct Guard {
    slot: Weak<Slot>,
    id: u64,
    outcome: watch::Sender<Option<Outcome>>,
    finished: bool,
}

impl Guard {
    fn begin(&self) -> Option<Moment> {
        self.slot.upgrade()?.begin(self.id)
    }

    fn finish(mut self, outcome: Outcome, started_at: Moment) {
        self.finished = true;
        self.publish(outcome, started_at);
    }

    fn publish(&self, outcome: Outcome, started_at: Moment) {
        if let Some(slot) = self.slot.upgrade() {
            slot.finish(self.id, &outcome, started_at);
        }
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let Some(slot) = self.slot.upgrade() else { return };
        if std::thread::panicking() {
            let now = slot.context.clock.now();
            self.publish(Err(Error::new(ErrorKind::Panicked, "the token source panicked")), now);
        } else {
            // Whoever waits sees that the sender is gone, and takes over.
            slot.lock().flight.take_if(|flight| flight.id == self.id);
        }
    }
}

fn same_token(which: &str) -> Error {
    Error::new(ErrorKind::InvalidResponse, format!("the server issued the same token again, {which}"))
}

fn not_renewed() -> Error {
    Error::new(ErrorKind::InvalidResponse, "the rejected token was not replaced")
}

pub(super) fn no_runtime() -> Error {
    Error::new(
        ErrorKind::Runtime,
        "a token would have to be fetched, which needs a tokio runtime with its timer enabled",
    )
    .with_advice("call from within one, built with `enable_all` or `enable_time`")
}

pub(super) fn waited_too_long(limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("no token within {limit:?}; the token request goes on"))
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("request", &self.request).finish_non_exhaustive()
    }
}
