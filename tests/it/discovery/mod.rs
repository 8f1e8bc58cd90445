//! The token endpoint that an issuer's metadata names (RFC 8414, OpenID Connect Discovery 1.0).

mod over_time;

use crate::support::{
    endpoint::{ask, at, clients, form, token_response, with_client},
    keys::SignsWith,
    received, responding,
};
use base64::Engine;
use client_credentials::{
    ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, Error, ErrorKind, testing::AuthorizationServer,
};
use http::{Method, StatusCode, header};
use proptest::prelude::*;
use serde_json::{Value, json};
use wiremock::{MockServer, ResponseTemplate};

const ISSUER: &str = "https://auth.example.com";
const OPENID: &str = "https://auth.example.com/.well-known/openid-configuration";
const OAUTH: &str = "https://auth.example.com/.well-known/oauth-authorization-server";

fn source(issuer: &str) -> ClientCredentialsBuilder {
    ClientCredentials::discover(issuer, "abcde", "12345").any_origin()
}

fn document() -> Value {
    json!({"issuer": ISSUER, "token_endpoint": "https://auth.example.com/oauth2/token"})
}

fn response(status: u16, body: &(impl ToString + ?Sized)) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_string(body.to_string())
}

/// Issues tokens to whoever posts, and has these documents, by their URLs.
async fn server(documents: impl Fn(&str) -> ResponseTemplate + Send + Sync + 'static) -> MockServer {
    responding(
        move |request: &wiremock::Request| {
            if request.method == Method::POST { token_response() } else { documents(request.url.as_str()) }
        },
    )
    .await
}

/// One document, at every place.
async fn serving(document: &(impl ToString + ?Sized)) -> MockServer {
    let document = document.to_string();
    server(move |_| response(200, &document)).await
}

async fn asked(server: &MockServer) -> Vec<String> {
    received(server).await.iter().map(|request| format!("{} {}", request.method, request.url)).collect()
}

/// The URL of the token request.
async fn token_url(server: &MockServer) -> String {
    let asked = asked(server).await;
    asked.iter().find_map(|request| request.strip_prefix("POST ")).expect("a token request").to_owned()
}

async fn outcome(builder: ClientCredentialsBuilder, server: &MockServer) -> Result<(), Error> {
    ask(&builder.http_client(at(server)).build()?).await.map(drop)
}

#[tokio::test]
async fn what_only_a_person_can_mend_is_not_transient() {
    for (status, document, transient) in [
        (
            200,
            json!({"issuer": "https://other.example.com", "token_endpoint": "https://auth.example.com/token"}),
            false,
        ),
        (200, json!({"issuer": ISSUER, "token_endpoint": "https://evil.test/token"}), false),
        (200, json!({}), true),
        (403, json!({}), false),
        (404, json!({}), false),
        (503, json!({}), true),
    ] {
        let document = document.to_string();
        let server = server(move |_| response(status, &document)).await;
        let error = outcome(source(ISSUER), &server).await.expect_err("refused");
        assert_eq!(error.is_transient(), transient, "{error}");
    }
}

/// The error of a document that is not followed; and nothing was sent anywhere.
async fn refused(builder: ClientCredentialsBuilder, document: &(impl ToString + ?Sized)) -> String {
    let server = serving(document).await;
    let error = outcome(builder, &server).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
    let asked = asked(&server).await;
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("discovery of {ISSUER}")), "{text}");
    text
}

#[tokio::test]
async fn the_token_request_goes_where_the_document_says() {
    let server = serving(&document()).await;
    outcome(source(ISSUER).scope("stats"), &server).await.expect("a token");
    assert_eq!(asked(&server).await, [format!("GET {OPENID}"), "POST https://auth.example.com/oauth2/token".into()]);
    let seen = received(&server).await;
    assert!(seen[0].body.is_empty());
    assert!(!seen[0].headers.contains_key(header::AUTHORIZATION));
    assert_eq!(seen[0].headers[header::ACCEPT], "application/json");
    assert!(form(&seen[1].body).contains(&("client_secret".into(), "12345".into())));
}

