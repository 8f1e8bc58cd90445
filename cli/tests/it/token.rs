//! `token`: what is printed, and for how long it is good.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::header};

use crate::support::{TOKEN, cli, issued, refused, server, token_requests, with_client};

#[tokio::test]
async fn the_token_alone_is_on_standard_output() {
    let server = server(|_| issued(&json!({}))).await;
    let token = |flags: &[&str]| with_client("token", &server).args(flags.iter().copied()).succeeds();
    for (flag, stdout) in [
        (&[][..], format!("{TOKEN}\n")),
        (&["--header"], format!("Authorization: Bearer {TOKEN}\n")),
        (&["--curl"], format!("header = \"Authorization: Bearer {TOKEN}\"\n")),
    ] {
        let ended = token(flag);
        assert_eq!((ended.stdout, ended.stderr.as_str()), (stdout, ""));
    }
}

#[tokio::test]
async fn json_has_the_names_of_the_rfc_and_what_is_left() {
    let server = server(|_| issued(&json!({}))).await;
    let stdout = with_client("token", &server).args(["--json"]).succeeds().stdout;
    let members: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(members["access_token"], TOKEN);
    assert_eq!((&members["token_type"], &members["scope"]), (&json!("Bearer"), &json!("stats")));
    let left = members["expires_in"].as_u64().expect("a number");
    assert!((3590..=3600).contains(&left), "{stdout}");
    let until = members["expires_at"].as_str().expect("a time");
    assert!(until.len() == 20 && until.starts_with("20") && until.ends_with('Z'), "{stdout}");

    let response = issued(&json!({"expires_in": null, "scope": null}));
    let server = self::server(move |_| response.clone()).await;
    let stdout = with_client("token", &server).args(["--json", "--no-store"]).succeeds().stdout;
    let members: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(members, json!({"access_token": TOKEN, "token_type": "Bearer"}));
}

#[tokio::test]
async fn curl_reads_it_from_standard_input() {
    let is_there = Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        eprintln!("curl is not installed");
        return;
    }
    // Both characters that are special in curl's configuration.
    let token = format!(r#"{TOKEN}-"\"#);
    let response = issued(&json!({"access_token": token}));
    let auth = server(move |_| response.clone()).await;
    let api = MockServer::start().await;
    let accepted = header("authorization", format!("Bearer {token}").as_str());
    Mock::given(accepted).respond_with(ResponseTemplate::new(200)).expect(1).mount(&api).await;
    let configuration = with_client("token", &auth).args(["--curl"]).succeeds().stdout;
    let arguments = ["--silent", "--fail", "--noproxy", "*", "-K", "-", &api.uri()];
    let curl = Command::new("curl").args(arguments).stdin(Stdio::piped()).spawn();
    let mut curl = curl.expect("curl");
    curl.stdin.take().expect("piped").write_all(configuration.as_bytes()).expect("it reads");
    assert!(curl.wait().expect("it ends").success());
}

#[tokio::test]
async fn each_failure_has_its_exit_code() {
    for (response, code, said) in [
        (refused(401, "invalid_client"), 1, "The credentials are refused:"),
        (refused(400, "invalid_scope"), 1, "The token request is refused:"),
        (refused(429, "slow_down"), 75, "This may pass on its own"),
        (ResponseTemplate::new(200).set_body_string("<html>"), 1, "The response is not a token response:"),
        (ResponseTemplate::new(307).insert_header("location", "/login"), 1, "The token endpoint redirects:"),
    ] {
        let server = server(move |_| response.clone()).await;
        let stderr = with_client("token", &server).fails(code);
        assert!(stderr.contains(said), "no {said} in {stderr}");
    }
    let nowhere = cli(&["token", "--token-url", "http://127.0.0.1:1/token", "--client-id", "a"]);
    let said = nowhere.args(["--client-secret-file", &crate::support::secret_file()]).fails(75);
    assert!(said.contains("The token endpoint does not respond:"), "{said}");
    assert!(said.contains("no connection could be made: ") && !said.contains("error sending request"), "{said}");
    let nothing = cli(&["token", "--token-url", "http://127.0.0.1:1/token", "--client-id", "a"]);
    let said = nothing.args(["--client-secret-file", "/nonexistent"]).fails(2);
    assert!(said.contains("The credentials cannot be read:"), "{said}");
}

#[tokio::test]
async fn a_token_that_lasts_long_enough_or_none() {
    let server = server(|_| issued(&json!({}))).await;
    with_client("token", &server).args(["--valid-for", "59m"]).succeeds();
    let said = with_client("token", &server).args(["--valid-for", "2h", "--no-store"]).fails(2);
    assert!(said.starts_with("error: --valid-for: a new token can be used for 3"), "{said}");
    assert_eq!(token_requests(&server).await.len(), 2);
}

#[test]
fn the_demo_needs_nothing() {
    assert_eq!(cli(&["token", "--demo"]).succeeds().stdout, "token-1\n");
}
