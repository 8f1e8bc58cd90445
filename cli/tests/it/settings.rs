//! Where settings come from, and which of them count.

use serde_json::json;
use wiremock::MockServer;

use crate::support::{SECRET, cli, client, file, issued, secret_file, server, token_requests, with_client};

async fn form(server: &MockServer) -> Vec<(String, String)> {
    let requests = token_requests(server).await;
    let body = requests.last().expect("a token request").body.clone();
    let body = String::from_utf8(body).expect("UTF-8");
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn parameter(server: &MockServer, name: &str) -> Vec<String> {
    form(server).await.into_iter().filter(|(of, _)| of == name).map(|(_, value)| value).collect()
}

#[tokio::test]
async fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let server = server(|_| issued(&json!({}))).await;
    let config = file(
        "app.toml",
        &format!(
            "port = 1\n[service.auth]\ntoken_url = \"{}/token\"\nclient_id = \"of-file\"\nclient_secret = \"of-file\"\nscope = \"of-file\"\n\
             audience = \"of-file\"\nparameters = {{ a = \"of-file\", b = \"of-file\" }}\n",
            server.uri()
        ),
    );
    let token = || cli(&["token", "--no-store", "--config", &config, "--table", "service.auth"]);
    token().succeeds();
    assert_eq!(parameter(&server, "client_id").await, ["of-file"]);
    let with_variables = || {
        let token = token().env("CLIENT_CREDENTIALS_CLIENT_ID", "of-variable");
        let token = token.env("CLIENT_CREDENTIALS_SCOPE", "of-variable");
        token.env("CLIENT_CREDENTIALS_PARAMETERS__A", "of-variable").env("CLIENT_CREDENTIALS_CLIENT_SECRET", SECRET)
    };
    with_variables().args(["--scope", "of-flag", "--scope", "second"]).succeeds();
    for (name, value) in [
        ("client_id", "of-variable"),
        ("client_secret", SECRET),
        ("scope", "of-flag+second"),
        ("audience", "of-file"),
        ("a", "of-variable"),
        ("b", "of-file"),
    ] {
        assert_eq!(parameter(&server, name).await, [value], "{name}");
    }
    let said = |cli: crate::support::Cli| cli.run().stderr;
    let check = || {
        cli(&["check", "--config", &config, "--table", "service.auth"]).env("CLIENT_CREDENTIALS_CLIENT_SECRET", SECRET)
    };
    let replaced = "the variable CLIENT_CREDENTIALS_CLIENT_SECRET replaces `client_secret` of the file\n";
    assert!(said(check()).starts_with(replaced));
    assert!(!said(check().args(["--client-secret-file", &file("flag", "of-flag")])).contains("replaces"));
    assert!(said(with_variables().args(["--valid-for", "9h"])).contains(replaced), "a failure says it");
    let both = file("both.toml", "client_id = \"a\"\nclient_secret = \"a\"\nclient_secret_file = \"b\"\n");
    let check = cli(&["check", "--config", &both, "--token-url", &format!("{}/token", server.uri())]);
    assert!(said(check).starts_with("`client_secret_file` is ignored, since the file contains the value itself\n"));
    // The file of the flag, and not the value of the variable, which the library would prefer.
    let other = file("other", "of-flag");
    with_variables().args(["--client-secret-file", &other, "--parameters", "c=1", "--parameters", "c=2"]).succeeds();
    assert_eq!(parameter(&server, "client_secret").await, ["of-flag"]);
    assert_eq!(parameter(&server, "c").await, ["1", "2"]);
}

#[tokio::test]
async fn the_secret_comes_from_standard_input() {
    let server = server(|_| issued(&json!({}))).await;
    let url = format!("{}/token", server.uri());
    let arguments = ["token", "--no-store", "--token-url", &url, "--client-id", "a", "--client-secret-file", "-"];
    cli(&arguments).stdin(&format!("{SECRET}\n")).succeeds();
    assert_eq!(parameter(&server, "client_secret").await, [SECRET]);
    let said = cli(&arguments).stdin("").fails(2);
    assert!(said.starts_with("error: client_secret: empty"), "{said}");
}

/// It goes nowhere, since the proxy is not there.
#[test]
fn the_variables_of_vonage_are_enough_for_vonage() {
    let with = |scope: &str, arguments: &[&str]| {
        let cli = cli(&["check"]).args(arguments.iter().copied()).env("HTTPS_PROXY", "http://127.0.0.1:1");
        let cli = cli.env("VONAGE_CLIENT_ID", "abcde").env("VONAGE_CLIENT_SECRET", SECRET);
        cli.env("VONAGE_SCOPE", scope)
    };
    let url = "POST https://emea.cc.vonage.com/Auth/connect/token, client_secret_post";
    let said = with("agents-availability:read", &[]).env("VONAGE_REGION", "emea").fails(75);
    assert!(said.starts_with(url), "{said}");
    let said = with("agents-availability:read", &["--vonage", "emea"]).fails(75);
    assert!(said.starts_with(url), "{said}");
    let said = with("", &["--vonage", "emea"]).fails(2);
    assert!(said.starts_with("error: scope: missing"), "{said}");
    let said = with("a", &[]).fails(2);
    assert!(said.starts_with("error: missing: `--token-url` (or `--issuer`, or `--vonage`), `--client-id`"), "{said}");
    let said = with("a", &["--token-url", "https://auth.test/token", "--client-id", "a"]).fails(2);
    assert!(said.starts_with("error: missing: `--client-secret-file`; "), "{said}");
}

