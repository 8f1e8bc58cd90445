//! The tokio runtime that a token request needs.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{Error, ErrorKind};

/// The caller's runtime, if it can keep time.
pub(crate) fn with_timer() -> Option<Handle> {
    let runtime = Handle::try_current().ok()?;
    // tokio tells whether the timer is enabled by a panic alone: whatever there is of its timers is made by the same
    // check, and neither `Handle` nor `RuntimeMetrics` says it. A panic hook sees this one, and with `panic = "abort"`
    // it is the end, as it would be where the token request itself sleeps; `TokenCache` says so in its documentation.
    std::panic::catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).ok()?;
    Some(runtime)
}

pub(crate) fn missing() -> Error {
    Error::new(
        ErrorKind::Runtime,
        "a token would have to be fetched, which needs a tokio runtime with its timer enabled",
    )
    .with_advice("call from within one, built with `enable_all` or `enable_time`")
}
