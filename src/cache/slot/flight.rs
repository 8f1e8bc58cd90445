//! One token request in flight, as its callers and its task see it.

use std::sync::{Arc, OnceLock, Weak};

use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use super::Slot;
use crate::{
    cache::{clock::Moment, context::Context},
    error::Error,
    report::span::Span,
    token::AccessToken,
    token_request::TokenRequest,
};

pub(in crate::cache) type TokenResult = Result<AccessToken, Error>;

/// For the slot and the callers that wait.
#[derive(Clone)]
pub(in crate::cache) struct Flight {
    pub(super) id: u64,
    /// After it, nobody drives the flight's runtime any more, and the next caller takes over.
    pub deadline: Moment,
    pub(super) outcome: watch::Receiver<Option<TokenResult>>,
}

/// For the task. When it is dropped, the flight has ended: with an outcome, or because its task has (its runtime
/// ended), and then one of the callers that wait takes over.
pub(in crate::cache) struct Flying {
    pub slot: Weak<Slot>,
    pub id: u64,
    pub outcome: watch::Sender<Option<TokenResult>>,
    /// Where to store the handle of the task.
    pub task: Arc<OnceLock<AbortHandle>>,
    pub context: Arc<Context>,
    pub request: TokenRequest,
    /// A token that an API rejected, for sources that keep tokens elsewhere.
    pub rejected: Option<AccessToken>,
    /// `false`: it only looks whether another instance has stored a token.
    pub may_request: bool,
    /// Whether nothing had failed before, so that a quick retry may follow a failure.
    pub is_first: bool,
    /// Of the caller that started it.
    pub caller: Span,
}

impl Flight {
    /// For a caller that waits until then at most.
    pub(super) fn awaited_until(self, until: Moment) -> Self {
        Self { deadline: self.deadline.min(until), ..self }
    }

    /// `None`: it is too late, or the flight's runtime has ended.
    pub(in crate::cache) async fn outcome(mut self, until: Instant) -> Option<TokenResult> {
        timeout_at(until, self.outcome.wait_for(Option::is_some)).await.ok()?.ok()?.clone()
    }
}

impl Flying {
    /// The callers learn of the outcome, after the slot.
    pub(in crate::cache) fn publish(mut self, outcome: TokenResult) {
        self.slot = Weak::new();
        self.outcome.send_replace(Some(outcome));
    }

    /// The flight ends without an outcome of its own, unless it has ended before.
    pub(in crate::cache) fn abandon(&self) {
        if let Some(slot) = self.slot.upgrade() {
            slot.abandon(self.id);
        }
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.abandon();
    }
}
