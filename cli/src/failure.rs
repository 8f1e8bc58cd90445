//! Why the command fails: what standard error says, and the exit code.

use std::process::ExitCode;

use client_credentials::{Error, ErrorKind};

use crate::{explain, streams::say};

const REFUSED: u8 = 1;
const USAGE: u8 = 2;
/// `EX_TEMPFAIL` of sysexits.h.
const MAY_PASS: u8 = 75;

pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// Wrong usage, or a wrong setting.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: USAGE, text: format!("error: {}", text.into()) }
    }

    /// The settings were refused by the library, by a field's name.
    pub(crate) fn settings(error: &Error) -> Self {
        Self::usage(format!(
            "{error}\n\nA setting is a flag (`--token-url`), a variable (`CLIENT_CREDENTIALS_TOKEN_URL`), or a field \
             of a table of a file (`--config app.toml --table auth`). `--help` has examples."
        ))
    }

    /// There is no token.
    pub(crate) fn token(error: &Error) -> Self {
        if error.kind() == ErrorKind::Configuration {
            return Self::settings(error);
        }
        // A service tries each of these again. For a person, a file that cannot be read is a wrong setting, and a page
        // instead of a token response is a wrong URL.
        let code = match error.kind() {
            ErrorKind::Credentials | ErrorKind::TlsMissing => USAGE,
            ErrorKind::InvalidResponse => REFUSED,
            _ if error.is_transient() => MAY_PASS,
            _ => REFUSED,
        };
        let hint = match error.retry_after() {
            _ if code != MAY_PASS => String::new(),
            Some(wait) => format!("\n\nThis may pass on its own: try again in {} s.", wait.as_secs_f64().ceil()),
            None => "\n\nThis may pass on its own.".to_owned(),
        };
        Self { code, text: format!("error: {}{}{hint}", whole(error), explain::failure(error)) }
    }

    /// The API did not accept the token, or could not be called.
    pub(crate) fn api(text: impl Into<String>, may_pass: bool) -> Self {
        Self { code: if may_pass { MAY_PASS } else { REFUSED }, text: format!("error: {}", text.into()) }
    }

    /// For output that is not an error of ours, such as clap's.
    pub(crate) fn raw(text: String) -> Self {
        Self { code: USAGE, text }
    }

    pub(crate) fn report(self) -> ExitCode {
        say(self.text.trim_end());
        ExitCode::from(self.code)
    }
}

/// The message with its first cause, if that adds something. What is in between says that something was sent, or that
/// connecting failed.
pub(crate) fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    match causes.last().map(ToString::to_string) {
        Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
        _ => text,
    }
}
