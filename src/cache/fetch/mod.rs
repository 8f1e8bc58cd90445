//! Runs a token request in a task of its own, detached from the caller that started it.

#[cfg(feature = "store")]
mod with_store;
#[cfg(not(feature = "store"))]
mod without_store;

use std::{
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{sleep, timeout};

#[cfg(feature = "store")]
use self::with_store::Visit;
#[cfg(not(feature = "store"))]
use self::without_store::Visit;
use super::{
    backoff,
    endpoint::Turn,
    slot::{FlightTask, Slot, Step, TokenResult},
};
use crate::{
    error::{Error, ErrorKind},
    report::{Exchange, log, span::Span},
    runtime::{self, Panicked},
    token::TokenNumber,
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
    let (step, task) = slot.next(unwanted, runtime.is_some());
    // Not under the slot's lock: a runtime that has ended drops the task here, which takes that lock.
    if let (Some(mut task), Some(runtime)) = (task, runtime) {
        task.caller = Some(Span::current());
        let handle = Arc::clone(&task.handle);
        let _ = handle.set(runtime.spawn(task.run()).abort_handle());
    }
    step
}

impl FlightTask {
    async fn run(self) {
        if let Some((task, visit)) = self.ask_store().await {
            task.request(visit).await;
        }
    }

    async fn request(mut self, visit: Option<Visit>) {
        let context = &self.context;
        if let Some(token) = &self.rejected {
            let _ = self.call(context.time_limit(), || context.source.rejected(&self.request, token)).await;
        }
        let mut turn = match context.endpoint.turn(context.flight_limit(), self.is_first).await {
            Ok(turn) => turn,
            Err(error) => return self.end(Some(Err(error))),
        };
        let Some((outcome, exchange)) = self.exchanges(&turn).await else { return };
        let landed = exchange.span.within(|| self.slot.upgrade()?.finish(&self.flight, outcome.clone()));
        drop(exchange);
        turn.succeeded_since = self.flight.last_start().filter(|_| outcome.is_ok());
        // Only after the slot knows the outcome: it may hold back the next exchange.
        drop(turn);
        self.tell_store(visit, &outcome, landed.as_ref()).await;
        // Without an outcome, callers that wait try again.
        self.flight.end(landed);
        if outcome.is_err_and(|error| error.may_be_credentials()) {
            // The caller's span may end.
            self.caller = None;
            self.await_credentials().await;
        }
    }

    /// Requests a token, and again after a failure that may pass in a moment. Returns how the last one ended. `None`:
    /// another flight has taken over.
    async fn exchanges(&self, turn: &Turn<'_>) -> Option<(TokenResult, Exchange)> {
        let context = &self.context;
        let (mut tried, mut waited) = (0, Duration::ZERO);
        loop {
            self.begin()?;
            tried += 1;
            let (outcome, exchange) = self.exchange(tried).await;
            let Err(error) = &outcome else { return Some((outcome, exchange)) };
            let source = context.report.source();
            if turn.failed(&self.request, error, source) {
                log::about_all_tokens(source, error);
            }
            let wait = backoff::quick_retry(error, tried, waited, fastrand::f64());
            let Some(wait) = wait.filter(|_| turn.allows_quick_retry) else {
                return Some((outcome, exchange));
            };
            turn.extend(self.pause(wait));
            exchange.span.within(|| log::tried_again(source, &self.request, error, wait));
            sleep(wait).await;
            waited += wait;
            // Other tokens may have shown in the meantime that the endpoint is in trouble.
            if context.endpoint.is_to_be_left_alone(context.clock.now()) {
                return Some((outcome, exchange));
            }
        }
    }

    async fn exchange(&self, attempt: usize) -> (TokenResult, Exchange) {
        let context = &self.context;
        let named = self.request.or(&context.defaults);
        let mut exchange = context.report.exchange(&named, attempt, self.caller.as_ref());
        let call = self.call(context.time_limit(), || context.source.token(&self.request));
        let call = context.report.unless_slow(&self.request, call);
        let outcome = exchange.span.around(call).await.and_then(|outcome| outcome);
        let outcome = outcome.map(|token| token.with_request(self.request.clone()));
        exchange.ended(&outcome);
        (outcome, exchange)
    }

    /// Calls the source within a time limit. It must not wait for this flight, and a panic in it becomes an error.
    async fn call<F: Future>(&self, limit: Duration, call: impl FnOnce() -> F) -> Result<F::Output, Error> {
        match timeout(limit, SOURCE_OF.scope(self.slot.clone(), runtime::caught(call))).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(Panicked)) => Err(Error::new(ErrorKind::Panicked, "the token source panicked")),
            Err(_) => {
                Err(Error::new(ErrorKind::Timeout, format!("the token source returned no token within {limit:?}")))
            }
        }
    }

    /// While the client is held back because the server refused it: waits for other credentials.
    async fn await_credentials(&self) {
        let Some(due) = self.slot.upgrade().and_then(|slot| slot.due()) else { return };
        let wait = self.context.clock.now().until(due);
        if self.call(wait, || self.context.source.credentials_changed()).await.is_ok()
            && let Some(slot) = self.slot.upgrade()
        {
            slot.credentials_changed();
        }
    }
}
