//! Runs a token request in a task of its own, detached from the caller that started it.

use std::{
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    backoff,
    clock::Moment,
    context::Context,
    endpoint::Turn,
    flight::TokenResult,
    sharing::Visit,
    slot::{Departure, FLIGHT_GRACE, Slot, Step},
};
use crate::{
    error::{Error, ErrorKind},
    report::{Exchange, log, span::Span},
    runtime::{self, Panicked},
    token::{AccessToken, TokenNumber},
    token_request::TokenRequest,
};

tokio::task_local! {
    /// The slot whose source runs in this task.
    static SOURCE_OF: Weak<Slot>;
}

/// Whether a caller in this task would wait for itself: it is the source that the slot's own flight has called.
pub(super) fn is_source_of(slot: &Arc<Slot>) -> bool {
    SOURCE_OF.try_with(|own| std::ptr::eq(own.as_ptr(), Arc::as_ptr(slot))).unwrap_or(false)
}

/// What a caller does now; starts what is due on the caller's runtime. A caller whose token was rejected does not want
/// the same token again.
pub(super) fn step(slot: &Arc<Slot>, unwanted: Option<TokenNumber>) -> Step {
    let runtime = runtime::with_timer();
    let (step, departure) = slot.next(unwanted, runtime.is_some());
    // Not under the slot's lock: a runtime that has ended drops the task here, and its guard takes that lock.
    if let (Some(departure), Some(runtime)) = (departure, runtime) {
        start(slot, departure, &runtime);
    }
    step
}

/// The guard is complete before the task exists.
fn start(slot: &Arc<Slot>, departure: Departure, runtime: &Handle) {
    let Departure { id, outcome, task, rejected, may_request, is_first } = departure;
    let flying = Flying {
        guard: Guard { slot: Arc::downgrade(slot), id, outcome },
        context: Arc::clone(slot.context()),
        request: slot.request().clone(),
        rejected,
        may_request,
        is_first,
        caller: Span::current(),
    };
    let _ = task.set(runtime.spawn(flying.fly()).abort_handle());
}

pub(super) struct Flying {
    pub guard: Guard,
    pub context: Arc<Context>,
    pub request: TokenRequest,
    pub rejected: Option<AccessToken>,
    pub may_request: bool,
    pub is_first: bool,
    caller: Span,
}

/// The result of a flight's last exchange.
struct Landing {
    outcome: TokenResult,
    started_at: Moment,
    exchange: Exchange,
}

impl Flying {
    async fn fly(self) {
        if let Some((flying, visit)) = self.ask_store().await {
            flying.request(visit).await;
        }
    }

    async fn request(mut self, visit: Option<Visit>) {
        let context = Arc::clone(&self.context);
        let limit = context.time_limit();
        if let Some(token) = self.rejected.take() {
            let _ = self.call(limit, || context.source.rejected(&self.request, &token)).await;
        }
        let turn = match context.endpoint.turn(&context.clock, limit + FLIGHT_GRACE, self.is_first).await {
            Ok(turn) => turn,
            Err(error) => return self.guard.publish(Err(error)),
        };
        let Some(Landing { outcome, started_at, exchange }) = self.exchanges(&turn).await else {
            return;
        };
        let (slot, id) = (self.guard.slot.clone(), self.guard.id);
        let landed = exchange.span.within(|| slot.upgrade()?.finish(id, outcome.clone(), started_at));
        drop(exchange);
        // Only after the slot knows the outcome: it may hold back the next exchange.
        drop(turn);
        self.tell_store(visit, &outcome, landed.as_ref(), started_at).await;
        // Without an outcome, callers that wait see that the guard is gone, and try again.
        if let Some(landed) = landed {
            self.guard.publish(landed);
        }
        if outcome.is_err_and(|error| error.may_be_credentials()) {
            await_credentials(&slot, &context).await;
        }
    }

    /// Requests a token, and again after a failure that may pass in a moment. `None`: another flight has taken over.
    async fn exchanges(&self, turn: &Turn<'_>) -> Option<Landing> {
        let (context, time) = (&self.context, self.context.time_limit() + FLIGHT_GRACE);
        let (mut tried, mut waited) = (0, Duration::ZERO);
        loop {
            let started_at = self.guard.slot.upgrade()?.begin(self.guard.id)?;
            tried += 1;
            let (outcome, exchange) = self.exchange(tried).await;
            let landing = Landing { outcome, started_at, exchange };
            let now = context.clock.now();
            let Err(error) = &landing.outcome else {
                turn.succeeded(started_at, now);
                return Some(landing);
            };
            let source = context.report.source();
            if turn.failed(&self.request, error, source, now) {
                log::about_all_tokens(source, error);
            }
            let wait = backoff::quick_retry(error, tried, waited, fastrand::f64());
            let Some(wait) = wait.filter(|_| turn.allows_quick_retry()) else { return Some(landing) };
            self.guard.slot.upgrade()?.pause(self.guard.id, wait);
            landing.exchange.span.within(|| log::tried_again(source, &self.request, error, wait));
            turn.extend(now.after(wait + time));
            sleep(wait).await;
            waited += wait;
            // Other tokens may have shown in the meantime that the endpoint is in trouble.
            if context.endpoint.is_to_be_left_alone(context.clock.now()) {
                return Some(landing);
            }
        }
    }

    async fn exchange(&self, attempt: usize) -> (TokenResult, Exchange) {
        let context = &self.context;
        let mut exchange = context.report.exchange(&self.request, attempt, &self.caller);
        let call = self.call(context.time_limit(), || context.source.token(&self.request));
        let call = context.report.unless_slow(&self.request, call);
        let outcome = exchange.span.around(call).await.and_then(|outcome| outcome);
        let outcome = outcome.map(|token| token.with_request(self.request.clone()));
        exchange.ended(&outcome);
        (outcome, exchange)
    }

    /// Calls the source, which must not wait for this flight.
    pub(super) fn call<F: Future>(
        &self,
        limit: Duration,
        call: impl FnOnce() -> F,
    ) -> impl Future<Output = Result<F::Output, Error>> {
        SOURCE_OF.scope(self.guard.slot.clone(), call_source(limit, call))
    }
}

/// Calls the source within its time limit. A panic in it becomes an error.
async fn call_source<F: Future>(limit: Duration, call: impl FnOnce() -> F) -> Result<F::Output, Error> {
    match timeout(limit, runtime::caught(call)).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(Panicked)) => Err(Error::new(ErrorKind::Panicked, "the token source panicked")),
        Err(_) => Err(Error::new(ErrorKind::Timeout, format!("the token source returned no token within {limit:?}"))),
    }
}

/// While the client is held back because the server refused it: waits for other credentials.
async fn await_credentials(slot: &Weak<Slot>, context: &Context) {
    let Some(due) = slot.upgrade().and_then(|slot| slot.due()) else { return };
    let wait = context.clock.now().until(due);
    if call_source(wait, || context.source.credentials_changed()).await.is_ok()
        && let Some(slot) = slot.upgrade()
    {
        slot.credentials_changed();
    }
}

/// Reports for a flight. When it is dropped, the flight has ended: with an outcome, or because its task has (its
/// runtime ended), and then one of the callers that wait takes over.
pub(super) struct Guard {
    pub slot: Weak<Slot>,
    pub id: u64,
    pub outcome: watch::Sender<Option<TokenResult>>,
}

impl Guard {
    /// The callers learn of the outcome.
    pub(super) fn publish(self, outcome: TokenResult) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.upgrade() {
            slot.abandon(self.id);
        }
    }
}
