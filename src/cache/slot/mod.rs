//! One token's life: the only place with state.
//!
//! Every transition happens under one ordinary mutex that is never held across an await. Requests read a
//! [lease](super::lease) instead.

mod departure;
mod landing;
mod lending;
mod rejection;
mod remaining;
#[cfg(feature = "store")]
mod sharing;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use tokio::task::AbortHandle;

use self::departure::Renewal;
pub(super) use self::{departure::Departure, remaining::Remaining};
use super::{
    backoff::Hold,
    clock::Moment,
    context::Context,
    flight::{AbortOnDrop, Flight},
    renewal::Life,
    status::{CacheStatus, ObtainedFrom},
    streaks::Streaks,
};
use crate::{
    error::{Error, ErrorKind},
    fingerprint::Fingerprint,
    lock::lock,
    runtime,
    token::{AccessToken, TokenNumber},
    token_request::TokenRequest,
};

/// Added to the source's own time limit: a flight that has not ended by then is in a runtime that nobody drives.
pub(super) const FLIGHT_GRACE: Duration = Duration::from_millis(500);
/// How long callers wait for the replacement of a rejected token, once it is requested. After that they get the
/// rejected token: other APIs may still accept it.
pub(super) const SUSPECT_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Slot {
    context: Arc<Context>,
    request: TokenRequest,
    /// Stable for the slot, so that the instances of a fleet renew at different times.
    jitter: f64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    issued: Option<Issued>,
    flight: Option<Flight>,
    flights: u64,
    /// The task of the last flight. It is aborted when the slot is dropped or another flight starts.
    task: AbortOnDrop,
    /// The task that keeps the token warm.
    warm: Option<AbortOnDrop>,
    last_start: Option<Moment>,
    /// When a flight last looked into the store without the permission to request a token.
    last_look: Option<Moment>,
    /// Failures in a row.
    failures: u32,
    hold: Option<Hold>,
    /// How often in a row the server has repeated a token that has expired.
    repeats: u32,
    streaks: Streaks,
}

/// The last token that the source returned.
#[derive(Clone)]
struct Issued {
    token: AccessToken,
    /// The origins that have accepted it and not rejected it since, as bits. None has a streak of rejections.
    accepted_by: u64,
    issued_at: Moment,
    /// When its renewal is due because of its age.
    ages_at: Moment,
    /// When its renewal is due: because of its age, or because it was rejected.
    renew_at: Moment,
    /// When callers no longer get it.
    expires_at: Moment,
    /// When its lifetime ends, without the leeway.
    ends_at: Moment,
    suspicion: Option<Suspicion>,
    from: ObtainedFrom,
}

/// The token was rejected before it expired.
#[derive(Clone, Copy)]
enum Suspicion {
    /// Callers wait for the renewal. `None`: it has not been requested yet; else they wait until that moment.
    Awaited(Option<Moment>),
    /// Callers still get it.
    Served,
}

/// What a caller does now.
pub(super) enum Step {
    Serve(AccessToken),
    Join(Flight),
    WaitUntil(Moment),
    Fail(Error),
}

