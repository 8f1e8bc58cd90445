//! The command `client-credentials`: gets tokens, and tries token endpoints out.

mod check;
mod command_line;
mod demo;
mod explain;
mod failure;
mod settings;
mod streams;
mod time;
mod token;

use std::process::ExitCode;

use self::failure::Failure;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run() -> Result<(), Failure> {
    let arguments = command_line::read(std::env::args_os())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::usage(format!("no runtime: {error}")))?;
    let result = runtime.block_on(async {
        match arguments.subcommand() {
            Some(("check", options)) => check::run(options).await,
            Some(("token", options)) => token::run(options).await,
            _ => Err(Failure::usage("which command? `check` or `token`")),
        }
    })?;
    // Only at the end, so that there is a result or nothing.
    streams::print(&result).map_err(|error| Failure::usage(format!("the result cannot be written: {error}")))
}
