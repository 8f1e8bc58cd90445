//! The command against an authorization server that others wrote, and its API.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::support::{cli, file};

struct Server {
    process: Child,
    origin: String,
}

impl Server {
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers");
        let mut command = Command::new("node");
        command.arg(folder.join("node-oauth2-server/server.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("node; run tests/servers/set-up");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        let origin = line.trim().strip_prefix("READY ").expect("run tests/servers/set-up").to_owned();
        Self { process, origin }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "first tests/servers/set-up"]
fn check_finds_the_setting_with_which_token_gets_a_token() {
    let server = Server::start();
    let (url, secret) = (format!("{}/token", server.origin), file("secret", "a-secret\n"));
    let client = ["--token-url", &url, "--client-id", "basic", "--client-secret-file", &secret, "--scope", "read"];
    let api = format!("{}/api", server.origin);
    let ended = cli(&["check", "--api", &api]).args(client).succeeds();
    assert!(ended.stderr.contains("HTTP 200; the token is accepted\n"), "{ended:?}");
    assert!(ended.stderr.contains("scope     `read`, as requested\n"), "{ended:?}");

    let config = file("app.toml", &ended.stdout);
    let token = cli(&["token", "--config", &config, "--table", "auth", "--no-store"]).succeeds().stdout;
    assert!(token.trim_end().len() > 20 && token.lines().count() == 1, "{token}");

    let wrong = file("secret", "another");
    let client = ["--token-url", &url, "--client-id", "basic", "--client-secret-file", &wrong];
    cli(&["check"]).args(client).fails(1);
    let client = ["--token-url", &url, "--client-id", "basic", "--client-secret-file", &secret];
    cli(&["check", "--scope", "nothing"]).args(client).fails(1);
}
