//! Whether attaching a token is as fast as it is said to be, by figures that no other load on the machine changes.

use std::error::Error;

use crate::{
    count::{allocations, instructions},
    rows::{ROWS, Row},
};

/// Bytes of a token such as authorization servers issue.
const TOKEN: usize = 1024;

/// Prints what was counted; an error says what is not as it should be.
pub fn check() -> Result<(), Box<dyn Error>> {
    let instructions = |name| instructions(row(name), TOKEN);
    let (set, retry) = (instructions("set")?, instructions("set-retry")?);
    let (layer, replay, key) = (instructions("layer")?, instructions("layer-replay")?, instructions("layer-key")?);
    let limits = [
        ("instructions, beside 1.5 times those of `SetRequestHeader`", layer, 1.5 * set),
        ("instructions for the replay, beside those that `Retry` adds", replay - layer, retry - set),
        ("instructions of a request with a key, beside twice the default's", key, 2.0 * layer),
        ("allocations", allocations(row("layer"), TOKEN), 0.0),
        ("allocations of a request with a key", allocations(row("layer-key"), TOKEN), 0.0),
    ];
    let mut wrong = Vec::new();
    for (what, counted, limit) in limits {
        println!("{counted:>6.0} of at most {limit:>6.0}  {what}");
        if counted > limit {
            wrong.push(what);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("too much: {}", wrong.join("; ")).into()) }
}

fn row(name: &str) -> &'static Row {
    ROWS.iter().find(|row| row.name == name).expect("a row of that name")
}
