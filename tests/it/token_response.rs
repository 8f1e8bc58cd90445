//! How the token endpoint's response is read (RFC 6749 section 5.1), as servers really write it.

use std::time::Duration;

use crate::support::{
    endpoint::{ask, auth_responding, obtain, source},
    responding,
};
use client_credentials::{
    AccessToken, Error, ErrorKind,
    testing::{AuthorizationServer, MockResponse},
};
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
    obtain(source(server.uri())).await
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
        // Zero or less states nothing.
        ("0", None),
        ("-0.5", None),
        ("-1", None),
        ("\"-5\"", None),
        ("-1e400", None),
        ("null", None),
    ] {
        let token = read(format!(r#"{{"access_token":"t","expires_in":{written}}}"#)).await.expect(written);
        assert_eq!(token.expires_in().map(|lifetime| lifetime.as_secs_f64()), expected, "{written}");
    }
    assert_eq!(read(r#"{"access_token":"t"}"#).await.expect("a token").expires_in(), None);
}

#[tokio::test]
async fn a_huge_lifetime_is_clamped() {
    for written in ["9223372036854775807", "18446744073709551616", "1e300", "1e400", "\"1e400\"", "\"inf\""] {
        let token = read(format!(r#"{{"access_token":"t","expires_in":{written}}}"#)).await.expect(written);
        let lifetime = token.expires_in().expect("a lifetime");
        assert!(lifetime > Duration::from_secs(365 * 24 * 60 * 60), "{written}");
        assert!(std::time::Instant::now().checked_add(lifetime).is_some(), "{written}");
    }
}

#[tokio::test]
async fn a_lifetime_that_is_not_a_number_is_an_error_that_names_what_it_is() {
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
        r#","token_type":"Bearer ""#,
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
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::InvalidResponse, false));
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
        assert!(error.to_string().contains("token_type") && !error.is_transient(), "{error}");
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
        let token = obtain(source(server.uri()).scope("a b")).await.expect(written);
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
        let says = format!("the response (HTTP 200) is an error, but its `error` is {says}, not a code");
        assert!(error.to_string().contains(&says), "{error}");
    }
}

#[tokio::test]
async fn an_error_member_that_says_nothing_is_ignored() {
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
async fn a_success_without_a_token_says_what_is_there_instead() {
    for (body, says) in [
        (r#"{"errcode":40013,"errmsg":"invalid appid"}"#, "its members: errcode: 40013, errmsg: invalid appid"),
        (r#"{"status":"error","msg":"no such client"}"#, "its members: msg: no such client, status: error"),
        (r#"{"data":{"access_token":"q7w8"},"success":true}"#, "its members: data, success: true"),
        (r#"{"accessToken":"q7w8","expiresIn":60}"#, "its members: accessToken, expiresIn"),
    ] {
        let error = read(body).await.expect_err(body);
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
        assert!(error.to_string().ends_with(&format!("the response has no access_token; {says}")), "{error}");
    }
    let page = "<html><title>Sign in</title><p>q7w8</p></html>";
    let error = read_as(200, "text/html", page).await.expect_err("no token");
    assert!(error.to_string().contains("text/html with the title \"Sign in\") is not a token response"), "{error}");
    for body in ["q7w8e9r0t1", "the token q7w8e9r0t1"] {
        let error = read_as(200, "text/plain", body).await.expect_err("no token response");
        assert!(!error.to_string().contains("q7w8"), "{error}");
    }
}

/// A glitch of a server or of a proxy, like a response that was cut off.
#[tokio::test(start_paused = true)]
async fn one_success_that_is_empty_a_page_or_cut_off_is_tried_again_quickly() {
    use client_credentials::{Clock, TokenCache};

    for (body, requests) in [
        ("", 2),
        ("<html>Please wait</html>", 2),
        (r#"{"access_token":"t","#, 2),
        (r#"{"errcode":40013}"#, 1),
        (r#"{"access_token":"t","token_type":"mac"}"#, 1),
    ] {
        let auth = AuthorizationServer::in_memory();
        auth.respond_next(MockResponse::status(200).with_body(body));
        let source = source(auth.token_url()).http_client(auth.clone()).build().expect("complete");
        let tokens = TokenCache::builder(source).clock(Clock::tokio()).build().expect("complete");
        assert_eq!(tokens.token().await.is_ok(), requests == 2, "{body}");
        assert_eq!(auth.token_requests().len(), requests, "{body}");
    }
}

/// As RFC 9068 has it: `exp` is read by the server's clock.
#[tokio::test(start_paused = true)]
async fn the_exp_of_a_jwt_bounds_a_lifetime_that_is_not_stated() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use client_credentials::{Clock, TokenCache};

    // The response is made at 784111777.
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (expires_in, exp, lives) in [
        ("", 784_111_777 + 600, 600),
        ("\"expires_in\":0,", 784_111_777 + 600, 600),
        ("\"expires_in\":900,", 784_111_777 + 600, 900),
        // The assumed lifetime, where that is shorter, or `exp` is past.
        ("", 784_111_777 + 7200, 3600),
        ("", 784_111_777 - 1, 3600),
    ] {
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"a","exp":{exp}}}"#));
        let body = format!(r#"{{{expires_in}"access_token":"eyJhbGciOiJub25lIn0.{payload}.c2ln"}}"#);
        let auth = auth_responding(MockResponse::status(200).with_header("date", date).with_body(body));
        let source = source(auth.token_url()).http_client(auth).build().expect("complete");
        let tokens = TokenCache::builder(source).clock(Clock::tokio()).build().expect("complete");
        tokens.token().await.expect("a token");
        let usable = tokens.status().usable_for().expect("a token").as_secs();
        assert!(usable <= lives && usable + 15 > lives, "{expires_in} {exp}: {usable}");
    }
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn that_a_lifetime_is_zero_or_less_is_said_once() {
    for written in ["0", "-1"] {
        let (log, _guard) = crate::support::log::Log::start();
        let body = format!(r#"{{"access_token":"t","expires_in":{written}}}"#);
        let auth = auth_responding(MockResponse::status(200).with_body(body));
        let source = source(auth.token_url()).http_client(auth).build().expect("complete");
        ask(&source).await.expect("a token");
        ask(&source).await.expect("a token");
        assert_eq!(log.text().matches("expires_in is zero or less").count(), 1, "{}", log.text());
    }
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn a_scope_that_is_dropped_or_replaced_is_said_once_for_each_scope() {
    for (granted, says) in [
        (r#""a b""#, false),
        (r#""b a c""#, false),
        (r#"["b","a"]"#, false),
        (r#""a,b""#, false),
        ("null", false),
        (r#""a""#, true),
        (r#""c""#, true),
        (r#""""#, true),
    ] {
        let (log, _guard) = crate::support::log::Log::start();
        let body = format!(r#"{{"access_token":"t","scope":{granted}}}"#);
        let server = responding(response(200, "application/json", body)).await;
        let source = source(server.uri()).scope("a b").build().expect("complete");
        for _ in 0..3 {
            ask(&source).await.expect("a token");
        }
        let text = log.text();
        let said = text.matches("the server granted a different scope from the one requested").count();
        assert_eq!(said, usize::from(says), "{granted}: {text}");
        assert!(!says || text.contains(r#"scope="a b""#), "{text}");
    }
}

/// What nobody reads cannot be wrong.
#[tokio::test]
async fn odd_members_that_nobody_reads_do_not_matter() {
    for odd in [
        "1e400",
        "-1e400",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "[1e999,{\"a\":\"\\ud800\"}]",
        "123456789012345678901234567890",
    ] {
        let token = read(format!(r#"{{"odd":{odd},"access_token":"t","expires_in":60}}"#)).await.expect(odd);
        assert_eq!((token.expose_secret(), token.expires_in()), ("t", Some(Duration::from_secs(60))));
        assert!(token.member("odd").is_some(), "{odd}");
    }
    read(r#"{"\ud800":1,"access_token":"t"}"#).await.expect("an odd name");
    let many: String = (0..1000).map(|number| format!("\"m{number}\":1,")).collect();
    read(format!(r#"{{"access_token":"t",{many}"access_token":"u"}}"#)).await.expect("many members");
}

#[tokio::test]
async fn a_form_encoded_response_is_understood() {
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
