//! Standard output and standard error. Their reader may stop at any time, as `head` does. That is no failure, but
//! `println!` and `eprintln!` would panic.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

pub(crate) fn print(result: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(result.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
