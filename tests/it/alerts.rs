//! The alerts of `docs/prometheus-alerts.yml`, and what is exposed, as Prometheus' own tool sees them.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// Panics with what promtool says, if it finds fault with its standard input or with files.
pub(crate) fn promtool(arguments: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).stdin(Stdio::piped());
    let Ok(mut child) = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() else {
        eprintln!("skipped: promtool is missing (Debian: apt-get install prometheus)");
        return;
    };
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_rules_are_valid() {
    promtool(&["check", "rules", "docs/prometheus-alerts.yml"], "");
}

#[test]
fn the_rules_fire_as_their_tests_say() {
    promtool(&["test", "rules", "tests/alerts.yml"], "");
}
