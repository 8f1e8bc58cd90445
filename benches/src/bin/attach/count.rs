//! Instructions, as callgrind counts them, and allocations, of one request.

use std::{error::Error, process::Command};

use benches::{rows::Row, send::Sender};

/// How often a row sends, at least: first uncounted, so that every key has been used, and then counted.
const COUNT: usize = 4000;

/// Sends so often, and then as often again. callgrind counts the second half.
pub fn send(row: &Row, token: usize, count: usize) {
    let mut send = row.senders(token)();
    (0..count).for_each(|_| send());
    counted(&mut send, count);
}

#[inline(never)]
fn counted(send: &mut Sender, count: usize) {
    (0..count).for_each(|_| send());
}

pub fn allocations(row: &Row, token: usize) -> f64 {
    let mut send = row.senders(token)();
    let count = COUNT.max(row.requests);
    let mut all = || (0..count).for_each(|_| send());
    all();
    allocation_counter::measure(all).count_total as f64 / count as f64
}

/// Runs this program under callgrind, which counts [`counted`] alone: the cost of setting up varies from run to run.
pub fn instructions(row: &Row, token: usize) -> Result<f64, Box<dyn Error>> {
    let count = COUNT.max(row.requests);
    Ok(collected(row, token, count)? / count as f64)
}

pub fn has_valgrind() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

fn collected(row: &Row, token: usize, count: usize) -> Result<f64, Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!("callgrind.{}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=attach::count::counted"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args(["--row", row.name, "--count", &count.to_string(), "--token", &token.to_string()])
        .output()?;
    let report = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    let total =
        report.ok().and_then(|report| report.lines().find_map(|line| line.strip_prefix("totals: ")?.parse().ok()));
    // Zero: callgrind did not find the function.
    let total = total.filter(|total: &f64| *total > 0.0);
    total.ok_or_else(|| format!("callgrind: {}", String::from_utf8_lossy(&output.stderr)).into())
}
