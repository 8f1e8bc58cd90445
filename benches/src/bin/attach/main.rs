//! What it costs to attach a cached token to a request.
//!
//! ```text
//! attach                      a table of all rows
//! attach layer set            a table of these
//! attach --token 4096 layer   with a token of so many bytes
//! attach --check              the promised limits; fails where one is exceeded
//! attach --row layer --count 10000
//!                             sends so often and prints nothing: what callgrind is to run
//! ```

mod check;
mod count;
mod rows;
mod send;

use std::{error::Error, process::ExitCode};

use rows::{ROWS, Row};

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
    let (mut rows, mut token, mut count, mut check) = (Vec::new(), 1024, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "--check" => check = true,
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
        return Err("valgrind is missing, which counts the instructions (Debian: apt-get install valgrind)".into());
    }
    if check {
        return check::check();
    }
    if rows.is_empty() {
        rows.extend(ROWS);
    }
    println!("{:<14} {:>12} {:>11}  ", "", "instructions", "allocations");
    for row in rows {
        let (instructions, allocations) = (count::instructions(row, token)?, count::allocations(row, token));
        println!("{:<14} {instructions:>12.0} {allocations:>11.2}  {}", row.name, row.what);
    }
    Ok(())
}

fn row(name: &str) -> Result<&'static Row, String> {
    ROWS.iter().find(|row| row.name == name).ok_or_else(|| format!("no row is called {name}"))
}
