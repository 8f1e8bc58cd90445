//! The tokio runtime that a token request needs.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle};

use crate::error::{Error, ErrorKind};

/// The caller's runtime, if it has a timer.
pub(crate) fn with_timer() -> Option<Handle> {
    let runtime = Handle::try_current().ok()?;
    // tokio reports a missing timer only by a panic: neither `Handle` nor `RuntimeMetrics` says whether there is one. A
    // panic hook sees this panic, and with `panic = "abort"` it ends the process, as the token request's own timers
    // would. The documentation of `TokenCache` says so.
    catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).ok()?;
    Some(runtime)
}

/// A user's own code panicked.
pub(crate) struct Panicked;

/// Calls a user's own code. A panic in it ends only this call.
pub(crate) async fn caught<F: Future>(call: impl FnOnce() -> F) -> Result<F::Output, Panicked> {
    let mut response = pin!(async { call().await });
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

pub(crate) fn missing() -> Error {
    Error::new(ErrorKind::Runtime, "fetching a token needs a tokio runtime with its timer enabled")
        .with_advice("make the call within a runtime that is built with `enable_all` or `enable_time`")
}

/// A task that is aborted when this value is dropped.
#[derive(Default)]
pub(crate) struct AbortOnDrop(TaskHandle);

/// Where to store the handle of a task once it is spawned.
pub(crate) type TaskHandle = Arc<OnceLock<AbortHandle>>;

impl AbortOnDrop {
    pub(crate) fn handle(&self) -> TaskHandle {
        Arc::clone(&self.0)
    }

    /// Lets the task end by itself. A handle would keep its memory, of more than a kilobyte.
    pub(crate) fn let_go(&mut self) {
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