/// django-oauth-toolkit has RFC 8414's document behind the issuer's path.
#[tokio::test]
async fn the_documents_are_where_the_two_specifications_put_them_or_behind_the_issuers_path() {
    for (issuer, places) in [
        (ISSUER, vec![OPENID, OAUTH]),
        ("https://auth.example.com/", vec![OPENID, OAUTH]),
        (
            "https://auth.example.com:8443/tenants/7",
            vec![
                "https://auth.example.com:8443/tenants/7/.well-known/openid-configuration",
                "https://auth.example.com:8443/.well-known/oauth-authorization-server/tenants/7",
                "https://auth.example.com:8443/tenants/7/.well-known/oauth-authorization-server",
            ],
        ),
        (
            "https://auth.example.com/realms/a%20b/",
            vec![
                "https://auth.example.com/realms/a%20b/.well-known/openid-configuration",
                "https://auth.example.com/.well-known/oauth-authorization-server/realms/a%20b",
                "https://auth.example.com/realms/a%20b/.well-known/oauth-authorization-server",
            ],
        ),
    ] {
        let last = *places.last().expect("a place");
        let document = json!({"issuer": issuer, "token_endpoint": "https://auth.example.com/token"});
        let server = server(move |url| if url == last { response(200, &document) } else { response(404, "") }).await;
        outcome(source(issuer), &server).await.expect(issuer);
        let mut expected: Vec<_> = places.iter().map(|place| format!("GET {place}")).collect();
        expected.push("POST https://auth.example.com/token".into());
        assert_eq!(asked(&server).await, expected);
    }
}

#[tokio::test]
async fn what_is_wrong_at_each_place_is_said_once() {
    let places = |path: &str| {
        let host = "https://auth.example.com";
        let oauth = "/.well-known/oauth-authorization-server";
        format!("{host}{path}/.well-known/openid-configuration, {host}{oauth}{path}, {host}{path}{oauth}")
    };
    let issuer = "https://auth.example.com/o";
    let nothing = server(|_| response(404, "<html>no</html>")).await;
    let error = outcome(source(issuer), &nothing).await.expect_err("no document");
    assert_eq!(error.to_string(), format!("discovery of {issuer} failed: {}: HTTP 404", places("/o")));
    let text = outcome(source(issuer), &serving(&document()).await).await.expect_err("another issuer's").to_string();
    let what = "the document's issuer is \"https://auth.example.com\" (write the issuer exactly as the server does)";
    assert_eq!(text, format!("discovery of {issuer} failed: {}: {what}", places("/o")));
    // What differs is said of each.
    let differing = server(|url| response(if url.contains("-server") { 403 } else { 404 }, "")).await;
    let text = outcome(source(issuer), &differing).await.expect_err("no document").to_string();
    assert!(text.contains("openid-configuration: HTTP 404; ") && text.matches("HTTP 403").count() == 1, "{text}");
}

