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

use self::{demo::Demo, failure::Failure, settings::Settings};

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
    let (command, options) =
        arguments.subcommand().ok_or_else(|| Failure::usage("which command? `check` or `token`"))?;
    let result = runtime.block_on(async {
        let demo = if options.get_flag("demo") { Some(Demo::start().await) } else { None };
        let settings = match &demo {
            Some(demo) => demo.settings(),
            None => Settings::read(options)?,
        };
        match command {
            "check" => check::run(options, settings, demo.as_ref()).await,
            _ => token::run(options, &settings).await,
        }
    })?;
    // Only at the end, so that there is a result or nothing.
    streams::print(&result).map_err(|error| Failure::usage(format!("the result cannot be written: {error}")))
}
