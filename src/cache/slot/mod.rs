//! One token's life: the only place with state.
//!
//! A caller asks for the [next] step: it gets the token, joins the token request in [flight], waits or fails. How the
//! request ended ([landing]) or that an API rejected the token ([rejection]) changes what the next caller does.
//!
//! Every transition happens under one ordinary mutex that is never held across an await. Requests read a
//! [lease](super::lease) instead.

mod flight;
mod landing;
mod lending;
mod next;
mod rejection;
#[cfg(feature = "store")]
mod store;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use self::flight::Flight;
pub(super) use self::{
    flight::{FlightTask, TokenResult},
    next::Step,
};
use super::{
    backoff::Hold,
    clock::Moment,
    context::Context,
    renewal::Life,
    status::{CacheStatus, ObtainedFrom},
    streaks::Streaks,
};
use crate::{
    error::{Error, ErrorKind},
    fingerprint::Fingerprint,
    lock::lock,
    runtime::{AbortOnDrop, TaskHandle},
    token::{AccessToken, TokenNumber},
    token_request::TokenRequest,
};

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
struct Issued {
    token: AccessToken,
    /// The origins that have accepted it and not rejected it since, as bits. None has a streak of rejections.
    accepted_by: u64,
    issued_at: Moment,
    /// When its renewal is due: because of its age, or earlier because it was rejected.
    renew_at: Moment,
    /// When callers no longer get it.
    expires_at: Moment,
    suspicion: Option<Suspicion>,
    from: ObtainedFrom,
}

/// The token was rejected before it expired.
#[derive(Clone, Copy)]
enum Suspicion {
    /// Callers wait for the renewal, until five seconds after this moment. `None`: after the flight's first exchange
    /// began.
    Awaited(Option<Moment>),
    /// Callers still get it.
    Served,
}

impl Slot {
    pub(super) fn new(context: Arc<Context>, request: TokenRequest) -> Arc<Self> {
        Arc::new(Self { context, request, jitter: fastrand::f64(), state: Mutex::default() })
    }

    /// By which it is found, and which its leases have.
    #[inline]
    pub(super) fn key(&self) -> Fingerprint {
        self.request.fingerprint()
    }

    /// The token that callers get after its renewal has failed.
    pub(super) fn usable(&self, unwanted: Option<TokenNumber>) -> Option<AccessToken> {
        let (now, state) = self.locked();
        Some(state.usable_but(unwanted, now)?.token.clone())
    }

    /// This token's own hold, or that of all tokens, whichever is longer.
    fn hold(&self, state: &State, now: Moment) -> Option<Hold> {
        let own = state.hold.clone().filter(|hold| !now.reached(hold.until));
        [own, self.context.endpoint.hold(now)].into_iter().flatten().max_by_key(|hold| now.until(hold.until))
    }

    /// Whether it knows something that a new slot for the same token could only learn by another token request, or is
    /// about to.
    pub(super) fn knows_more(&self) -> bool {
        let (now, state) = self.locked();
        let is_held_back = state.hold.as_ref().is_some_and(|hold| !now.reached(hold.until));
        is_held_back || state.streaks.hold_back(now) || state.is_flying(now)
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

    /// Whether `token` can be used for `time` and is not due; if not so, it is due from now on. `since` is when the
    /// caller came.
    ///
    /// # Errors
    ///
    /// If even a token that was just requested lasts for less.
    pub(super) fn lasts(&self, token: &AccessToken, time: Duration, since: Moment) -> Result<bool, Error> {
        let (now, mut state) = self.locked();
        let Some(issued) = state.issued_as(token.number()) else { return Ok(false) };
        let (left, is_new) = (now.until(issued.expires_at), issued.issued_at.reached(since));
        if is_new && left < time {
            return Err(too_short(left, time));
        }
        let lasts = left >= time && (is_new || !now.reached(issued.renew_at));
        if !lasts {
            issued.renew_at = now;
            self.end_leases();
        }
        Ok(lasts)
    }

    /// Where to store the handle of the task that keeps the token warm. `None`: there is one already.
    pub(super) fn warm_up(&self) -> Option<TaskHandle> {
        let mut state = self.lock();
        state.warm.is_none().then(|| state.warm.insert(AbortOnDrop::default()).handle())
    }

    /// The task that kept the token warm has ended. Ends the lease, so that the next call comes here and starts
    /// another.
    pub(super) fn cool_down(&self) {
        let mut state = self.lock();
        state.warm = None;
        self.end_leases();
    }

    fn issued(&self, token: AccessToken, issued_at: Moment, from: ObtainedFrom) -> Issued {
        let life = self.life(&token);
        let (renew_at, expires_at) = (issued_at.after(life.renew_after), issued_at.after(life.expires_after));
        Issued { token, accepted_by: 0, issued_at, renew_at, expires_at, suspicion: None, from }
    }

    fn life(&self, token: &AccessToken) -> Life {
        Life::new(token, &self.context.settings, self.jitter)
    }

    pub(super) fn now(&self) -> Moment {
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

    /// Unless it is the one that the caller does not want.
    fn usable_but(&self, unwanted: Option<TokenNumber>, now: Moment) -> Option<&Issued> {
        self.usable(now).filter(|issued| unwanted != Some(issued.token.number()))
    }

    /// The last token, if it is this one.
    fn issued_as(&mut self, token: TokenNumber) -> Option<&mut Issued> {
        self.issued.as_mut().filter(|issued| issued.token.number() == token)
    }

    fn is_flying(&self, now: Moment) -> bool {
        self.flight.as_ref().is_some_and(|flight| !now.reached(flight.deadline()))
    }

    /// Until when callers wait for the replacement of this token, if they do.
    fn awaited_until(&self, issued: &Issued, now: Moment) -> Option<Moment> {
        let Suspicion::Awaited(requested_at) = issued.suspicion? else { return None };
        let requested_at = requested_at.or_else(|| self.flight.as_ref()?.first_start());
        // Until the replacement is requested, each caller counts its wait anew.
        Some(requested_at.unwrap_or(now).after(SUSPECT_WAIT)).filter(|until| !now.reached(*until))
    }

    /// Why a token is requested, as a label of metrics.
    fn cause(&self, now: Moment) -> &'static str {
        match &self.issued {
            None => "cold",
            Some(issued) if now.reached(issued.expires_at) => "expired",
            Some(issued) if issued.suspicion.is_some() => "rejected",
            Some(_) => "aging",
        }
    }

    /// Ends the flight. `false`: it has ended before, or another has taken over.
    fn land(&mut self, flight: &Flight) -> bool {
        self.take_flight(|current| current.is(flight))
    }

    fn take_flight(&mut self, is: impl FnOnce(&Flight) -> bool) -> bool {
        let Some(flight) = self.flight.take_if(|flight| is(flight)) else { return false };
        self.last_start = flight.last_start().or(self.last_start);
        if let Some(Issued { suspicion: Some(Suspicion::Awaited(requested_at)), .. }) = &mut self.issued {
            *requested_at = requested_at.or(flight.first_start());
        }
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.end_leases();
    }
}

fn too_short(left: Duration, time: Duration) -> Error {
    let (left, time) = (left.as_secs(), time.as_secs());
    Error::new(ErrorKind::Configuration, format!("a new token can be used for {left} s, and {time} s are wanted"))
}
