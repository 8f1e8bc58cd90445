//! Ids and secrets that come from a file or a function, and that change.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{
    endpoint::{ask, auth_responding, form, token_response},
    received, responding,
};
use client_credentials::{
    ClientAuthentication, ClientCredentials, Error, ErrorKind, HttpClient, Secret,
    testing::{AuthorizationServer, MockResponse},
};
use serde_json::json;
use wiremock::{MockServer, Request, ResponseTemplate};

const URL: &str = "https://auth.example.com/oauth2/token";

/// A file of a test's own.
fn file(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("secrets-{name}"));
    std::fs::write(&path, content).expect("a file");
    path
}

fn source(secret: impl Into<ClientAuthentication>, client: impl HttpClient) -> ClientCredentials {
    ClientCredentials::builder(URL, "abcde", secret).any_origin().http_client(client).build().expect("complete")
}

/// Knows one secret at a time.
fn server(secret: &str) -> AuthorizationServer {
    let auth = AuthorizationServer::in_memory();
    auth.set_client("abcde", secret);
    auth
}

/// The secrets that were sent to it.
fn secrets(auth: &AuthorizationServer) -> Vec<String> {
    auth.token_requests().iter().map(|request| request.client_secret().expect("a secret").to_owned()).collect()
}

fn secret_in(request: &Request) -> String {
    form(&request.body).into_iter().find(|(name, _)| name == "client_secret").expect("a secret").1
}

fn invalid_client(description: &str) -> ResponseTemplate {
    ResponseTemplate::new(401).set_body_json(json!({"error": "invalid_client", "error_description": description}))
}

/// Asks this server, and returns the secrets that were sent to it.
async fn asked(server: &MockServer, secret: Secret) -> (Result<(), Error>, Vec<String>) {
    let source = ClientCredentials::builder(server.uri(), "abcde", secret).any_origin().build().expect("complete");
    let outcome = ask(&source).await.map(drop);
    (outcome, received(server).await.iter().map(secret_in).collect())
}

/// A function that gives what is set.
fn function() -> (Secret, Arc<Mutex<&'static str>>) {
    let value = Arc::new(Mutex::new("first"));
    let given = Arc::clone(&value);
    (Secret::from_fn(move || std::future::ready(Ok(*given.lock().expect("no panic")))), value)
}

fn set(value: &Mutex<&'static str>, to: &'static str) {
    *value.lock().expect("no panic") = to;
}

#[tokio::test]
async fn a_file_is_read_for_each_token_request_without_a_byte_order_mark_and_the_line_end_at_its_end() {
    let path = file("line-end", "12345\n");
    let auth = AuthorizationServer::in_memory();
    let source = source(Secret::file(&path), auth.clone());
    for (content, expected) in [
        ("12345\n", "12345"),
        ("67890\r\n", "67890"),
        (" a\nb ", " a\nb "),
        ("\u{fc}\n\n", "\u{fc}"),
        // As editors on Windows write it.
        ("\u{feff}one\r\n", "one"),
    ] {
        std::fs::write(&path, content).expect("a file");
        ask(&source).await.expect("a token");
        assert_eq!(secrets(&auth).last().map(String::as_str), Some(expected));
    }
}

#[tokio::test]
async fn the_id_comes_from_a_file_or_a_function_too() {
    let id = file("id", "from-a-file\n");
    let secret = file("id-secret", "12345\n");
    let auth = AuthorizationServer::in_memory();
    let builder = |id: Secret, authentication: ClientAuthentication| {
        let builder = ClientCredentials::builder(URL, id, authentication).any_origin();
        builder.http_client(auth.clone()).build().expect("complete")
    };
    ask(&builder(Secret::file(&id), Secret::file(&secret).into())).await.expect("a token");
    let function = || Secret::from_fn(|| async { Ok("from:a-function") });
    ask(&builder(function(), ClientAuthentication::none())).await.expect("a token");
    let sent = auth.token_requests();
    let sent: Vec<_> = sent.iter().map(|request| (request.client_id(), request.client_secret())).collect();
    assert_eq!(sent, [(Some("from-a-file"), Some("12345")), (Some("from:a-function"), None)]);
    // What is refused when an id is fixed is refused when it is read.
    let raw = ClientAuthentication::client_secret_basic_raw(Secret::file(&secret));
    let error = ask(&builder(function(), raw)).await.expect_err("a colon");
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("client_id: has a `:`"), "{error}");
    let empty = builder(Secret::from_fn(|| async { Ok("") }), ClientAuthentication::none());
    assert!(ask(&empty).await.expect_err("empty").to_string().contains("client_id: empty"));
    assert_eq!(auth.token_requests().len(), 2);
}

