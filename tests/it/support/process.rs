//! Tests in a process of their own, whose environment they may have.
#![allow(dead_code, unreachable_pub)]

use std::process::Command;

/// Runs the ignored test `name` of this program with these variables, and without any other that names a proxy. What it
/// prints.
pub fn run(name: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([name, "--exact", "--ignored", "--nocapture"]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    let output = command.envs(variables.iter().copied()).output().expect("a process");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{name}: {said}{failed}");
    said.into_owned()
}

/// The same for a test that prints a line with `outcome: `: what is behind it.
pub fn outcome(name: &str, variables: &[(&str, &str)]) -> String {
    let said = run(name, variables);
    let (_, outcome) = said.split_once("outcome: ").unwrap_or_else(|| panic!("{name}: {said}"));
    outcome.lines().next().unwrap_or_default().to_owned()
}
