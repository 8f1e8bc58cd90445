//! The tokio runtime that a token request needs.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{Error, ErrorKind};

/// The caller's runtime, if it can keep time.
pub(crate) fn with_timer() -> Option<Handle> {
    let runtime = Handle::try_current().ok()?;
    // tokio has no other way to tell whether the timer is enabled than its panic.
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