#[tokio::test]
async fn a_file_that_holds_no_secret_is_an_error_that_names_it_and_not_its_content() {
    let auth = AuthorizationServer::in_memory();
    for (name, content, reason) in [
        ("empty", &b""[..], "is empty"),
        ("blank", b"\r\n", "is empty"),
        ("mark", b"\xef\xbb\xbf\r\n", "is empty"),
        ("latin", b"s3cr3t\xfc", "is not UTF-8"),
        ("large", &[b's'; 64 * 1024 + 1], "is larger than 64 KiB"),
    ] {
        let path = file(name, content);
        let error = ask(&source(Secret::file(&path), auth.clone())).await.expect_err(name);
        let text = format!("{error} {error:?}");
        assert!(text.contains(&format!("client_secret: the file {} {reason}", path.display())), "{text}");
        assert!(!text.contains("s3cr3t") && !text.contains("ssss"), "{text}");
        assert!(error.kind() == ErrorKind::Credentials && error.is_transient(), "{error:?}");
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("secrets-missing");
    let error = ask(&source(Secret::file(&path), auth.clone())).await.expect_err("unreadable");
    assert!(error.to_string().contains(&format!("the file {} cannot be read", path.display())), "{error}");
    assert!(std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>), "{error:?}");
    assert!(error.kind() == ErrorKind::Credentials && error.is_transient(), "{error:?}");
    assert!(auth.token_requests().is_empty());
}

/// A variable that ends in `_FILE` is easily given what should be in the file.
#[tokio::test]
async fn content_in_place_of_a_path_is_not_shown() {
    for content in ["-----BEGIN PRIVATE KEY----- MIGHs3cr3t", "s3cr3t\n", "eyJhbGciOiJIUzI1NiJ9.s3cr3t.x"] {
        let secret = Secret::file(content);
        let debug = format!("{secret:?}");
        let error = ask(&source(secret, AuthorizationServer::in_memory())).await.expect_err("no such file");
        let said = "client_secret: the file [redacted] (write its path, not its content) cannot be read";
        assert!(error.to_string().contains(said), "{error}");
        assert!(!format!("{debug}{error}{error:?}").contains("s3cr3t"), "{debug} {error:?}");
    }
}

