//! What is made of the token endpoint's answer (RFC 6749 section 5.1), as servers really write it.

use std::time::Duration;

use crate::support::{
    endpoint::{ask, source},
    responding,
};
use client_credentials::{AccessToken, Error, ErrorKind};
use wiremock::ResponseTemplate;

fn response(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> ResponseTemplate {
    let response = ResponseTemplate::new(status);
    match content_type {
        "" => response.set_body_bytes(body),
        _ => response.set_body_raw(body, content_type),
    }
}

async fn read_as(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Result<AccessToken, Error> {
    let server = responding(response(status, content_type, body)).await;
    ask(&source(server.uri()).build().expect("complete")).await
}

async fn read(body: impl Into<Vec<u8>>) -> Result<AccessToken, Error> {
    read_as(200, "application/json", body).await
}

#[tokio::test]
async fn a_lifetime_is_read_as_servers_write_it() {
    for (written, expected) in [
        ("3600", Some(3600.0)),
        ("3600.0", Some(3600.0)),
        ("1.5", Some(1.5)),
        ("\"3600\"", Some(3600.0)),
        ("\" 7200 \"", Some(7200.0)),
        ("\"1.5\"", Some(1.5)),
        ("3.6e3", Some(3600.0)),
        ("0", Some(0.0)),
        ("-1", Some(0.0)),
        ("\"-5\"", Some(0.0)),
        ("null", None),
    ] {
        let token = read(format!(r#"{{"access_token":"t","expires_in":{written}}}"#)).await.expect(written);
        assert_eq!(token.expires_in().map(|lifetime| lifetime.as_secs_f64()), expected, "{written}");
    }
    assert_eq!(read(r#"{"access_token":"t"}"#).await.expect("a token").expires_in(), None);
}

#[tokio::test]
async fn a_huge_lifetime_is_clamped() {
    for written in ["9223372036854775807", "18446744073709551616", "1e300", "\"1e300\"", "\"inf\""] {
        let token = read(format!(r#"{{"access_token":"t","expires_in":{written}}}"#)).await.expect(written);
        let lifetime = token.expires_in().expect("a lifetime");
        assert!(lifetime > Duration::from_secs(365 * 24 * 60 * 60), "{written}");
        assert!(std::time::Instant::now().checked_add(lifetime).is_some(), "{written}");
    }
}

#[tokio::test]
async fn a_lifetime_that_is_none_is_an_error_that_says_what_was_there() {
    for (written, what) in [
        ("true", "a boolean"),
        ("\"soon\"", "a string"),
        ("\"\"", "a string"),
        ("\"NaN\"", "a string"),
        ("[3600]", "an array"),
        ("{}", "an object"),
    ] {
        let error = read(format!(r#"{{"access_token":"t","expires_in":{written}}}"#)).await.expect_err(written);
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{written}");
        let text = error.to_string();
        assert!(text.contains("expires_in") && text.contains(what), "{written}: {text}");
    }
}

#[tokio::test]
async fn bearer_is_bearer_in_any_case_and_where_it_is_not_named() {
    for written in [
        r#","token_type":"Bearer""#,
        r#","token_type":"bearer""#,
        r#","token_type":"BEARER""#,
        "",
        r#","token_type":null"#,
    ] {
        let token = read(format!(r#"{{"access_token":"t"{written}}}"#)).await.expect(written);
        assert_eq!(token.authorization(), "Bearer t");
    }
}

#[tokio::test]
async fn another_token_type_needs_permission_and_is_sent_as_bearer() {
    for named in ["BearerToken", "Application Access Token", "jwt-bearer", "DPoP", "mac"] {
        let body = format!(r#"{{"access_token":"abcde","token_type":"{named}"}}"#);
        let error = read(body.clone()).await.expect_err(named);
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
        assert!(error.to_string().contains(named), "{error}");
        let server = responding(response(200, "application/json", body)).await;
        let builder = source(server.uri());
        let allowed = builder.clone().accept_token_type(named.to_uppercase()).build().expect("complete");
        assert_eq!(ask(&allowed).await.expect(named).authorization(), "Bearer abcde");
        let other = builder.accept_token_type("something else").build().expect("complete");
        ask(&other).await.expect_err("not what was allowed");
    }
    let error = read(r#"{"access_token":"abcde","token_type":"DPoP"}"#).await.expect_err("not a bearer token");
    assert!(error.to_string().contains("turn off DPoP for this client at the server"), "{error}");
    for written in ["7", "[]", "{}", "false"] {
        let error = read(format!(r#"{{"access_token":"abcde","token_type":{written}}}"#)).await.expect_err(written);
        assert!(error.to_string().contains("token_type"), "{error}");
    }
}

#[tokio::test]
async fn an_access_token_that_cannot_be_sent_is_an_error() {
    for written in [
        "{}",
        r#"{"access_token":null}"#,
        r#"{"access_token":7}"#,
        r#"{"access_token":["t"]}"#,
        r#"{"access_token":{"t":"t"}}"#,
        r#"{"access_token":true}"#,
        r#"{"access_token":""}"#,
        r#"{"access_token":"a b"}"#,
        r#"{"access_token":"a\nb"}"#,
        r#"{"access_token":"a\u0000b"}"#,
        r#"{"access_token":"caf\u00e9"}"#,
        r#"{"access_token":"café"}"#,
        r#"{"access_token":"\ud800"}"#,
        r#"{"accessToken":"t"}"#,
    ] {
        let error = read(written).await.expect_err(written);
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{written}");
        assert_eq!(error.status().map(|status| status.as_u16()), Some(200), "{written}");
        assert!(error.is_transient(), "{written}");
    }
}

#[tokio::test]
async fn json_escapes_in_a_token_are_decoded() {
    let token = read(r#"{"access_token":"a\/b\u0041\u002b=="}"#).await.expect("a token");
    assert_eq!(token.expose_secret(), "a/bA+==");
}

#[tokio::test]
async fn unknown_and_repeated_members_are_tolerated() {
    let token = read(
        r#"{"x":{"deep":[1,2,{}]},"access_token":"first","access_token":"last","refresh_token":"r","expires_in":1,"expires_in":2}"#,
    )
    .await
    .expect("a token");
    assert_eq!((token.expose_secret(), token.expires_in()), ("last", Some(Duration::from_secs(2))));
}

#[tokio::test]
async fn further_members_can_be_read_and_are_not_shown() {
    let body = r#"{"access_token":"t","token_type":"Bearer","instance_url":"https:\/\/eu1.example.com","jti":"J-7","ext_expires_in":7200,
        "refresh_in":1800,"refresh_token":"r3fresh","flags":["a",{"b":null}],"nothing":null}"#;
    let token = read(body).await.expect("a token");
    assert_eq!(token.member("instance_url"), Some("https://eu1.example.com"));
    assert_eq!(token.member("jti"), Some("J-7"));
    assert_eq!(token.member("ext_expires_in"), Some("7200"));
    assert_eq!(token.member("flags"), Some(r#"["a",{"b":null}]"#));
    assert_eq!(token.refresh_in(), Some(Duration::from_secs(1800)));
    for absent in ["refresh_token", "access_token", "token_type", "refresh_in", "nothing", "other", ""] {
        assert_eq!(token.member(absent), None, "{absent}");
    }
    let shown = format!("{token:?}{token:#?}");
    for hidden in ["eu1", "J-7", "7200", "r3fresh"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    let form = read_as(200, "text/plain", "access_token=t&instance_url=https%3A%2F%2Feu1.example.com").await;
    assert_eq!(form.expect("a token").member("instance_url"), Some("https://eu1.example.com"));
}

#[test]
fn a_source_of_ones_own_can_set_further_members() {
    let token = AccessToken::new("t").expect("a token").with_member("jti", "J-7").with_member("jti", "J-8");
    assert_eq!(token.member("jti"), Some("J-8"));
}

#[tokio::test]
async fn the_granted_scope_can_be_seen() {
    for (written, expected) in [
        (r#""a b""#, Some("a b")),
        (r#"["a","b"]"#, Some("a b")),
        (r#"["a"]"#, Some("a")),
        (r#""a""#, Some("a")),
        ("null", None),
    ] {
        let body = format!(r#"{{"access_token":"t","scope":{written}}}"#);
        let server = responding(response(200, "application/json", body)).await;
        let token = ask(&source(server.uri()).scope("a b").build().expect("complete")).await.expect(written);
        assert_eq!(token.scope(), expected, "{written}");
    }
    assert_eq!(read(r#"{"access_token":"t"}"#).await.expect("a token").scope(), None);
}

#[tokio::test]
async fn a_success_with_an_error_in_it_is_a_failure() {
    let error =
        read(r#"{"error":"invalid_client","error_description":"no","access_token":"t"}"#).await.expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::ErrorResponse);
    assert_eq!(error.response().map(|response| response.error.as_str()), Some("invalid_client"));
    for (written, says) in
        [("{\"code\":17}", "an object"), ("true", "a boolean"), ("17", "a number"), ("[]", "an array")]
    {
        let error = read(format!(r#"{{"error":{written},"access_token":"t"}}"#)).await.expect_err("an error");
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
        let says = format!("the answer (HTTP 200) is an error, whose `error` is {says}, not a code");
        assert!(error.to_string().contains(&says), "{error}");
    }
}

#[tokio::test]
async fn an_error_member_that_says_nothing_is_none() {
    for written in ["null", "\"\"", "false", "0"] {
        read(format!(r#"{{"error":{written},"access_token":"t"}}"#)).await.expect(written);
    }
}

#[tokio::test]
async fn created_with_a_token_is_a_success() {
    assert_eq!(
        read_as(201, "application/json", r#"{"access_token":"t"}"#).await.expect("a token").expose_secret(),
        "t"
    );
}

#[tokio::test]
async fn a_success_without_a_token_response_names_status_and_content_type() {
    for (content_type, body) in [
        ("text/html", "<html><body>Sign in</body></html>"),
        ("application/json", ""),
        ("application/json", "null"),
        ("application/json", "[]"),
        ("application/json", "\"t\""),
        ("application/json", "7"),
        ("application/json", r#"{"access_token":"t","expires_"#),
        ("application/x-www-form-urlencoded", "nothing=here"),
        ("text/plain", "t"),
    ] {
        let error = read_as(200, content_type, body).await.expect_err(body);
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{body}");
        let text = error.to_string();
        assert!(text.contains("200") && text.contains(content_type), "{body}: {text}");
        assert!(!text.contains("Sign in"), "a 2xx body may hold a token: {text}");
    }
    let error = read_as(200, "", "<html>").await.expect_err("no token");
    assert!(error.to_string().contains("without a content type"), "{error}");
    let deep = "[".repeat(100_000);
    assert_eq!(read(deep).await.expect_err("no token").kind(), ErrorKind::InvalidResponse);
}

#[tokio::test]
async fn a_compressed_answer_that_nobody_decodes_is_named() {
    let server = responding(response(200, "", [0x1b, 0x0f]).insert_header("content-encoding", "br")).await;
    let error = ask(&source(server.uri()).build().expect("complete")).await.expect_err("no token");
    assert!(error.to_string().contains("br"), "{error}");
}

#[tokio::test]
async fn a_form_encoded_answer_is_understood() {
    for content_type in [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        "text/plain",
        "text/plain;charset=UTF-8",
    ] {
        let body = "access_token=a%2Fb%2B&expires_in=3600&scope=a+b&token_type=bearer";
        let token = read_as(200, content_type, body).await.expect(content_type);
        assert_eq!(token.expose_secret(), "a/b+");
        assert_eq!(token.expires_in(), Some(Duration::from_secs(3600)));
        assert_eq!(token.scope(), Some("a b"));
    }
    let error = read_as(400, "application/x-www-form-urlencoded", "error=invalid_scope&error_description=no+such")
        .await
        .expect_err("an error");
    let response = error.response().expect("an OAuth error");
    assert_eq!((response.error.as_str(), response.error_description.as_deref()), ("invalid_scope", Some("no such")));
}

#[tokio::test]
async fn marks_labels_and_types_around_the_json_do_not_matter() {
    let json = r#"{"access_token":"t","expires_in":60}"#;
    for content_type in [
        "application/json; charset=utf-8",
        "application/json; charset=ISO-8859-1",
        "application/vnd.example+json",
        "text/plain",
        "text/html",
        "application/octet-stream",
        "",
    ] {
        read_as(200, content_type, json).await.expect(content_type);
    }
    read_as(200, "application/json", format!("\u{feff}{json}")).await.expect("a byte order mark");
    read_as(200, "application/json", format!("\r\n {json}\n")).await.expect("white space");
    // ISO-8859-1 in a member that nobody needs, and in an error.
    read_as(200, "application/json; charset=ISO-8859-1", b"{\"access_token\":\"t\",\"note\":\"caf\xe9\"}".to_vec())
        .await
        .expect("another charset");
    let latin = b"{\"error\":\"invalid_client\",\"error_description\":\"refus\xe9\"}".to_vec();
    let error = read_as(401, "application/json; charset=ISO-8859-1", latin).await.expect_err("an error");
    assert_eq!(error.response().map(|response| response.error.as_str()), Some("invalid_client"));
}
