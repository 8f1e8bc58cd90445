//! One token request in flight, as its callers see it.

use std::sync::{Arc, OnceLock};

use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use super::clock::Moment;
use crate::{error::Error, token::AccessToken};

pub(super) type TokenResult = Result<AccessToken, Error>;

#[derive(Clone)]
pub(super) struct Flight {
    pub id: u64,
    /// After it, nobody drives the flight's runtime any more, and the next caller takes over.
    pub deadline: Moment,
    outcome: watch::Receiver<Option<TokenResult>>,
}

impl Flight {
    pub(super) fn new(id: u64, deadline: Moment) -> (Self, watch::Sender<Option<TokenResult>>) {
        let (sender, outcome) = watch::channel(None);
        (Self { id, deadline, outcome }, sender)
    }

    /// For a caller that waits until then at most.
    pub(super) fn awaited_until(self, until: Moment) -> Self {
        Self { deadline: self.deadline.min(until), ..self }
    }

    /// `None`: it is too late, or the flight's runtime has ended.
    pub(super) async fn outcome(mut self, until: Instant) -> Option<TokenResult> {
        timeout_at(until, self.outcome.wait_for(Option::is_some)).await.ok()?.ok()?.clone()
    }
}

/// A task that is aborted when this value is dropped.
#[derive(Default)]
pub(super) struct AbortOnDrop(Arc<OnceLock<AbortHandle>>);

impl AbortOnDrop {
    /// Where to store the handle of the task once it is spawned.
    pub(super) fn handle(&self) -> Arc<OnceLock<AbortHandle>> {
        Arc::clone(&self.0)
    }

    /// Lets the task end by itself. A handle would keep its memory, of more than a kilobyte.
    pub(super) fn let_go(&mut self) {
        self.0 = Arc::default();
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}