/// Opening a pipe waits until somebody writes to it: each attempt would leave a thread behind.
#[cfg(unix)]
#[tokio::test]
async fn a_pipe_a_device_and_a_folder_are_refused_without_being_opened() {
    let pipe = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("secrets-pipe-{}", std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let auth = AuthorizationServer::in_memory();
    for path in [&pipe, &PathBuf::from("/dev/zero"), &PathBuf::from(env!("CARGO_TARGET_TMPDIR"))] {
        let error = ask(&source(Secret::file(path), auth.clone())).await.expect_err("no file");
        assert!(error.to_string().contains(&format!("the file {} is not a regular file", path.display())), "{error}");
        assert!(error.kind() == ErrorKind::Credentials && error.is_transient(), "{error:?}");
    }
    std::fs::remove_file(&pipe).expect("it is there");
    assert!(auth.token_requests().is_empty());
}

/// Whoever looks for the reason looks at the vault, and not at the server.
#[tokio::test(start_paused = true)]
async fn credentials_that_never_come_are_another_error_than_a_server_that_never_responds() {
    let never = || std::future::pending::<Result<String, Error>>();
    for authentication in [
        ClientAuthentication::client_secret_post(Secret::from_fn(never)),
        ClientAuthentication::client_assertion(Secret::from_fn(never)),
        ClientAuthentication::from_fn(std::future::pending),
    ] {
        let auth = AuthorizationServer::in_memory();
        let error = ask(&source(authentication.clone(), auth.clone())).await.expect_err("nothing came");
        let says = format!("the client's credentials ({authentication:?}) could not be read within 28s");
        assert!(error.to_string().ends_with(&says), "{error}");
        assert!(error.kind() == ErrorKind::Credentials && error.is_transient(), "{error:?}");
        assert!(auth.token_requests().is_empty());
    }
}

#[test]
fn a_file_without_a_path_is_refused_when_it_is_built() {
    for (id, secret, field) in [("id", Secret::file(""), "client_secret: "), ("", Secret::from("s"), "client_id: ")] {
        let builder =
            ClientCredentials::builder(URL, id, secret).any_origin().http_client(AuthorizationServer::in_memory());
        let error = builder.build().expect_err(field);
        assert!(error.to_string().starts_with(field), "{error}");
    }
    let builder = ClientCredentials::builder(URL, Secret::file(""), "secret").any_origin();
    let error = builder.http_client(AuthorizationServer::in_memory()).build().expect_err("no path");
    assert_eq!(error.to_string(), "client_id: the file path is empty");
}

#[tokio::test]
async fn the_failure_of_a_function_is_the_cause_and_says_whether_it_may_pass() {
    let auth = AuthorizationServer::in_memory();
    for (cause, transient) in [(Error::transient("vault is sealed"), true), (Error::permanent("no such path"), false)] {
        let secret = Secret::from_fn(move || std::future::ready(Err::<String, _>(cause.clone())));
        let error = ask(&source(secret, auth.clone())).await.expect_err("a failure");
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Credentials, transient));
        assert!(error.to_string().contains("client_secret: the function failed"), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
    assert!(auth.token_requests().is_empty());
}

/// Okta, Kong and Glewlwyd have no code, and some servers say at once when to come back.
#[tokio::test]
async fn a_secret_that_changed_while_it_was_refused_is_tried_within_the_same_call() {
    for refusal in [
        invalid_client("unknown"),
        ResponseTemplate::new(401).set_body_string(r#"{"errorCode":"invalid_client"}"#),
        ResponseTemplate::new(401).set_body_string("<html>"),
        ResponseTemplate::new(403),
        invalid_client("unknown").insert_header("retry-after", "120"),
    ] {
        let (secret, value) = function();
        let server = responding(move |request: &Request| {
            set(&value, "second");
            if secret_in(request) == "second" { token_response() } else { refusal.clone() }
        })
        .await;
        let (outcome, secrets) = asked(&server, secret).await;
        outcome.expect("a token");
        assert_eq!(secrets, ["first", "second"]);
    }
}

#[tokio::test]
async fn a_secret_that_did_not_change_is_tried_once() {
    let path = file("unchanged", "first");
    for secret in [Secret::from("first"), Secret::file(path), function().0] {
        let auth = server("other");
        ask(&source(secret, auth.clone())).await.expect_err("refused");
        assert_eq!(secrets(&auth), ["first"]);
    }
}

#[tokio::test]
async fn only_a_verdict_about_the_client_has_the_secret_read_again() {
    for (status, body, requests) in [
        (400, r#"{"error":"invalid_client"}"#, 2),
        // Keycloak, and whoever takes the status seriously.
        (401, r#"{"error":"unauthorized_client"}"#, 2),
        (400, r#"{"error":"invalid_scope"}"#, 1),
        // Okta, Kong, Glewlwyd, and what stands before a server.
        (401, r#"{"errorCode":"invalid_client","errorSummary":"no"}"#, 2),
        (401, "<html>", 2),
        (403, "", 2),
        (403, r#"{"error":"Forbidden","status":403}"#, 2),
        (403, r#"{"error":"invalid_scope"}"#, 1),
        (403, r#"{"error":"access_denied"}"#, 1),
        (400, "", 1),
        (404, "", 1),
        (429, r#"{"error":"invalid_client"}"#, 1),
        (503, "", 1),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let secret = Secret::from_fn(move || {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            async move { Ok(number.to_string()) }
        });
        let auth = auth_responding(MockResponse::status(status).with_body(body));
        ask(&source(secret, auth.clone())).await.expect_err(body);
        // A function that never gives the same twice makes no loop.
        assert_eq!(auth.token_requests().len(), requests, "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn for_ten_minutes_after_a_change_the_previous_secret_is_tried_once_too() {
    let (secret, value) = function();
    let auth = server("first");
    let source = source(secret, auth.clone());
    ask(&source).await.expect("a token");
    set(&value, "second");
    ask(&source).await.expect("a token, by the secret that the server still knows");
    tokio::time::advance(Duration::from_secs(9 * 60 + 59)).await;
    ask(&source).await.expect("a token still");
    assert_eq!(secrets(&auth), ["first", "second", "first", "second", "first"]);

    auth.set_client("abcde", "third");
    assert_eq!(ask(&source).await.expect_err("refused").response().expect("a code").error, "invalid_client");
    assert_eq!(secrets(&auth)[5..], ["second", "first"], "each once");
    tokio::time::advance(Duration::from_secs(1)).await;
    auth.set_client("abcde", "first");
    ask(&source).await.expect_err("the previous secret is history");
    assert_eq!(secrets(&auth)[7..], ["second"]);
}

#[tokio::test]
async fn a_server_that_repeats_secrets_of_earlier_attempts_puts_none_into_an_error() {
    let (secret, value) = function();
    let server = responding(move |request: &Request| {
        set(&value, "second");
        invalid_client(&format!("{} is neither first nor second", secret_in(request)))
    })
    .await;
    let (outcome, secrets) = asked(&server, secret).await;
    let error = outcome.expect_err("refused");
    assert_eq!(secrets, ["first", "second"]);
    let text = format!("{error} {error:?}");
    assert!(text.contains("[redacted]") && !text.contains("first") && !text.contains("second"), "{text}");
}

#[test]
fn a_secret_shows_where_it_comes_from_and_never_what_it_is() {
    let fixed = Secret::from("s3cr3t");
    assert_eq!(format!("{fixed:?} {:?}", Secret::from(secrecy::SecretString::from("s3cr3t"))), "[redacted] [redacted]");
    assert_eq!(format!("{:?}", Secret::file("/run/secrets/a")), "file \"/run/secrets/a\"");
    assert_eq!(format!("{:?}", Secret::from_fn(|| async { Ok("s3cr3t") })), "function");
    let builder = |id: Secret| format!("{:?}", ClientCredentials::builder(URL, id, "s3cr3t"));
    assert!(builder("abcde".into()).contains("client_id: \"abcde\""));
    assert!(builder(Secret::file("/run/id")).contains("client_id: file \"/run/id\""));
}

mod while_token_requests_are_held_back {
    use client_credentials::{Clock, TokenCache, TokenRequest};
    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn cache(source: ClientCredentials) -> TokenCache {
        // Behind an `Arc`, which hands on what the source knows.
        TokenCache::builder(Arc::new(source)).clock(Clock::tokio()).build().expect("complete")
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_changes_ends_it_within_a_second() {
        let path = file("held-back", "wrong");
        let auth = server("right");
        let tokens = cache(source(Secret::file(&path), auth.clone()));
        tokens.token().await.expect_err("refused");
        sleep(3 * SECOND).await;
        assert!(tokens.token().await.expect_err("held back").retry_after().is_some());
        std::fs::write(&path, "right\n").expect("a file");
        sleep(SECOND + SECOND / 10).await;
        tokens.token().await.expect("a token, long before the ten seconds are over");
        assert_eq!(secrets(&auth), ["wrong", "right"]);
    }

    #[tokio::test(start_paused = true)]
    async fn for_keys_that_nobody_asked_for_before_as_well() {
        let path = file("held-back-keys", "wrong");
        let tokens = cache(source(Secret::file(&path), server("right")));
        let scope = |scope| TokenRequest::builder().scope(scope).build().expect("a request");
        for key in ["a", "b", "c", "another"] {
            tokens.token_for(&scope(key)).await.expect_err("refused, or held back since three were");
        }
        std::fs::write(&path, "right\n").expect("a file");
        sleep(SECOND + SECOND / 10).await;
        tokens.token_for(&scope("one more")).await.expect("a token");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_refusal_without_a_code_too_which_holds_back_that_token_alone() {
        for (status, body) in [(401, r#"{"errorCode":"invalid_client"}"#), (401, "<html>"), (403, "")] {
            let path = file("held-back-without-a-code", "wrong");
            let auth = AuthorizationServer::in_memory();
            auth.respond_next(MockResponse::status(status).with_body(body));
            let tokens = cache(source(Secret::file(&path), auth.clone()));
            tokens.token().await.expect_err("refused");
            let other = TokenRequest::builder().scope("other").build().expect("a request");
            tokens.token_for(&other).await.expect("a token of another key");
            sleep(9 * SECOND).await;
            let error = tokens.token().await.expect_err("held back for ten seconds");
            assert!(!error.is_transient() && error.retry_after().is_some(), "{error}");
            assert_eq!(auth.token_requests().len(), 2);
            std::fs::write(&path, "right\n").expect("a file");
            sleep(SECOND + SECOND / 10).await;
            tokens.token().await.expect("a token, as soon as the secret is mended");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_stays_or_cannot_be_read_does_not() {
        for then in [Some("wrong\n"), Some(""), None] {
            let path = file("held-back-unchanged", "wrong");
            let auth = server("right");
            let tokens = cache(source(Secret::file(&path), auth.clone()));
            tokens.token().await.expect_err("refused");
            match then {
                Some(content) => std::fs::write(&path, content).expect("a file"),
                None => std::fs::remove_file(&path).expect("removed"),
            }
            for _ in 0..9 {
                sleep(SECOND).await;
                tokens.token().await.expect_err("held back");
            }
            assert_eq!(auth.token_requests().len(), 1, "{then:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_is_called_every_ten_seconds_and_ends_it_too() {
        let (secret, value) = function();
        let auth = server("second");
        let tokens = cache(source(secret, auth.clone()));
        for wait in [0, 11, 21] {
            sleep(wait * SECOND).await;
            tokens.token().await.expect_err("refused");
        }
        assert_eq!(auth.token_requests().len(), 3, "held back for 40 s now");
        sleep(12 * SECOND).await;
        set(&value, "second");
        sleep(9 * SECOND).await;
        tokens.token().await.expect("a token, half way through");
        assert_eq!(secrets(&auth), ["first", "first", "first", "second"]);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_old_token_lives_too() {
        let path = file("held-back-alive", "first");
        let auth = server("first");
        let tokens = cache(source(Secret::file(&path), auth.clone()));
        let old = tokens.token().await.expect("a token");
        auth.set_client("abcde", "second");
        advance(46 * 60 * SECOND).await;
        tokens.token().await.expect("the old token, and a renewal that fails");
        sleep(SECOND).await;
        tokens.token().await.expect("the old token, without a renewal");
        assert_eq!(secrets(&auth), ["first", "first"]);
        std::fs::write(&path, "second").expect("a file");
        sleep(2 * SECOND).await;
        assert_eq!(tokens.token().await.expect("the old token").expose_secret(), old.expose_secret());
        sleep(SECOND).await;
        assert_eq!(secrets(&auth), ["first", "first", "second"], "renewed at the next request");
    }

    #[tokio::test(start_paused = true)]
    async fn for_every_token_that_was_refused_with_it() {
        let path = file("held-back-scopes", "wrong");
        let auth = server("right");
        let tokens = cache(source(Secret::file(&path), auth.clone()));
        let other = TokenRequest::builder().scope("other").build().expect("a request");
        let (own, others) = tokio::join!(tokens.token(), tokens.token_for(&other));
        own.expect_err("refused");
        others.expect_err("refused");
        assert_eq!(secrets(&auth), ["wrong", "wrong"], "both were on their way");
        std::fs::write(&path, "right").expect("a file");
        sleep(2 * SECOND).await;
        tokens.token().await.expect("a token, long before the ten seconds are over");
        tokens.token_for(&other).await.expect("the other token too");
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_is_not_flooded_with_a_secret_that_never_stops_changing() {
        let count = AtomicUsize::new(0);
        let changing =
            Secret::from_fn(move || std::future::ready(Ok(count.fetch_add(1, Ordering::SeqCst).to_string())));
        let auth = auth_responding(MockResponse::oauth_error("invalid_client"));
        let tokens = cache(source(changing, auth.clone()));
        let mut seen = Vec::new();
        for _ in 0..10 {
            let before = auth.token_requests().len();
            for _ in 0..60 {
                let _ = tokens.token().await;
                sleep(SECOND).await;
            }
            seen.push(auth.token_requests().len() - before);
        }
        assert!(seen[0] <= 10 && seen[1..].iter().all(|requests| *requests <= 4), "{seen:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_mended_secret_ends_what_the_server_asked_for_along_with_its_refusal() {
        let path = file("held-back-retry-after", "wrong");
        let auth = auth_responding(MockResponse::oauth_error("invalid_client").with_retry_after(120 * SECOND));
        let tokens = cache(source(Secret::file(&path), auth.clone()));
        for _ in 0..20 {
            tokens.token().await.expect_err("refused");
            sleep(SECOND).await;
        }
        assert_eq!(secrets(&auth), ["wrong"]);
        std::fs::write(&path, "right").expect("a file");
        for _ in 0..3 {
            sleep(SECOND).await;
            tokens.token().await.expect_err("refused");
        }
        assert_eq!(secrets(&auth)[..2], ["wrong", "right"]);
    }
}