impl Slot {
    pub(super) fn new(context: Arc<Context>, request: TokenRequest) -> Arc<Self> {
        Arc::new(Self { context, request, jitter: fastrand::f64(), state: Mutex::default() })
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn request(&self) -> &TokenRequest {
        &self.request
    }

    /// By which it is found, and which its leases have.
    #[inline]
    pub(super) fn key(&self) -> Fingerprint {
        self.request.fingerprint()
    }

    /// The token that callers get after its renewal has failed.
    pub(super) fn usable(&self, unwanted: Option<TokenNumber>) -> Option<AccessToken> {
        let (now, state) = self.locked();
        let token = &state.usable(now)?.token;
        (unwanted != Some(token.number())).then(|| token.clone())
    }

    /// What a caller does now, and the flight that it starts; it starts none unless it `can_start` one. A caller whose
    /// token was rejected does not want the same token again.
    pub(super) fn next(&self, unwanted: Option<TokenNumber>, can_start: bool) -> (Step, Option<Departure>) {
        let (now, mut state) = self.locked();
        state.flight.take_if(|flight| now.reached(flight.deadline));
        let issued = state.usable(now);
        let due = issued.map_or(now, |issued| issued.renew_at);
        let awaited = issued.and_then(|issued| issued.awaited_until(now));
        let is_rejected = issued.is_some_and(|issued| unwanted == Some(issued.token.number()));
        // What the caller can use during the renewal.
        let usable = issued.filter(|_| !is_rejected).cloned();
        let serve = |issued: &Issued, until: Moment| Step::Serve(self.lend_until(issued, until));
        if let Some(issued) = usable.as_ref().filter(|_| !now.reached(due)) {
            return (serve(issued, due), None);
        }
        let (renewal, departure) = match self.renewal(&state, now, due, can_start) {
            None => self.depart(&mut state, now),
            Some(renewal) if can_start && usable.is_none() => self.or_look(&mut state, now, unwanted, renewal),
            Some(renewal) => (renewal, None),
        };
        let step = match (renewal, usable, awaited) {
            (Renewal::UnderWay(flight), None, _) => Step::Join(flight),
            (Renewal::UnderWay(flight), Some(_), Some(until)) => Step::Join(flight.awaited_until(until)),
            (Renewal::UnderWay(flight), Some(issued), None) => serve(&issued, flight.deadline),
            (Renewal::Soon(until), None, _) | (Renewal::Soon(until), _, Some(_)) => Step::WaitUntil(until),
            (Renewal::Soon(until), Some(issued), None) => serve(&issued, until),
            (Renewal::HeldBack(hold), Some(issued), _) => serve(&issued, hold.until),
            (Renewal::HeldBack(hold), None, _) if hold.is_short(now) && !is_rejected => Step::WaitUntil(hold.until),
            (Renewal::HeldBack(hold), None, _) => Step::Fail(hold.error(now)),
            (Renewal::NotDue, ..) => Step::Fail(not_renewed()),
            // No lease: the next caller may be in a runtime.
            (Renewal::NoRuntime, Some(issued), _) => Step::Serve(issued.token),
            (Renewal::NoRuntime, None, _) => Step::Fail(runtime::missing()),
        };
        (step, departure)
    }

    /// This token's own hold, or that of all tokens, whichever is longer.
    fn hold(&self, state: &State, now: Moment) -> Option<Hold> {
        let own = state.hold.clone().filter(|hold| !now.reached(hold.until));
        [own, self.context.endpoint.hold(now)].into_iter().flatten().max_by_key(|hold| now.until(hold.until))
    }

    fn deadline(&self, now: Moment) -> Moment {
        now.after(self.context.time_limit() + FLIGHT_GRACE)
    }

    pub(super) fn is_flying(&self) -> bool {
        let (now, state) = self.locked();
        state.is_flying(now)
    }

    /// Whether it remembers something that a new slot for the same token could only learn by another token request.
    pub(super) fn holds_back(&self) -> bool {
        let (now, state) = self.locked();
        state.hold.as_ref().is_some_and(|hold| !now.reached(hold.until)) || state.streaks.hold_back(now)
    }

    pub(super) fn status(&self) -> CacheStatus {
        let (now, state) = self.locked();
        let issued = state.usable(now);
        let hold = self.hold(&state, now);
        CacheStatus {
            obtained_from: issued.map(|issued| issued.from),
            usable_for: issued.map(|issued| now.until(issued.expires_at)),
            last_error: state.hold.as_ref().or(hold.as_ref()).map(|hold| hold.error.clone()),
            held_back_for: hold.map(|hold| now.until(hold.until)),
        }
    }

    /// When the next token request is due; `None`: it is under way.
    pub(super) fn due(&self) -> Option<Moment> {
        let (now, state) = self.locked();
        if state.is_flying(now) {
            return None;
        }
        let hold = self.hold(&state, now).map(|hold| hold.until);
        Some(hold.or(state.issued.as_ref().map(|issued| issued.renew_at)).unwrap_or(now))
    }

    /// A flight starts an exchange. `None`: another flight has taken over.
    pub(super) fn begin(&self, id: u64) -> Option<Moment> {
        let (now, mut state) = self.locked();
        state.flight_of(id)?.deadline = self.deadline(now);
        state.last_start = Some(now);
        if let Some(Suspicion::Awaited(until)) = state.issued.as_mut().and_then(|issued| issued.suspicion.as_mut()) {
            until.get_or_insert(now.after(SUSPECT_WAIT));
        }
        Some(now)
    }

    /// The flight tries again after `wait`.
    pub(super) fn pause(&self, id: u64, wait: Duration) {
        let (now, mut state) = self.locked();
        if let Some(flight) = state.flight_of(id) {
            flight.deadline = self.deadline(now.after(wait));
        }
    }

    /// Where to store the handle of the task that keeps the token warm. `None`: there is one already.
    pub(super) fn warm_up(&self) -> Option<Arc<OnceLock<AbortHandle>>> {
        let mut state = self.lock();
        if state.warm.is_some() {
            return None;
        }
        Some(state.warm.insert(AbortOnDrop::default()).handle())
    }

    /// The task that kept the token warm has ended. Ends the lease, so that the next call comes here and starts
    /// another.
    pub(super) fn cool_down(&self) {
        let mut state = self.lock();
        state.warm = None;
        self.end_leases();
    }

    /// A flight ends without an outcome of its own, unless it has ended before.
    pub(super) fn abandon(&self, id: u64) {
        let mut state = self.lock();
        if state.land(id) {
            self.end_leases();
        }
    }

    fn now(&self) -> Moment {
        self.context.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn locked(&self) -> (Moment, MutexGuard<'_, State>) {
        (self.now(), self.lock())
    }
}

impl State {
    /// The token that callers can still get.
    fn usable(&self, now: Moment) -> Option<&Issued> {
        self.issued.as_ref().filter(|issued| !now.reached(issued.expires_at))
    }

    /// The last token, if it is this one.
    fn issued_as(&mut self, token: TokenNumber) -> Option<&mut Issued> {
        self.issued.as_mut().filter(|issued| issued.token.number() == token)
    }

    fn is_flying(&self, now: Moment) -> bool {
        self.flight.as_ref().is_some_and(|flight| !now.reached(flight.deadline))
    }

    /// `None`: the flight has ended, or another has taken over.
    fn flight_of(&mut self, id: u64) -> Option<&mut Flight> {
        self.flight.as_mut().filter(|flight| flight.id == id)
    }

    /// Ends the flight. `false`: it has ended before, or another has taken over.
    fn land(&mut self, id: u64) -> bool {
        self.flight.take_if(|flight| flight.id == id).is_some()
    }
}

impl Issued {
    /// `after` says when so much time since its token request has passed.
    fn new(
        token: &AccessToken,
        life: &Life,
        issued_at: Moment,
        after: impl Fn(Duration) -> Moment,
        from: ObtainedFrom,
    ) -> Self {
        let renew_at = after(life.renew_after);
        Self {
            token: token.clone(),
            accepted_by: 0,
            issued_at,
            ages_at: renew_at,
            renew_at,
            expires_at: after(life.expires_after),
            ends_at: after(life.lifetime),
            suspicion: None,
            from,
        }
    }

    /// Until when callers wait for its replacement, if they do.
    fn awaited_until(&self, now: Moment) -> Option<Moment> {
        match self.suspicion? {
            // Until the replacement is requested, each caller counts its wait anew.
            Suspicion::Awaited(until) => Some(until.unwrap_or(now.after(SUSPECT_WAIT))).filter(|at| !now.reached(*at)),
            Suspicion::Served => None,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        self.context.counted(&mut state.streaks, |streaks| *streaks = Streaks::default());
        self.end_leases();
    }
}

fn not_renewed() -> Error {
    Error::new(ErrorKind::InvalidResponse, "the rejected token was not replaced")
}