#[tokio::test]
async fn a_first_place_without_a_usable_document_leads_to_the_second() {
    for first in [
        response(404, "<html>not found</html>"),
        response(403, ""),
        response(500, r#"{"error":"server_error"}"#),
        response(200, "<html>a page for everything</html>"),
        response(200, &json!({"issuer": "https://other.example.com", "token_endpoint": "https://other.example.com/t"})),
        response(200, &json!({"issuer": ISSUER})),
        response(302, "").insert_header("location", "https://evil.test/"),
    ] {
        let server = server(move |url| if url == OPENID { first.clone() } else { response(200, &document()) }).await;
        outcome(source(ISSUER), &server).await.expect("a token");
        assert_eq!(token_url(&server).await, "https://auth.example.com/oauth2/token");
    }
}

#[tokio::test]
async fn a_document_of_another_issuer_is_refused_by_both_names() {
    for other in ["https://auth.example.com/", "https://AUTH.example.com", "https://evil.test", ""] {
        let mut document = document();
        document["issuer"] = other.into();
        let text = refused(source(ISSUER), &document).await;
        assert!(text.contains(&format!("{other:?}")) && text.contains("exactly as the server does"), "{text}");
    }
    let text = refused(source(ISSUER), &json!({"token_endpoint": "https://auth.example.com/token"})).await;
    assert!(text.contains("has no issuer"), "{text}");
    for nonsense in [json!(null), json!(7), json!([ISSUER]), json!({})] {
        let mut document = document();
        document["issuer"] = nonsense;
        assert!(refused(source(ISSUER), &document).await.contains("issuer is "));
    }
}

#[tokio::test]
async fn a_token_endpoint_elsewhere_is_refused_unless_it_was_named() {
    for elsewhere in [
        "https://evil.test/token",
        "https://auth.example.com.evil.test/token",
        "https://login.auth.example.com/token",
        "https://example.com/token",
    ] {
        let document = json!({"issuer": ISSUER, "token_endpoint": elsewhere});
        let origin = elsewhere.strip_suffix("/token").expect("its path");
        let text = refused(source(ISSUER), &document).await;
        assert!(text.contains(origin) && text.contains(".token_endpoint_origin("), "{text}");
        refused(source(ISSUER).token_endpoint_origin("https://named.example.com"), &document).await;
        let server = serving(&document).await;
        outcome(source(ISSUER).token_endpoint_origin(origin), &server).await.expect("a token");
        assert_eq!(token_url(&server).await, elsewhere);
    }
    for same in ["https://AUTH.example.com./token", "https://auth.example.com:8443/token?tenant=7"] {
        let server = serving(&json!({"issuer": ISSUER, "token_endpoint": same})).await;
        outcome(source(ISSUER), &server).await.expect(same);
    }
}

#[tokio::test]
async fn a_token_endpoint_that_cannot_be_right_is_refused_with_its_reason() {
    for (written, reason) in [
        ("", "missing"),
        ("/oauth2/token", "is not absolute"),
        ("https://auth.example.com/a b", "is not a URL"),
        ("https://user:pass@auth.example.com/token", "user info"),
        ("https://auth.example.com/token#top", "fragment"),
        ("https://auth.example.com:99999/token", "port"),
        ("ftp://auth.example.com/token", "scheme other than https"),
        ("http://auth.example.com/token", "plain http"),
        ("http://127.0.0.1/token", "neither the issuer's host"),
    ] {
        let text = refused(source(ISSUER), &json!({"issuer": ISSUER, "token_endpoint": written})).await;
        assert!(text.contains(reason), "{text}");
    }
    // Naming another origin does not allow plain http to it; and an issuer's https is not given up.
    let downgrade = json!({"issuer": ISSUER, "token_endpoint": "http://auth.example.com/token"});
    refused(source(ISSUER).token_endpoint_origin("http://auth.example.com"), &downgrade).await;
    refused(source(ISSUER).allow_plain_http(), &downgrade).await;
    let both = source(ISSUER).token_endpoint_origin("http://auth.example.com").allow_plain_http();
    outcome(both, &serving(&downgrade).await).await.expect("allowed twice");
    assert!(refused(source(ISSUER), &json!({"issuer": ISSUER})).await.contains("has no token_endpoint"));
    for nonsense in [json!(null), json!(7), json!(["https://auth.example.com/token"]), json!({})] {
        let text = refused(source(ISSUER), &json!({"issuer": ISSUER, "token_endpoint": nonsense})).await;
        assert!(text.contains("token_endpoint is "), "{text}");
    }
}

#[tokio::test]
async fn whatever_the_document_is_there_is_an_error_and_no_panic() {
    let deep = "[".repeat(100_000);
    let large = format!(r#"{{"issuer":"{ISSUER}","x":"{}"}}"#, "x".repeat(1024 * 1024));
    for nonsense in ["", "null", "[]", "7", "\"\"", "{", "{}", "\u{0}", "<html>", "\u{1b}[31m", &deep, &large] {
        let text = refused(source(ISSUER), nonsense).await;
        assert!(text.len() < 1000 && !text.contains('\u{1b}'), "{} bytes", text.len());
    }
    let marked = json!({"issuer": "https://a\u{1b}[31m\u{202e}b", "token_endpoint": 7});
    let text = refused(source(ISSUER), &marked).await;
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    let server = server(|_| response(404, "<html>no</html>")).await;
    let error = outcome(source(ISSUER), &server).await.expect_err("no document");
    assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(StatusCode::NOT_FOUND)));
    for url in [OPENID, OAUTH] {
        assert!(error.to_string().contains(url), "{error}");
    }
}

