//! The tokio runtime that a token request needs.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{Error, ErrorKind};

/// The caller's runtime, if it has a timer.
pub(crate) fn with_timer() -> Option<Handle> {
    let runtime = Handle::try_current().ok()?;
    // tokio reports a missing timer only by a panic: neither `Handle` nor `RuntimeMetrics` says whether there is one. A
    // panic hook sees this panic, and with `panic = "abort"` it ends the process, as the token request's own timers
    // would. The documentation of `TokenCache` says so.
    std::panic::catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).ok()?;
    Some(runtime)
}

pub(crate) fn missing() -> Error {
    Error::new(ErrorKind::Runtime, "fetching a token needs a tokio runtime with its timer enabled")
        .with_advice("make the call within a runtime that is built with `enable_all` or `enable_time`")
}
