//! Why an operation failed, in words for the log, and whether another connection may help.

use std::{error::Error as StdError, fmt};

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use super::super::BoxError;

const NEEDED: &str = "+eval +evalsha +get +pttl +time +set +del, and the keys by their prefix";

#[derive(Clone, Debug)]
pub(super) struct Failure {
    text: String,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The connection.
    Broken,
    /// The server at the other end, which is not the one to use (or not yet).
    WrongServer,
    UnknownScript,
    Other,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), cause: Cause::Other }
    }

    /// No connection could be made.
    pub(super) fn connecting(server: &str, error: &BoxError) -> Self {
        let text = match error.downcast_ref::<RedisError>() {
            Some(error) if error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some("WRONGPASS") => {
                format!("{server} refused the user or the password")
            }
            Some(error) => format!("cannot connect to {server}: {}", text(error)),
            None => format!("cannot connect to {server}: {error}"),
        };
        Self::new(text)
    }

    pub(super) fn stalled() -> Self {
        let text = "the tokio runtime that drives the connection to Redis stands still";
        Self { text: text.into(), cause: Cause::Broken }
    }

    pub(super) fn unreadable() -> Self {
        Self::new("Redis returned something other than the scripts of this crate do")
    }

    /// Whether the operation is worth another try on a new connection.
    pub(super) fn is_of_the_connection(&self) -> bool {
        matches!(self.cause, Cause::Broken | Cause::WrongServer)
    }

    pub(super) fn is_of_the_server(&self) -> bool {
        self.cause == Cause::WrongServer
    }

    pub(super) fn is_unknown_script(&self) -> bool {
        self.cause == Cause::UnknownScript
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        // Redis 6 wraps the errors of a script's commands in one of the script.
        let is = |kind: ServerErrorKind, code: &str| {
            error.kind() == ErrorKind::Server(kind)
                || error.detail().is_some_and(|detail| detail.contains(&format!("-{code} ")))
        };
        let cause = if is(ServerErrorKind::NoScript, "NOSCRIPT") {
            Cause::UnknownScript
        } else if is(ServerErrorKind::ReadOnly, "READONLY")
            || is(ServerErrorKind::BusyLoading, "LOADING")
            || is(ServerErrorKind::MasterDown, "MASTERDOWN")
        {
            Cause::WrongServer
        } else if error.is_io_error() || error.is_unrecoverable_error() {
            Cause::Broken
        } else {
            Cause::Other
        };
        let lacks = is(ServerErrorKind::NoPerm, "NOPERM") || text(&error).contains("can't run this command");
        let text = match cause {
            Cause::WrongServer => format!("this Redis takes no writes (now): {}", text(&error)),
            _ if lacks => format!("the Redis user lacks a permission (it needs {NEEDED}): {}", text(&error)),
            _ => text(&error),
        };
        Self { text, cause }
    }
}

/// As the server said it, or the system.
fn text(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), detail) => format!("{code} {}", detail.unwrap_or_default()).trim_end().to_owned(),
        (None, _) => error.to_string(),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Failure {}