/// Parts of URLs, right and wrong, in any order.
fn url() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "https",
        "http",
        "HTTPS",
        "ftp",
        ":",
        "://",
        "//",
        "/",
        "\\",
        "@",
        "#",
        "?",
        ".",
        "..",
        ":443",
        ":8443",
        ":99999",
        "auth.example.com",
        "AUTH.EXAMPLE.COM",
        "evil.test",
        "127.0.0.1",
        "[::1]",
        "user",
        "%2e",
        "%00",
        " ",
        "\t",
        "\u{e9}",
    ]);
    let parts = prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat());
    prop_oneof![parts.clone(), parts.prop_map(|rest| format!("https://auth.example.com{rest}"))]
}

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![url().prop_map(Value::from), any::<i64>().prop_map(Value::from), Just(json!(null)), Just(json!([{}]))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_document_says_the_secret_goes_to_the_issuers_host_over_https_or_nowhere(
        (issuer, endpoint, alias) in (prop_oneof![4 => Just(json!(ISSUER)), 1 => anything()], anything(), anything()),
        junk in prop::collection::vec(any::<u8>(), 0..64),
        whole in any::<bool>(),
    ) {
        let aliases = json!({"token_endpoint": alias});
        let document = json!({"issuer": issuer, "token_endpoint": endpoint, "mtls_endpoint_aliases": aliases});
        let mut document = document.to_string().into_bytes();
        if !whole {
            document.extend(junk);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (outcome, requests) = runtime.block_on(async {
            let server = server(move |_| ResponseTemplate::new(200).set_body_bytes(document.clone())).await;
            let outcome = outcome(source(ISSUER).mtls_endpoint_aliases(), &server).await;
            (outcome, received(&server).await)
        });
        let posts: Vec<_> = requests.into_iter().filter(|request| request.method == Method::POST).collect();
        prop_assert_eq!(posts.len(), usize::from(outcome.is_ok()));
        for request in posts {
            let host = request.url.host_str().map(|host| host.trim_end_matches('.'));
            prop_assert_eq!((request.url.scheme(), host), ("https", Some("auth.example.com")));
        }
    }
}

#[test]
fn an_issuer_that_cannot_be_right_is_refused_with_its_reason() {
    for (issuer, reason) in [
        ("", "missing"),
        ("auth.example.com", "no scheme"),
        ("https://auth.example.com?tenant=7", "query"),
        ("https://auth.example.com#top", "fragment"),
        ("https://user:pass@auth.example.com", "user info"),
        ("http://auth.example.com", "plain http"),
        ("https://auth.example.com/.well-known/openid-configuration", "is the URL of a metadata document"),
    ] {
        let error = source(issuer).http_client(AuthorizationServer::in_memory()).build().expect_err(issuer);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{issuer}");
        let text = error.to_string();
        assert!(text.starts_with("issuer: ") && text.contains(reason) && !text.contains("pass"), "{text}");
    }
    let known = || ClientCredentials::builder("https://auth.example.com/token", "abcde", "12345").any_origin();
    for pointless in [known().token_endpoint_origin("https://a.test"), known().mtls_endpoint_aliases()] {
        let error = pointless.http_client(AuthorizationServer::in_memory()).build().expect_err("nothing is discovered");
        assert!(error.to_string().contains("`ClientCredentials::discover`"), "{error}");
    }
    let error = source(ISSUER).token_endpoint_origin("https://a.test/token").build().expect_err("a path");
    assert!(error.to_string().starts_with("token_endpoint_origin: "), "{error}");
}

#[tokio::test]
async fn the_endpoint_for_clients_with_a_certificate_is_used_where_that_is_wanted() {
    let mut document = document();
    document["mtls_endpoint_aliases"] = json!({"token_endpoint": "https://auth.example.com:8443/token"});
    for (builder, expected) in [
        (source(ISSUER), "https://auth.example.com/oauth2/token"),
        (source(ISSUER).mtls_endpoint_aliases(), "https://auth.example.com:8443/token"),
    ] {
        let server = serving(&document).await;
        outcome(builder, &server).await.expect("a token");
        assert_eq!(token_url(&server).await, expected);
    }
    document["mtls_endpoint_aliases"] = json!({"token_endpoint": "https://mtls.example.com/token"});
    refused(source(ISSUER).mtls_endpoint_aliases(), &document).await;
    for none in [json!(null), json!({}), json!({"token_endpoint": null}), json!([])] {
        document["mtls_endpoint_aliases"] = none;
        let server = serving(&document).await;
        outcome(source(ISSUER).mtls_endpoint_aliases(), &server).await.expect("a token");
        assert_eq!(token_url(&server).await, "https://auth.example.com/oauth2/token");
    }
}

#[tokio::test]
async fn a_client_that_authenticates_by_its_certificate_uses_that_endpoint_unasked() {
    let mut document = document();
    document["mtls_endpoint_aliases"] = json!({"token_endpoint": "https://auth.example.com:8443/token"});
    for authentication in [ClientAuthentication::tls_client_auth(), ClientAuthentication::self_signed_tls_client_auth()]
    {
        let server = serving(&document).await;
        let builder = ClientCredentials::discover(ISSUER, "abcde", authentication).any_origin();
        outcome(builder, &server).await.expect("a token");
        assert_eq!(token_url(&server).await, "https://auth.example.com:8443/token");
    }
}

/// A document may not have an assertion made that another server accepts.
#[tokio::test]
async fn an_assertion_is_meant_for_the_issuer_and_not_for_what_the_document_says() {
    let document = json!({"issuer": ISSUER, "token_endpoint": "https://named.example.com/token"});
    let assertion = || ClientAuthentication::private_key_jwt(SignsWith(Ok(vec![7; 64])));
    for (assertion, audience) in
        [(assertion(), ISSUER), (assertion().audience("https://chosen.test"), "https://chosen.test")]
    {
        let server = serving(&document).await;
        let builder = ClientCredentials::discover(ISSUER, "abcde", assertion).any_origin();
        outcome(builder.token_endpoint_origin("https://named.example.com"), &server).await.expect("a token");
        let members = form(&received(&server).await[1].body);
        let (_, jwt) = members.iter().find(|(name, _)| name == "client_assertion").expect("an assertion");
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).expect("claims"));
        let claims: Value = serde_json::from_slice(&claims.expect("base64")).expect("JSON");
        assert_eq!(claims["aud"], audience);
    }
}

