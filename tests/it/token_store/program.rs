//! A test of this program, in a process of its own.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Runs the ignored test of that name, with `FOLDER` in its environment.
pub(super) fn of(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.args([name, "--exact", "--ignored", "--nocapture"]).env("FOLDER", folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for its end. Returns what it wrote to its log.
pub(super) fn succeeds(process: Child) -> String {
    let output = process.wait_with_output().expect("its end");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}{log}", String::from_utf8_lossy(&output.stdout));
    log
}

/// Until it prints so.
pub(super) fn wait_until_started(mut process: Child) -> Child {
    let mut output = BufReader::new(process.stdout.take().expect("its output"));
    let started = output.by_ref().lines().map_while(Result::ok).any(|line| line.ends_with("started"));
    assert!(started, "it ended");
    // It would fail if it could print no more.
    process.stdout = Some(output.into_inner());
    process
}
