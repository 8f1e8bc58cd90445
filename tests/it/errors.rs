//! What a failure says, and how it is classified.

use std::{error::Error as _, io, time::Duration};

use crate::support::endpoint::{Failing, ask, auth_responding, obtain, source};
use client_credentials::{
    BearerAuthMiddleware, Error, ErrorKind, Secret, TokenCache,
    testing::{AuthorizationServer, MockResponse},
    token_fn,
};
use http::StatusCode;

const URL: &str = "https://auth.example.com/oauth2/token?tenant=7";

async fn fail(status: u16, headers: &[(&str, &str)], body: &str) -> Error {
    let response = MockResponse::status(status).with_body(body.to_owned());
    fail_by(headers.iter().fold(response, |response, (name, value)| response.with_header(name, value))).await
}

async fn fail_by(response: MockResponse) -> Error {
    let auth = auth_responding(response);
    obtain(source(URL).http_client(auth)).await.expect_err("a failure")
}

#[tokio::test]
async fn an_error_response_is_read_as_values() {
    let body =
        r#"{"error":"invalid_scope","error_description":"no such scope","error_uri":"https://auth.example.com/help"}"#;
    let error = fail(400, &[("retry-after", "7")], body).await;
    assert_eq!(error.kind(), ErrorKind::ErrorResponse);
    assert_eq!(error.status(), Some(StatusCode::BAD_REQUEST));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let response = error.response().expect("a response");
    assert_eq!(response.error, "invalid_scope");
    assert_eq!(response.error_description.as_deref(), Some("no such scope"));
    assert_eq!(response.error_uri.as_deref(), Some("https://auth.example.com/help"));
    let text = error.to_string();
    for said in ["https://auth.example.com/oauth2/token", "invalid_scope", "400", "no such scope", "check the scopes"] {
        assert!(text.contains(said), "{text}");
    }
    assert!(!text.contains("tenant"), "the query is not shown: {text}");
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_or_as_a_date() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:30 GMT");
    for (headers, expected) in [
        (&[("retry-after", "7")][..], Some(7)),
        (&[("retry-after", " 120 ")][..], Some(120)),
        (&[date, ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")][..], Some(7)),
        (&[date, ("retry-after", "Sunday, 06-Nov-94 08:50:30 GMT")][..], Some(60)),
        (&[date, ("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT")][..], None),
        (&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")][..], None),
        (&[("retry-after", "0")][..], None),
        (&[("retry-after", "-1")][..], None),
        (&[("retry-after", "soon")][..], None),
        (&[("retry-after", "")][..], None),
        (&[("retry-after", "0.0")][..], None),
        (&[("retry-after", "1.")][..], Some(1)),
        (&[("retry-after", "1 s")][..], None),
        // More than a day is a day.
        (&[("retry-after", "86401")][..], Some(86_400)),
        (&[("retry-after", "18446744073709551615")][..], Some(86_400)),
        (&[("retry-after", "99999999999999999999999")][..], Some(86_400)),
        (&[date, ("retry-after", "Sat, 06 Nov 2094 08:49:30 GMT")][..], Some(86_400)),
        (&[][..], None),
    ] {
        for status in [400, 429, 503] {
            let error = fail(status, headers, "").await;
            assert_eq!(error.retry_after(), expected.map(Duration::from_secs), "{status}, {headers:?}");
        }
    }
    assert_eq!(fail(503, &[("retry-after", "1.5")], "").await.retry_after(), Some(Duration::from_millis(1500)));
    let own = Error::transient("busy").with_retry_after(Duration::MAX);
    assert_eq!(own.retry_after(), Some(Duration::from_secs(86_400)));
}

#[tokio::test]
async fn an_error_is_classified_by_its_code_and_not_by_its_status() {
    for (status, code, transient) in [
        (400, "invalid_client", false),
        (401, "invalid_client", false),
        (403, "invalid_client", false),
        (200, "invalid_client", false),
        (400, "invalid_scope", false),
        (400, "invalid_grant", false),
        (400, "unauthorized_client", false),
        (400, "unsupported_grant_type", false),
        (400, "something_else", false),
        (429, "invalid_client", true),
        (429, "slow_down", true),
        (500, "invalid_request", true),
        (503, "invalid_client", true),
        (400, "temporarily_unavailable", true),
        (400, "server_error", true),
    ] {
        let error = fail(status, &[], &format!(r#"{{"error":"{code}"}}"#)).await;
        assert_eq!(error.kind(), ErrorKind::ErrorResponse, "{status} {code}");
        assert_eq!(error.is_transient(), transient, "{status} {code}");
        assert_eq!(error.response().map(|response| response.error.as_str()), Some(code));
    }
}

#[tokio::test]
async fn a_failure_without_a_code_quotes_what_servers_say_about_it() {
    const JSON: &str = "application/json";
    const HTML: &str = "text/html; charset=utf-8";
    const PLAIN: &str = "text/plain";
    for (content_type, body, excerpt) in [
        (JSON, r#"{"error":{"code":17,"message":"broken"}}"#, ": error.code: 17, error.message: broken"),
        (JSON, r#"{"message":"Bad request"}"#, ": message: Bad request"),
        (HTML, r#"{"message":"Bad request"}"#, ": message: Bad request"),
        (JSON, r#"{"errors":["one","two"]}"#, ": errors: one"),
        (JSON, r#"{"detail":[{"msg":"field required","input":"x"}]}"#, ": detail.msg: field required"),
        (JSON, r#"{"message":"cut in tw\ud83d","odd":1e400}"#, ": message: cut in tw\u{fffd}\u{fffd}\u{fffd}"),
        (JSON, r#"{"data":{"message":"x"},"items":[1],"status":null}"#, ""),
        (JSON, r#"["one"]"#, ""),
        (JSON, r#"{"message":"Bad re"#, ""),
        ("application/xml", "<error><message>no</message></error>", ""),
        (HTML, "", ": an HTML page without a title"),
        (HTML, "<html>\r\n\t<h1>Bad   gateway</h1></html>", ": an HTML page without a title"),
        (
            JSON,
            "<!DOCTYPE html><TITLE lang=en>\n502 Bad\tGateway</TITLE>",
            ": an HTML page with the title \"502 Bad Gateway\"",
        ),
        (PLAIN, "no healthy upstream\nand more", ": no healthy upstream"),
        (PLAIN, "upstream \u{1b}[31mconnect\u{1b}[0m\u{7}error\u{9b}1m!", ": upstream connect error !"),
        (PLAIN, "a b\u{202e}c\u{200b}d\u{2066}e\u{61c}f\u{feff}g", ": a b c d e f g"),
        (PLAIN, "q7w8e9r0t1", ""),
        ("", "no healthy upstream", ""),
    ] {
        let error = fail(502, &[("content-type", content_type)], body).await;
        assert_eq!(error.kind(), ErrorKind::Status, "{body}");
        assert_eq!(error.status(), Some(StatusCode::BAD_GATEWAY));
        assert!(error.is_transient() && error.response().is_none());
        let text = error.to_string();
        assert!(text.ends_with(&format!("failed: HTTP 502{excerpt}")), "{body:?}: {text:?}");
    }
}

#[tokio::test]
async fn however_long_a_response_is_what_is_quoted_is_short() {
    let members: String = (0..10_000).map(|number| format!("\"message{number}\":\"\\u0061\",")).collect();
    for long in [
        format!("{{\"message\":\"{}\"}}", "x".repeat(250_000)),
        format!("{{\"message\":\"{}\"}}", "%255c%26amp;".repeat(20_000)),
        format!("{{{members}\"status\":\"{}\"}}", "\\u001b[".repeat(10_000)),
        format!("{{\"errors\":[{}\"x\"]}}", "{\"message\":\"y\"},".repeat(10_000)),
        format!("{{\"detail\":{}", "[".repeat(250_000)),
        format!("<html><title>{}", "\u{e9}".repeat(100_000)),
        format!("a {}", "\u{1b}[".repeat(100_000)),
    ] {
        for status in [200, 401, 500] {
            for content_type in ["application/json", "text/html", "text/plain"] {
                let text = fail(status, &[("content-type", content_type)], &long).await.to_string();
                assert!(text.chars().count() < 500, "{} characters: {text}", text.chars().count());
            }
        }
    }
}

#[tokio::test]
async fn code_and_description_are_clean_and_a_description_may_be_longer_than_the_message() {
    let body =
        format!(r#"{{"error":"{}","error_description":"a\u001b[1mb\u202e{}"}}"#, "e".repeat(2000), "d".repeat(2000));
    let error = fail(400, &[], &body).await;
    let response = error.response().expect("an OAuth error");
    assert_eq!(response.error.chars().count(), 200);
    let description = response.error_description.as_deref().expect("one");
    assert!(description.starts_with("a b ddd") && description.chars().count() == 1000, "{description}");
    assert!(error.to_string().chars().count() < 600, "{error}");
    // As Entra writes it.
    let description =
        format!("AADSTS7000215: Invalid client secret. {} Correlation ID: 7-7-7", "x ".repeat(150).trim());
    let body = serde_json::json!({"error": "invalid_client", "error_description": description});
    let error = fail(401, &[], &body.to_string()).await;
    assert_eq!(error.response().and_then(|response| response.error_description.as_deref()), Some(&*description));
    assert!(!error.to_string().contains("Correlation"), "{error}");
}

#[tokio::test]
async fn a_code_without_a_description_has_what_else_the_server_says() {
    let error =
        fail(401, &[], r#"{"status":401,"error":"Unauthorized","message":"Bad credentials","path":"/t"}"#).await;
    assert!(error.to_string().contains("Unauthorized (HTTP 401): message: Bad credentials, status: 401"), "{error}");
    let response = error.response().expect("an OAuth error");
    assert_eq!((response.error.as_str(), response.error_description.as_deref()), ("Unauthorized", None));
}

#[tokio::test]
async fn an_encoding_that_the_client_does_not_undo_is_named() {
    for status in [200, 400, 500] {
        let error = fail(status, &[("content-encoding", "br")], "\u{1b}\u{f}").await;
        assert!(error.to_string().contains("encoded as br, which the HTTP client does not decode"), "{error}");
        let error = fail(status, &[("content-encoding", "identity")], "").await;
        assert!(!error.to_string().contains("encoded"), "{error}");
    }
}

#[tokio::test]
async fn a_token_that_stands_in_a_failure_is_not_quoted() {
    for body in [
        r#"{"access_token":"q7w8e9r0t1"}"#,
        r#"{"access_token":"q7w8e9r0t1","message":"issued q7w8e9r0t1"}"#,
        r#"{"access_token":"q7w8e9r0t1","error":"invalid_scope","error_description":"issued q7w8e9r0t1"}"#,
        r#"{"data":[{"access_token":"q7w8e9r0t1","id_token":"q7w8e9r0t1"}]}"#,
        r#"{"data":{"refresh_token":["q7w8e9r0t1"]}}"#,
        r#"{"data":{"token":"q7w8e9r0t1"}}"#,
        r#"{"status":"ok","result":"q7w8e9r0t1"}"#,
        r#"{"message":{"token":"q7w8e9r0t1"},"error":{"token":"q7w8e9r0t1"}}"#,
        r#"{"access_token":"q7w8e9r0t1","#,
        r#"{"message":"no","access_token":"q7w8e9r0t1","#,
        "<response><access_token>q7w8e9r0t1</access_token></response>",
        "<html><title>Token</title><p>q7w8e9r0t1</p></html>",
        "q7w8e9r0t1",
        "token: q7w8e9r0t1",
        "the access_token: q7w8e9r0t1",
        "expires_in=60&access_token=q7w8e9r0t1",
        "refresh_token=q7w8e9%72%30t1&access_token=q7w8e9r0t1&again=q7w8e9r0t1",
        "error=no&access_token=q7w8e9r0t1&error_description=q7w8e9r0t1",
        "access_token = q7w8e9r0t1",
    ] {
        for content_type in ["application/json", "application/x-www-form-urlencoded", "text/html", "text/plain", ""] {
            for status in [300, 400, 401, 500] {
                let error = fail(status, &[("content-type", content_type)], body).await;
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains("q7w8"), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_code_the_status_says_whether_only_a_person_can_mend_it() {
    for (status, transient) in [
        (302, false),
        (308, false),
        (400, true),
        (401, false),
        (403, false),
        (404, false),
        (405, false),
        (407, true),
        (408, true),
        (418, true),
        (429, true),
        (500, true),
        (501, true),
        (504, true),
    ] {
        for body in ["<html>no</html>", "", r#"{"errorCode":"invalid_client"}"#] {
            assert_eq!(fail(status, &[], body).await.is_transient(), transient, "{status} {body}");
        }
    }
}

#[tokio::test]
async fn the_cause_is_kept() {
    let error = fail_by(MockResponse::disconnect()).await;
    assert_eq!(error.kind(), ErrorKind::Reset);
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).expect("an I/O error");
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionReset);
    // A parser's error can quote what it read.
    let unreadable = fail(200, &[], r#"{"access_token":"abcde","#).await;
    assert!(unreadable.source().is_none());
}

#[tokio::test]
async fn the_first_line_says_why() {
    let cut = || io::Error::other("the cable was cut");
    let client = Failing(move || Error::transient(cut()));
    let by_client = obtain(source(URL).http_client(client)).await.expect_err("a failure");
    let sealed = Secret::from_fn(|| std::future::ready(Err::<String, _>(Error::permanent("the vault is sealed"))));
    let sealed =
        source(URL).http_client(AuthorizationServer::in_memory()).authentication(sealed).build().expect("complete");
    let by_secret = ask(&sealed).await.expect_err("a failure");
    for (error, kind, expected) in [
        (Error::transient(cut()), ErrorKind::Transport, "the token source failed: the cable was cut"),
        (Error::permanent("withdrawn"), ErrorKind::Refused, "the token source refused: withdrawn"),
        (
            by_client,
            ErrorKind::Transport,
            "token request to https://auth.example.com/oauth2/token failed: the HTTP client `Failing` failed: \
             the cable was cut",
        ),
        (
            by_secret,
            ErrorKind::Credentials,
            "token request to https://auth.example.com/oauth2/token failed: client_secret: the function failed: \
             the vault is sealed",
        ),
    ] {
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, expected));
        assert!(error.source().is_some());
    }
    let refused = token_fn(|_| async { Err(Error::permanent("withdrawn")) });
    let tokens = TokenCache::builder(refused).origin("https://api.example.com").build().expect("a cache");
    let client =
        reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(BearerAuthMiddleware::new(tokens)).build();
    let send = async |url| client.get(url).send().await.expect_err("not sent").to_string();
    let first = send("https://api.example.com/").await;
    assert_eq!(first, "request not sent: the token source refused: withdrawn");
    let later = send("https://api.example.com/").await;
    let pause = later.strip_prefix(&format!("{first}; next attempt in ")).and_then(|rest| rest.strip_suffix(" s"));
    assert!(pause.and_then(|pause| pause.parse().ok()).is_some_and(|pause: f64| pause > 1.0), "{later}");
    let insecure = send("http://api.example.com/").await;
    assert!(insecure.starts_with("request not sent: a token would go over plain http to http://api.ex"), "{insecure}");
}

#[test]
fn a_source_of_ones_own_classifies_its_failures() {
    for (error, kind, transient) in [
        (Error::transient("down"), ErrorKind::Transport, true),
        (Error::transient(io::Error::from(io::ErrorKind::TimedOut)), ErrorKind::Timeout, true),
        (Error::transient(io::Error::from(io::ErrorKind::ConnectionRefused)), ErrorKind::Connect, true),
        (Error::transient(io::Error::other("certificate expired")), ErrorKind::Tls, true),
        // Windows' CERT_E_UNTRUSTEDROOT.
        (Error::transient(io::Error::from_raw_os_error(-2_146_762_487)), ErrorKind::Tls, true),
        (Error::permanent("revoked"), ErrorKind::Refused, false),
        (Error::permanent(io::Error::from(io::ErrorKind::TimedOut)), ErrorKind::Refused, false),
    ] {
        assert_eq!((error.kind(), error.is_transient()), (kind, transient), "{error:?}");
        assert!(error.source().is_some());
    }
    let held = Error::transient("busy").with_retry_after(Duration::from_secs(9));
    assert_eq!(held.retry_after(), Some(Duration::from_secs(9)));
}

#[test]
fn an_error_can_go_anywhere() {
    fn anywhere<T: Clone + Send + Sync + std::error::Error + 'static>() {}
    anywhere::<Error>();
}