#[tokio::test]
async fn no_client_follows_a_redirect_of_a_document() {
    let evil = serving(&document()).await;
    let redirecting = responding(ResponseTemplate::new(307).insert_header("location", evil.uri())).await;
    for (name, client) in clients() {
        let source = with_client(source(&redirecting.uri()), client).build().expect("complete");
        let error = ask(&source).await.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Redirect, "{name}: {error}");
        assert!(error.to_string().contains(&evil.uri()), "{name}: {error}");
    }
    let followed = received(&evil).await;
    assert!(followed.iter().all(|request| request.method != Method::POST), "{followed:?}");
}

#[tokio::test]
async fn every_client_discovers_and_gets_a_token_on_loopback() {
    let server = responding(|request: &wiremock::Request| {
        let issuer = format!("http://{}", request.headers[header::HOST].to_str().expect("ASCII"));
        let document = json!({"issuer": issuer, "token_endpoint": format!("{issuer}/token")});
        if request.method == Method::POST { token_response() } else { response(200, &document) }
    })
    .await;
    for (name, client) in clients() {
        let before = received(&server).await.len();
        let source = with_client(source(&server.uri()), client).build().expect("complete");
        ask(&source).await.expect(name);
        let seen = &received(&server).await[before..];
        assert_eq!(seen.len(), 2, "{name}");
        assert_eq!(seen[0].url.path(), "/.well-known/openid-configuration", "{name}");
        for absent in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONTENT_TYPE, header::AUTHORIZATION] {
            assert!(!seen[0].headers.contains_key(&absent), "{name}: {absent}");
        }
        assert_eq!(seen[1].url.path(), "/token", "{name}");
    }
}

#[tokio::test]
async fn nothing_of_the_secret_is_in_a_discovery() {
    let server = serving(&document()).await;
    let builder = ClientCredentials::discover(ISSUER, "abcde", "s3cr3t-s3cr3t").any_origin();
    outcome(builder.clone().header("x-key", "s3cr3t-s3cr3t"), &server).await.expect("a token");
    let requests = received(&server).await;
    assert!(!format!("{:?}", requests[0].headers).contains("x-key"), "further headers are for the token endpoint");
    let error = outcome(builder.clone(), &serving("{}").await).await.expect_err("no document");
    let shown = format!("{error:?} {builder:?} {:?}", builder.clone().build());
    assert!(!shown.contains("s3cr3t"), "{shown}");
}
