//! What it costs to attach a cached token to a request.
//!
//! ```text
//! attach                      instructions and allocations of all rows
//! attach layer set            of these
//! attach --token 4096 layer   with a token of so many bytes
//! attach --time layer set     how long these take, in the same rounds
//! attach --check              the promised limits; fails where one is exceeded
//! attach --report chart.svg   all figures, with three sizes of token, and a chart
//! attach --row layer --count 10000
//!                             sends twice as often and prints nothing: run under callgrind
//! ```

mod chart;
mod count;
mod limits;
mod report;
mod time;

use std::{error::Error, process::ExitCode};

use benches::rows::{self, Row};

/// Bytes of a typical token.
const TOKEN: usize = 1024;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("attach: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (mut rows, mut token, mut count, mut chart) = (Vec::new(), TOKEN, None, None);
    let (mut checks, mut timed) = (false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "--check" => checks = true,
            "--time" => timed = true,
            "--report" => chart = Some(value()?),
            "--row" => rows.push(row(&value()?)?),
            "--count" => count = Some(value()?.parse()?),
            "--token" => token = value()?.parse()?,
            name => rows.push(row(name)?),
        }
    }
    if let (Some(count), &[row]) = (count, &rows[..]) {
        count::send(row, token, count);
        return Ok(());
    }
    if !count::has_valgrind() {
        eprintln!("valgrind is missing, which counts the instructions (Debian: apt-get install valgrind)");
    }
    if checks {
        return limits::check();
    }
    if rows.is_empty() {
        rows.extend(rows::all());
    }
    if timed {
        report::timed(&rows, token);
        return Ok(());
    }
    match chart {
        Some(chart) => report::everything(&rows, &chart),
        None => report::counts(&rows, token),
    }
}

fn row(name: &str) -> Result<&'static Row, String> {
    rows::all().find(|row| row.name == name).ok_or_else(|| format!("no row is called {name}"))
}
