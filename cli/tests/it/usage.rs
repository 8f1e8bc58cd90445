//! Wrong usage, the help, and what the list of processes shows.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{SECRET, cli, issued, server, token_requests, with_client};

#[test]
fn wrong_usage_is_reported_on_standard_error() {
    for (arguments, said) in [
        (&["check", "--nonsense"][..], "unexpected argument '--nonsense'"),
        (&["publish"], "unrecognized subcommand 'publish'"),
        (&["token", "--json", "--curl"], "cannot be used with"),
        (&["token", "--valid-for", "soon"], "write a time as `90s`, `20m` or `2h`"),
        (&["token", "--parameters", "a", "--client-id", "a"], "--parameters: write it as `name=value`"),
        (&["check", "--demo", "--api"], "a value is required"),
        (&["check", "--demo", "--api", "https://a.test"], "cannot be used with"),
        (&["token", "--demo", "--scope", "a"], "cannot be used with"),
        (
            &["check", "https://auth.example.com/token"],
            "an argument that belongs to no flag (a token URL is `--token-url",
        ),
        (&["check"], "missing: `--token-url` (or `--issuer`, or `--vonage`), `--client-id`, `--client-secret-file`;"),
        (&[], "Usage: client-credentials <COMMAND>"),
    ] {
        let stderr = cli(arguments).fails(2);
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_secret_is_refused_as_a_flag() {
    for flag in ["client-secret", "client_secret", "clientsecret", "secret", "password"] {
        for arguments in [vec![format!("--{flag}={SECRET}")], vec![format!("--{flag}"), SECRET.to_owned()]] {
            let arguments = ["token"].into_iter().chain(arguments.iter().map(String::as_str));
            let said = cli(&arguments.collect::<Vec<_>>()).fails(2);
            assert!(said.contains("it is in your shell's history now"), "{said}");
        }
    }
    let (pair, field) = (format!("abcde:{SECRET}"), format!("client_secret={SECRET}"));
    for of_curl in [["-u", &pair], ["--user", &pair], ["-d", &field], ["--parameters", &field]] {
        let said = cli(&["token"]).args(of_curl).fails(2);
        assert!(said.contains("it is in your shell's history now"), "{said}");
    }
    let said = cli(&["token", SECRET]).fails(2);
    assert!(said.contains("an argument that belongs to no flag"), "{said}");
}

#[test]
fn the_help_shows_the_value_of_no_variable() {
    for arguments in [&["--help"][..], &["check", "--help"], &["token", "--help"], &["help"], &["--version"]] {
        let cli = cli(arguments).env("CLIENT_CREDENTIALS_CLIENT_SECRET", SECRET);
        let ended = cli.env("CLIENT_CREDENTIALS_CLIENT_ID", "id-4711").succeeds();
        assert!(!ended.stdout.contains("4711") && ended.stderr.is_empty(), "{ended:?}");
        assert!(
            ended.stdout.starts_with("client-credentials ") || ended.stdout.contains("--config app.toml"),
            "{ended:?}"
        );
    }
}

/// `any_origin` is what holds without `--origins`, and the fields of `http` have the names of curl's flags.
#[test]
fn each_setting_of_the_library_has_a_flag() {
    let client = ["token", "--token-url", "https://a.test", "--client-id", "a", "--client-secret-file", "s"];
    let said = cli(&client).env("CLIENT_CREDENTIALS_NONSENSE", "a").fails(2);
    let (_, fields) = said.split_once("the fields are ").expect("the list of fields");
    let fields: Vec<_> =
        fields.lines().next().unwrap_or_default().split(", ").map(|name| name.trim_matches('`')).collect();
    assert!(fields.contains(&"token_url"), "{said}");
    let help = cli(&["token", "--help"]).succeeds().stdout;
    let without: Vec<_> =
        fields.into_iter().filter(|field| !help.contains(&format!("--{}", field.replace('_', "-")))).collect();
    let (of_connection, others): (Vec<_>, Vec<_>) = without.into_iter().partition(|field| field.starts_with("http."));
    assert_eq!((of_connection.len(), others), (6, vec!["any_origin"]));
}

/// As in `client-credentials token | head -0`, and `client-credentials check 2>&1 | head -1`.
#[tokio::test]
async fn nobody_has_to_read_what_is_printed() {
    // The pipe is closed long before the command writes to it.
    let server = server(|_| issued(&json!({})).set_delay(Duration::from_millis(500))).await;
    for command in ["check", "token"] {
        let mut child = with_client(command, &server).start();
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("it ends");
        assert!(ended.status.success(), "{command}: {ended:?}");
        assert!(!String::from_utf8_lossy(&ended.stderr).contains("error"), "{command}: {ended:?}");
    }
    let mut child = with_client("check", &server).start();
    drop(child.stderr.take());
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.status.success() && !ended.stdout.is_empty(), "{ended:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let mut token = cli(&["token", "--demo"]);
    token.command.stdout(std::fs::File::create("/dev/full").expect("a device"));
    let said = token.fails(2);
    assert!(said.starts_with("error: the result cannot be written: "), "{said}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_the_list_of_processes() {
    let server = server(|_| issued(&json!({})).set_delay(Duration::from_secs(2))).await;
    for command in ["check", "token"] {
        let before = token_requests(&server).await.len();
        let child = with_client(command, &server).start();
        let started = Instant::now();
        // While its token request is under way.
        while token_requests(&server).await.len() == before {
            assert!(started.elapsed() < Duration::from_secs(30), "no token request");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let arguments = std::fs::read(format!("/proc/{}/cmdline", child.id())).expect("it runs");
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        assert!(arguments.contains("--token-url") && !arguments.contains(SECRET), "{arguments}");
        assert!(child.wait_with_output().expect("it ends").status.success());
    }
}
