//! Why an operation failed, in words for the log, and whether another connection may help.

use std::{error::Error as StdError, fmt};

use ::redis::{ErrorKind, RedisError};

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

    pub(super) fn panicked(server: &str) -> Self {
        Self::new(format!(
            "connecting to {server} panicked (for TLS, rustls needs a crypto provider that is installed)"
        ))
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
        let text = text(&error);
        let cause = match text.split(' ').next() {
            Some("NOSCRIPT") => Cause::UnknownScript,
            Some("READONLY" | "LOADING" | "MASTERDOWN") => Cause::WrongServer,
            _ if error.is_io_error() || error.is_unrecoverable_error() => Cause::Broken,
            _ => Cause::Other,
        };
        // From a script, it comes as another error; Redis and Valkey word it differently.
        let lacks = ["NOPERM", "can't run this command", "ACL failure"].iter().any(|words| text.contains(words));
        let text = match cause {
            Cause::WrongServer => format!("this Redis takes no writes (now): {text}"),
            _ if lacks => format!("the Redis user lacks a permission (it needs {NEEDED}): {text}"),
            _ => text,
        };
        Self { text, cause }
    }
}

/// As the server said it, or the system.
fn text(error: &RedisError) -> String {
    let Some(code) = error.code() else { return error.to_string() };
    let text = format!("{code} {}", error.detail().unwrap_or_default());
    // Redis 6 has the error of a script's command at the end of one of the script.
    let text = text.rsplit_once(" -").filter(|_| code == "ERR").map_or(&*text, |(_, of_command)| of_command);
    // Redis 7 adds where in the script it was.
    let text = text.rsplit_once(". script: ").map_or(text, |(of_command, _)| of_command);
    text.trim_end().to_owned()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Failure {}
