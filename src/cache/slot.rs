//! One token's life: the only place with state.
//!
//! Every transition happens under one ordinary mutex that is never held across an await. What a request reads is a
//! [`Lease`], a replica that is stored while that mutex is held, in a copy for each thread. No request waits for a lease: one that meets it
//! just as it is stored asks for the state itself, and so sees what the storing comes to. Until then another thread may still read the
//! old one: never beyond its time, and never after whoever stores has let go of the mutex.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use super::{
    clock::{Clock, Moment},
    endpoint::{Endpoint, Hold},
    flight::{Flight, Joined, Launch, Outcome, Task},
    lock,
    renewal::{self, Life, Settings},
    status::Status,
};
use crate::{
    challenge::Rejection,
    error::{Error, ErrorKind},
    report::{Cause, Reporter},
    runtime,
    sharded::Sharded,
    source::{TokenRequest, TokenSource},
    token::{AccessToken, LONGEST_LIFETIME},
};

/// What all the slots of a cache share.
pub(super) struct Context {
    pub source: Arc<dyn TokenSource>,
    pub settings: Settings,
    pub clock: Clock,
    pub endpoint: Endpoint,
    pub report: Reporter,
}

impl Context {
    /// How long one call of the source may take.
    pub(super) fn time_limit(&self) -> Duration {
        self.source.time_limit().min(LONGEST_LIFETIME)
    }
}

pub(super) struct Slot {
    context: Arc<Context>,
    request: TokenRequest,
    /// Stable for the slot, so that the instances of a fleet renew at different times, and each at its own.
    jitter: f64,
    leases: Sharded<RwLock<Option<Lease>>>,
    state: Mutex<State>,
}