#[tokio::test]
async fn certificates_are_files_as_in_curl() {
    let server = server(|_| issued(&json!({}))).await;
    let pem = file("ca.pem", "nothing");
    for (flag, said) in [
        ("--cacert", "http.ca_file: the file"),
        ("--cert", "http.client_certificate_file: the file"),
        ("--key", "http.client_key_file: requires"),
    ] {
        let error = with_client("check", &server).args([flag, &pem]).fails(2);
        assert!(error.starts_with(&format!("error: {said}")), "{error}");
    }
    assert!(token_requests(&server).await.is_empty());
}

#[tokio::test]
async fn the_name_that_another_tool_has_for_a_setting_is_refused_with_the_right_one() {
    let server = server(|_| issued(&json!({}))).await;
    for (flag, said) in [
        ("--scopes=a", "error: `--scopes` is not a flag; write `--scope`"),
        ("--token-uri=a", "error: `--token-uri` is not a flag; write `--token-url`"),
        ("--endpoint-params=a=b", "error: `--endpoint-params` is not a flag; write `--parameters`"),
        ("--client_id=a", "error: `--client_id` is not a flag; write `--client-id`"),
    ] {
        assert_eq!(with_client("token", &server).args([flag]).fails(2).trim_end(), said);
    }
    let config = file("app.toml", "[auth]\ntoken_uri = \"https://a.test\"\n");
    let said = cli(&["token", "--config", &config, "--table", "auth"]).fails(2);
    assert!(said.starts_with("error: `token_uri` is not a field; write `token_url`"), "{said}");
    let said = cli(&["token"]).env("CLIENT_CREDENTIALS_ENDPOINT_PARAMS__A", "b").fails(2);
    assert!(said.starts_with("error: `endpoint_params` is not a field; write `parameters`"), "{said}");
}

#[tokio::test]
async fn a_file_of_settings_alone_needs_no_table() {
    let server = server(|_| issued(&json!({}))).await;
    let client = format!("token_url = \"{}/token\"\nclient_id = \"a\"\nclient_secret = \"{SECRET}\"\n", server.uri());
    let config = file("auth.toml", &format!("{client}[parameters]\na = \"b\"\n"));
    cli(&["token", "--no-store", "--config", &config]).succeeds();
    assert_eq!(parameter(&server, "a").await, ["b"]);
}

#[test]
fn an_unreadable_file_is_reported_without_its_content() {
    let broken = file("app.toml", &format!("[auth]\nclient_id = \"a\"\nclient_secret = \"{SECRET}\nscope = \"a\"\n"));
    let said = cli(&["check", "--config", &broken, "--table", "auth"]).fails(2);
    assert!(said.starts_with("error: --config: ") && said.contains(": line 3: "), "{said}");
    let other = file("app.toml", "a = 1\n[http]\n[auth]\n");
    let said = cli(&["check", "--config", &other, "--table", "oauth"]).fails(2);
    assert!(said.ends_with("has no table `oauth`; there are `http`, `auth`\n"), "{said}");
    let said = cli(&["check", "--config", &other]).fails(2);
    assert!(
        said.starts_with("error: --table: which table of ") && said.ends_with("there are `http`, `auth`\n"),
        "{said}"
    );
    let said = cli(&["check", "--config", "/nonexistent/app.toml"]).fails(2);
    assert!(said.starts_with("error: --config: /nonexistent/app.toml: "), "{said}");
    let said = cli(&["check", "--table", "auth"]).fails(2);
    assert!(said.contains("--config"), "{said}");
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_refused_without_a_request() {
    let server = server(|_| issued(&json!({}))).await;
    let client = client(&server);
    for command in ["check", "token"] {
        let arguments = client.iter().map(String::as_str).chain(["--authentication", "basic"]);
        let said = cli(&[command]).args(arguments).fails(2);
        assert!(said.starts_with("error: authentication: is not a known method"), "{said}");
    }
    let said = cli(&["check", "--token-url", "http://a.test", "--client-id", "a"])
        .args(["--client-secret-file", &secret_file()])
        .fails(2);
    assert!(said.starts_with("error: token_url: is plain http"), "{said}");
    assert!(token_requests(&server).await.is_empty());
}