/// Who asks for a slot's token most.
#[derive(Clone, Copy)]
pub(super) enum AskedBy {
    /// The adapters that a handle was given to, for all their requests.
    Handle,
    /// Requests that say so themselves. Their threads contend for the look-up anyway, and copies of many tokens take much memory.
    Requests,
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
    task: Task,
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
#[derive(Clone, Copy)]
enum Suspicion {
    /// Callers wait for the renewal until then, as long as it has not failed.
    Awaited(Moment),
    /// Callers are served with it all the same.
    Served,
}

/// Rejections by one origin, each of another token.
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

/// What becomes of a renewal that is due.
enum Renewal {
    Flying(Joined),
    /// The last one has only just started.
    Soon(Moment),
    Held(Hold),
    NoRuntime,
}

const MOST_STREAKS: usize = 64;

impl Slot {
    pub(super) fn new(context: Arc<Context>, request: TokenRequest, asked_by: AskedBy) -> Arc<Self> {
        Arc::new(Self {
            context,
            request,
            jitter: fastrand::f64(),
            leases: match asked_by {
                AskedBy::Handle => Sharded::new(RwLock::default),
                AskedBy::Requests => Sharded::single(RwLock::default()),
            },
            state: Mutex::default(),
        })
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn request(&self) -> &TokenRequest {
        &self.request
    }

    /// The token, if nothing about it needs to be decided. Waits for nothing.
    #[inline]
    pub(super) fn current(&self) -> Option<AccessToken> {
        let lease = self.leases.get().try_read().ok()?;
        let lease = lease.as_ref()?;
        (!self.context.clock.now().reached(lease.until)).then(|| lease.token.clone())
    }

    fn lend(&self, token: &AccessToken, until: Moment) {
        self.store(|| Some(Lease { token: token.copied(), until }));
    }

    fn end_leases(&self) {
        self.store(|| None);
    }

    /// Only while the state is locked, so that no lease outlives the state that it was made from.
    fn store(&self, lease: impl Fn() -> Option<Lease>) {
        for stored in self.leases.iter() {
            // Made before and dropped after the lock is held.
            let mut lease = lease();
            std::mem::swap(&mut *stored.write().unwrap_or_else(PoisonError::into_inner), &mut lease);
        }
    }

    /// The token that callers get when its renewal has failed.
    pub(super) fn usable(&self, unwanted: Option<&AccessToken>) -> Option<AccessToken> {
        let now = self.context.clock.now();
        let state = self.lock();
        let held = state.held.as_ref().filter(|held| !now.reached(held.expires_at))?;
        (!unwanted.is_some_and(|unwanted| held.token.is_same_as(unwanted))).then(|| held.token.clone())
    }

    /// What a caller is to do now; starts a token request where one is due. A caller whose token was rejected does not want
    /// that one again.
    pub(super) fn step(self: &Arc<Self>, unwanted: Option<&AccessToken>) -> Step {
        let runtime = runtime::with_timer();
        let mut launch = None;
        let step = self.next(runtime.as_ref().map(|_| &mut launch), unwanted);
        if let (Some(launch), Some(runtime)) = (launch, runtime) {
            launch.start(&runtime);
        }
        step
    }

    fn next(self: &Arc<Self>, pad: Option<&mut Option<Launch>>, unwanted: Option<&AccessToken>) -> Step {
        let now = self.context.clock.now();
        let mut guard = self.lock();
        // Stored by whoever had the lock before: all those who came meanwhile would store it again, and make others come.
        if let (None, Some(token)) = (unwanted, self.current()) {
            return Step::Serve(token);
        }
        let state = &mut *guard;
        state.flight.take_if(|flight| now.reached(flight.deadline));
        let Some(held) = state.held.as_ref().filter(|held| !now.reached(held.expires_at)) else {
            return match self.renew(state, now, pad) {
                Renewal::Flying(flight) => Step::Join(flight),
                Renewal::Soon(until) => Step::WaitUntil(until),
                Renewal::Held(hold) => hold.wait_or_fail(now),
                Renewal::NoRuntime => Step::Fail(runtime::missing()),
            };
        };
        let token = held.token.clone();
        let (expires_at, renew_at, suspicion) = (held.expires_at, held.renew_at, held.suspicion);
        let serve = |until: Moment| {
            self.lend(&token, until.min(expires_at));
            Step::Serve(token.clone())
        };
        if unwanted.is_some_and(|unwanted| token.is_same_as(unwanted)) {
            if !now.reached(renew_at) {
                return Step::Fail(not_renewed());
            }
            return match self.renew(state, now, pad) {
                Renewal::Flying(flight) => Step::Join(flight),
                Renewal::Soon(until) => Step::WaitUntil(until),
                Renewal::Held(hold) => Step::Fail(hold.error(now)),
                Renewal::NoRuntime => Step::Fail(runtime::missing()),
            };
        }
        if !now.reached(renew_at) {
            return serve(renew_at);
        }
        match (self.renew(state, now, pad), suspicion) {
            (Renewal::Flying(flight), Some(Suspicion::Awaited(until))) if !now.reached(until) => {
                Step::Join(Joined { deadline: flight.deadline.min(until), ..flight })
            }
            (Renewal::Soon(until), Some(Suspicion::Awaited(_))) => Step::WaitUntil(until),
            (Renewal::Flying(flight), _) => serve(flight.deadline),
            (Renewal::Soon(until), _) => serve(until),
            (Renewal::Held(hold), _) => serve(hold.until),
            // The next caller may be in a runtime.
            (Renewal::NoRuntime, _) => Step::Serve(token),
        }
    }

    /// Joins the flight, starts one, or says why not. `pad` is where a flight can start from.
    fn renew(self: &Arc<Self>, state: &mut State, now: Moment, pad: Option<&mut Option<Launch>>) -> Renewal {
        if let Some(flight) = &state.flight {
            return Renewal::Flying(flight.join());
        }
        let Some(pad) = pad else { return Renewal::NoRuntime };
        if let Some(hold) = self.hold(state, now) {
            return Renewal::Held(hold);
        }
        if let Some(next) = state.last_start.map(|start| start.after(renewal::BETWEEN_REQUESTS))
            && !now.reached(next)
        {
            return Renewal::Soon(next);
        }
        if state.hold.as_ref().is_none_or(|hold| now.reached(hold.until.after(renewal::FORGET_FAILURES))) {
            state.failures = 0;
        }
        let deadline = self.deadline(now);
        let rejected = state.held.as_ref().filter(|held| held.suspicion.is_some()).map(|held| held.token.clone());
        state.flights += 1;
        state.last_start = Some(now);
        let (launch, flight, task) = Launch::new(self, state.flights, deadline, rejected, state.failures == 0);
        let joined = flight.join();
        (state.flight, state.task) = (Some(flight), task);
        *pad = Some(launch);
        Renewal::Flying(joined)
    }

    /// The key's own hold, or that of the endpoint, whichever is longer.
    fn hold(&self, state: &State, now: Moment) -> Option<Hold> {
        let own = state.hold.clone().filter(|hold| !now.reached(hold.until));
        [own, self.context.endpoint.hold(now)].into_iter().flatten().max_by_key(|hold| now.until(hold.until))
    }

    fn deadline(&self, now: Moment) -> Moment {
        now.after(self.context.time_limit() + renewal::FLIGHT_GRACE)
    }

    /// Whether it remembers something that another slot for the same token would have to learn again at the endpoint's cost.
    pub(super) fn is_busy(&self) -> bool {
        let now = self.context.clock.now();
        let state = self.lock();
        let flying = state.flight.as_ref().is_some_and(|flight| !now.reached(flight.deadline));
        let held = state.hold.as_ref().is_some_and(|hold| !now.reached(hold.until));
        flying || held || state.streaks.values().any(|streak| !now.reached(streak.not_before))
    }

    pub(super) fn status(&self) -> Status {
        let now = self.context.clock.now();
        let state = self.lock();
        let held = state.held.as_ref().filter(|held| !now.reached(held.expires_at));
        let hold = self.hold(&state, now);
        Status {
            usable_for: held.map(|held| now.until(held.expires_at)),
            last_error: state.hold.as_ref().or(hold.as_ref()).map(|hold| hold.error.clone()),
            held_back_for: hold.map(|hold| now.until(hold.until)),
        }
    }

    /// When the next token request is due, if it is not started by then.
    pub(super) fn due(&self) -> Moment {
        let now = self.context.clock.now();
        let state = self.lock();
        match (&state.flight, self.hold(&state, now), &state.held) {
            (Some(flight), ..) => flight.deadline,
            (None, Some(hold), _) => hold.until,
            (None, None, Some(held)) => held.renew_at,
            (None, None, None) => now,
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
        if now.reached(held.expires_at) || held.suspicion.is_some() {
            return true;
        }
        let age = held.issued_at.until(now);
        // Beyond the bound, origins share one streak.
        let origin = if state.streaks.len() < MOST_STREAKS || state.streaks.contains_key(origin) { origin } else { "" };
        let streak =
            state.streaks.entry(origin.to_owned()).or_insert(Streak { count: 0, not_before: now, mentioned: false });
        if !now.reached(streak.not_before) {
            let wait = now.until(streak.not_before);
            let mentioned = std::mem::replace(&mut streak.mentioned, true);
            drop(guard);
            if !mentioned {
                self.context.report.rejected_again(&self.request, origin, wait);
            }
            return false;
        }
        streak.count = streak.count.saturating_add(1);
        streak.not_before = now.after(renewal::rejection_interval(streak.count));
        streak.mentioned = false;
        let again = streak.count > 1;
        held.suspicion = Some(match rejection {
            Rejection::Explicit => Suspicion::Awaited(now.after(renewal::SUSPECT_WAIT)),
            Rejection::Bare => Suspicion::Served,
        });
        held.renew_at = now;
        self.end_leases();
        drop(guard);
        self.context.report.rejected(&self.request, origin, age, again);
        true
    }

    /// An API accepted the token that replaced a rejected one.
    pub(super) fn accepted(&self, origin: &str) {
        self.lock().streaks.remove(origin);
    }

    /// An exchange begins. `None`: somebody else has taken over.
    pub(super) fn begin(&self, id: u64) -> Option<Moment> {
        let now = self.context.clock.now();
        let mut state = self.lock();
        let flight = state.flight.as_mut().filter(|flight| flight.id == id)?;
        flight.deadline = self.deadline(now);
        state.last_start = Some(now);
        Some(now)
    }

    /// An exchange failed, and the same flight tries again after `wait`.
    pub(super) fn failed_attempt(&self, id: u64, error: &Error, wait: Duration) {
        let now = self.context.clock.now();
        if let Some(flight) = self.lock().flight.as_mut().filter(|flight| flight.id == id) {
            flight.deadline = self.deadline(now.after(wait));
        }
        self.context.endpoint.failed(error, now);
        if error.retry_after().is_some() {
            self.context.endpoint.hold_back(&Hold { until: now.after(wait), error: error.clone() }, now);
        }
    }

    /// The client that was refused has other credentials: the next caller asks again.
    pub(super) fn release(&self) {
        let now = self.context.clock.now();
        let mut state = self.lock();
        let asked_at = state.last_start.unwrap_or(now);
        if self.context.endpoint.release(asked_at, now)
            && let Some(hold) = state.hold.as_mut().filter(|hold| hold.error.retry_after().is_none())
        {
            hold.until = now;
            self.end_leases();
        }
    }

    /// A flight ends without an outcome of its own.
    pub(super) fn abandon(&self, id: u64) {
        let mut state = self.lock();
        if state.flight.take_if(|flight| flight.id == id).is_some() {
            self.end_leases();
        }
    }

    /// The end of a flight. `started_at` is when the token was asked for.
    pub(super) fn finish(&self, id: u64, outcome: &Outcome, started_at: Moment) {
        let now = self.context.clock.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.flight.take_if(|flight| flight.id == id).is_none() {
            return;
        }
        let cause = match &state.held {
            None => Cause::Cold,
            Some(held) if now.reached(held.expires_at) => Cause::Expired,
            Some(held) if held.suspicion.is_some() => Cause::Rejected,
            Some(_) => Cause::Aging,
        };
        let ended = match outcome {
            Ok(token) => self.succeeded(state, token, started_at, now),
            Err(error) => {
                self.context.endpoint.failed(error, now);
                self.failed(state, error, now)
            }
        };
        drop(guard);
        match ended {
            Ended::Obtained { token, until } => self.context.report.obtained(&self.request, cause, &token, until),
            Ended::Failed { error, remaining, wait } => {
                self.context.report.failed(&self.request, cause, &error, remaining, wait);
            }
        }
    }

    fn succeeded(&self, state: &mut State, token: &AccessToken, started_at: Moment, now: Moment) -> Ended {
        self.context.endpoint.succeeded();
        let life = Life::new(token, &self.context.settings, self.jitter);
        let expires_at = started_at.after(life.expires_after);
        let renew_at = started_at.after(life.renew_after);
        let usable = state.held.as_mut().filter(|held| !now.reached(held.expires_at));
        if usable.as_ref().is_some_and(|held| held.suspicion.is_none()) && now.reached(expires_at) {
            return self.failed(state, &dead_on_arrival(), now);
        }
        if let Some(held) = usable.filter(|held| held.token.is_same_as(token)) {
            if held.suspicion.take().is_some() {
                // Only another rejection asks again, and rejections are bounded.
                held.renew_at = held.ages_at;
                return self.failed(state, &same_token("that an API rejected"), now);
            }
            // A server that hands out what it has in store: fine as long as it gains time.
            if !expires_at.reached(held.expires_at.after(life.lifetime / 10)) {
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
        self.lend(token, renew_at.min(expires_at));
        Ended::Obtained { token: token.clone(), until: expires_at.wall() }
    }

    fn failed(&self, state: &mut State, error: &Error, now: Moment) -> Ended {
        state.failures = state.failures.saturating_add(1);
        let remaining = state.held.as_ref().map(|held| now.until(held.expires_at)).unwrap_or_default();
        let wait = renewal::hold_back(error, state.failures, remaining, fastrand::f64());
        let hold = Hold { until: now.after(wait), error: error.clone() };
        if error.is_invalid_client() || error.retry_after().is_some() {
            self.context.endpoint.hold_back(&hold, now);
        }
        state.hold = Some(hold);
        // It ran until the flight's deadline; the next attempt may be due before.
        self.end_leases();
        if let Some(held) = &mut state.held {
            held.suspicion = held.suspicion.map(|_| Suspicion::Served);
        }
        Ended::Failed { error: error.clone(), remaining, wait }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// What a flight came to; told when no lock is held, since a subscriber may send requests of its own.
enum Ended {
    Obtained { token: AccessToken, until: SystemTime },
    Failed { error: Error, remaining: Duration, wait: Duration },
}

impl Hold {
    fn wait_or_fail(&self, now: Moment) -> Step {
        if now.until(self.until) < renewal::BETWEEN_REQUESTS && self.error.retry_after().is_none() {
            Step::WaitUntil(self.until)
        } else {
            Step::Fail(self.error(now))
        }
    }

    fn error(&self, now: Moment) -> Error {
        self.error.held_back(now.until(self.until))
    }
}

fn same_token(which: &str) -> Error {
    Error::new(ErrorKind::InvalidResponse, format!("the server issued the same token again, {which}"))
}

fn dead_on_arrival() -> Error {
    Error::new(ErrorKind::InvalidResponse, "the server issued a token that had expired when it came")
}

fn not_renewed() -> Error {
    Error::new(ErrorKind::InvalidResponse, "the rejected token was not replaced")
}
