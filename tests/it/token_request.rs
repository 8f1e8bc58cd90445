//! What the token endpoint is sent (RFC 6749 section 4.4.2).

use crate::support::endpoint::{clients, form, obtain, sent, source, token_response, with_client};
use crate::support::received;
use client_credentials::{
    ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, ErrorKind, Secret, TokenRequest, TokenSource,
    testing::AuthorizationServer, vonage::Region,
};
use http::header;
use wiremock::{
    Mock, MockServer,
    matchers::{header as has_header, header_regex, method, path, query_param},
};

const URL: &str = "https://auth.example.com/oauth2/token";

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    pairs.sort();
    pairs
}

fn sorted(body: &[u8]) -> Vec<(String, String)> {
    let mut pairs = form(body);
    pairs.sort();
    pairs
}

#[tokio::test]
async fn the_documented_example_of_vonage_comes_out_as_documented() {
    let request =
        sent(ClientCredentials::vonage(Region::Emea, "abcde", "12345").scope("agents-availability:read")).await;
    assert_eq!(request.uri(), "https://emea.cc.vonage.com/Auth/connect/token");
    let body = String::from_utf8(request.body().as_ref().to_vec()).expect("ASCII");
    let mut members: Vec<_> = body.split('&').collect();
    members.sort_unstable();
    let documented =
        ["client_id=abcde", "client_secret=12345", "grant_type=client_credentials", "scope=agents-availability%3Aread"];
    assert_eq!(members, documented);
}

#[tokio::test]
async fn every_client_posts_the_same_form() {
    for (name, client) in clients() {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/token"))
            .and(query_param("tenant", "a b"))
            .and(has_header("content-type", "application/x-www-form-urlencoded"))
            .and(has_header("accept", "application/json"))
            .and(header_regex("user-agent", "^client-credentials/"))
            .respond_with(token_response())
            .expect(1)
            .named(name)
            .mount(&server)
            .await;
        let url = format!("{}/token?tenant=a%20b", server.uri());
        obtain(with_client(source(url).scope("a b"), client)).await.expect(name);
        let request = received(&server).await.remove(0);
        assert_eq!(request.url.query(), Some("tenant=a%20b"), "{name}");
        assert_eq!(request.headers[header::CONTENT_LENGTH], request.body.len().to_string(), "{name}");
        for absent in [header::AUTHORIZATION, header::REFERER, header::COOKIE] {
            assert!(!request.headers.contains_key(&absent), "{name}: {absent}");
        }
        let expected = [
            ("grant_type", "client_credentials"),
            ("scope", "a b"),
            ("client_id", "abcde"),
            ("client_secret", "12345"),
        ];
        assert_eq!(sorted(&request.body), pairs(&expected), "{name}");
    }
}

#[tokio::test]
async fn a_client_with_a_user_agent_keeps_it() {
    let server = MockServer::start().await;
    let kept = Mock::given(has_header("user-agent", "my-service/7")).respond_with(token_response()).expect(2);
    kept.mount(&server).await;
    let client = reqwest::Client::builder().user_agent("my-service/7").build().expect("a client");
    let url = format!("{}/token", server.uri());
    obtain(source(&url).http_client(client.clone())).await.expect("a token");
    let client = reqwest_middleware::ClientBuilder::new(client).build();
    obtain(source(&url).http_client(client)).await.expect("a token");
}

#[tokio::test]
async fn scopes_are_joined_by_one_space_in_the_order_given() {
    for (scopes, expected) in [
        (&[][..], None),
        (&["stats"][..], Some("stats")),
        (&["z", "a b", "m"][..], Some("z a b m")),
        (&["https://api.example.com/.default"][..], Some("https://api.example.com/.default")),
    ] {
        let builder = scopes.iter().fold(source(URL), ClientCredentialsBuilder::scope);
        let members = form(sent(builder).await.body().as_ref());
        let scope = members.iter().find(|(name, _)| name == "scope").map(|(_, value)| value.as_str());
        assert_eq!(scope, expected);
    }
}

#[tokio::test]
async fn a_server_that_wants_commas_between_scopes_gets_them() {
    let body = sent(source(URL).scope("z a").scope("m").comma_separated_scopes()).await.into_body();
    assert!(form(body.as_ref()).contains(&("scope".into(), "z,a,m".into())));
    let none = sent(source(URL).comma_separated_scopes()).await.into_body();
    assert!(!form(none.as_ref()).iter().any(|(name, _)| name == "scope"));
}

#[test]
fn a_scope_outside_of_the_grammar_is_refused() {
    for scope in ["", " ", "a  b", " a", "a ", "a\"b", "a\\b", "a\tb", "a\nb", "a\u{7f}", "é", "a\u{a0}b"] {
        let error = source(URL).scope(scope).http_client(AuthorizationServer::in_memory()).build().expect_err(scope);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{scope:?}");
        assert!(error.to_string().starts_with("scope: "), "{error}");
        assert!(TokenRequest::builder().scope(scope).build().is_err(), "{scope:?}");
    }
}

#[tokio::test]
async fn further_parameters_and_every_resource_are_sent() {
    let builder = source(URL)
        .resource("https://one.example.com")
        .resource("https://two.example.com")
        .audience("https://audience.example.com")
        .parameter("x", "1")
        .parameter("x", "2&3");
    let members = sorted(sent(builder).await.body().as_ref());
    let expected = [
        ("audience", "https://audience.example.com"),
        ("client_id", "abcde"),
        ("client_secret", "12345"),
        ("grant_type", "client_credentials"),
        ("resource", "https://one.example.com"),
        ("resource", "https://two.example.com"),
        ("x", "1"),
        ("x", "2&3"),
    ];
    assert_eq!(members, pairs(&expected));
}

#[test]
fn a_parameter_that_the_grant_sets_is_refused() {
    for name in ["", "grant_type", "client_id", "client_secret", "scope", "client_assertion", "client_assertion_type"] {
        let error =
            source(URL).parameter(name, "x").http_client(AuthorizationServer::in_memory()).build().expect_err(name);
        assert!(error.to_string().starts_with("parameter: "), "{error}");
    }
}

#[tokio::test]
async fn further_headers_are_sent_beside_the_usual_ones_and_are_marked_sensitive() {
    let builder = source(URL).header("X-Merchant-Id", "7abcde").header("x-tag", "1").header("x-tag", "2");
    let shown = format!("{builder:?}");
    assert!(shown.contains("x-merchant-id") && !shown.contains("7abcde"), "{shown}");
    let headers = sent(builder).await.headers().clone();
    assert_eq!(headers["x-merchant-id"], "7abcde");
    assert!(headers["x-merchant-id"].is_sensitive());
    assert_eq!(headers.get_all("x-tag").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-www-form-urlencoded");
    assert_eq!(headers[header::ACCEPT], "application/json");
}

#[test]
fn a_header_that_the_token_request_sets_or_that_is_not_a_header_is_refused() {
    for (name, value) in [
        ("authorization", "x"),
        ("Content-Type", "x"),
        ("content-length", "7"),
        ("HOST", "x"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("accept", "x"),
        ("user-agent", "x"),
        ("", "x"),
        ("a b", "x"),
        ("x-tag", "a\nb: c"),
        ("x-tag", "\u{7f}"),
    ] {
        let error =
            source(URL).header(name, value).http_client(AuthorizationServer::in_memory()).build().expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().starts_with("header: "), "{error}");
    }
}

#[tokio::test]
async fn the_grant_can_have_another_name() {
    let body = sent(source(URL).grant_type("account_credentials").parameter("account_id", "7")).await.into_body();
    assert!(form(body.as_ref()).contains(&("grant_type".into(), "account_credentials".into())));
}

#[tokio::test]
async fn a_request_overrides_the_defaults_of_the_source() {
    let auth = AuthorizationServer::in_memory();
    let source = source(URL).scope("default").audience("here").http_client(auth.clone()).build().expect("complete");
    let wanted = TokenRequest::builder().scope("other").build().expect("a request");
    source.token(&wanted).await.expect("a token");
    let asked = auth.token_requests().remove(0);
    assert_eq!((asked.scope(), asked.parameter("audience")), (Some("other"), Some("here")));
}

/// A string is never empty on purpose, and refused; a function may return it.
fn empty() -> Secret {
    Secret::from_fn(|| async { Ok("") })
}

#[tokio::test]
async fn basic_credentials_are_form_urlencoded_and_then_base64() {
    use ClientAuthentication as Auth;
    // The right column is base64 of what the middle one says.
    for (id, authentication, decoded) in [
        ("abcde", Auth::client_secret_basic("12345"), "abcde:12345"),
        ("-._~", Auth::client_secret_basic("-._~"), "-._~:-._~"),
        ("a b", Auth::client_secret_basic("c+d"), "a%20b:c%2Bd"),
        ("a:b", Auth::client_secret_basic("ü&=/%"), "a%3Ab:%C3%BC%26%3D%2F%25"),
        ("a b", Auth::client_secret_basic_raw("c+d:e"), "a b:c+d:e"),
        ("id", Auth::client_secret_basic(empty()), "id:"),
    ] {
        let builder = ClientCredentials::builder(URL, id, authentication).any_origin();
        let request = sent(builder).await;
        let value = &request.headers()[header::AUTHORIZATION];
        let encoded = value.to_str().expect("ASCII").strip_prefix("Basic ").expect("the scheme");
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).expect("base64");
        assert_eq!(String::from_utf8(bytes).expect("UTF-8"), decoded);
        assert!(value.is_sensitive());
        assert_eq!(form(request.body().as_ref()), pairs(&[("grant_type", "client_credentials")]));
    }
}

#[test]
fn raw_basic_refuses_an_id_with_a_colon() {
    let authentication = ClientAuthentication::client_secret_basic_raw("secret");
    let builder = ClientCredentials::builder(URL, "a:b", authentication).any_origin();
    let error = builder.http_client(AuthorizationServer::in_memory()).build().expect_err("refused");
    assert!(error.to_string().starts_with("client_id: "), "{error}");
}

#[tokio::test]
async fn an_empty_secret_is_sent_and_no_secret_is_not() {
    let empty = sent(ClientCredentials::builder(URL, "id", empty()).any_origin()).await;
    assert!(form(empty.body().as_ref()).contains(&("client_secret".into(), String::new())));
    let none = sent(ClientCredentials::builder(URL, "id", ClientAuthentication::none()).any_origin()).await;
    assert_eq!(sorted(none.body().as_ref()), pairs(&[("client_id", "id"), ("grant_type", "client_credentials")]));
    for request in [empty, none] {
        assert!(!request.headers().contains_key(header::AUTHORIZATION));
    }
}

#[test]
fn a_token_url_that_cannot_be_right_is_refused_with_its_reason() {
    let mut reasons = Vec::new();
    for (url, reason) in [
        ("", "missing"),
        ("/oauth2/token", "is not absolute"),
        ("auth.example.com/oauth2/token", "has no scheme"),
        ("https://auth.example.com/a b", "is not a URL"),
        ("https://", "is not a URL"),
        ("https://user:pass@auth.example.com/token", "user info"),
        ("https://@auth.example.com/token", "user info"),
        ("https://auth.example.com/token#top", "fragment"),
        ("https://auth.example.com:99999/token", "port"),
        ("ftp://auth.example.com/token", "scheme other than https"),
        ("http://auth.example.com/token", "plain http"),
        ("http://127.0.0.1.example.com/token", "plain http"),
        ("http://localhost.example.com/token", "plain http"),
    ] {
        let error = source(url).http_client(AuthorizationServer::in_memory()).build().expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{url}");
        let text = error.to_string();
        assert!(text.starts_with("token_url: ") && text.contains(reason), "{url}: {text}");
        assert!(!text.contains("pass"), "{text}");
        reasons.push(reason);
    }
    assert!(reasons.len() > 9);
}

#[tokio::test]
async fn a_resource_is_any_absolute_uri_and_another_name_for_it_a_parameter() {
    let resources = ["https://api.example.com/", "urn:example:api", "api://4711", "http://[::1]:80/a?b=c%20d"];
    let builder = resources.iter().fold(source(URL), |builder, resource| builder.resource(*resource));
    let request = sent(builder.parameter("resource", "00000003-0000-0000-c000-000000000000")).await;
    let members = form(request.body().as_ref());
    let seen: Vec<_> = members.iter().filter(|(name, _)| name == "resource").map(|(_, value)| value.as_str()).collect();
    assert_eq!(seen[..4], resources);
    assert_eq!(seen[4], "00000003-0000-0000-c000-000000000000");
}

#[test]
fn a_token_url_over_plain_http_needs_loopback_or_permission() {
    for url in [
        "http://127.0.0.1:4000/token",
        "http://127.1.2.3/token",
        "http://localhost/token",
        "http://LOCALHOST:1/token",
        "http://[::1]:4000/token",
    ] {
        source(url).http_client(AuthorizationServer::in_memory()).build().expect(url);
    }
    let plain = source("http://auth.example.com/token").http_client(AuthorizationServer::in_memory());
    plain.clone().build().expect_err("refused");
    plain.allow_plain_http().build().expect("allowed");
}

#[test]
fn what_else_is_missing_is_named() {
    for (builder, field) in [
        (ClientCredentials::builder(URL, "", "secret").any_origin(), "client_id: "),
        (ClientCredentials::builder(URL, "id", "secret"), "origin: "),
        (source(URL).grant_type(""), "grant_type: "),
        (source(URL).timeout(std::time::Duration::ZERO), "timeout: "),
        (source(URL).audience(""), "audience: "),
        (ClientCredentials::builder(URL, "id", "").any_origin(), "client_secret: empty; for a client without"),
        (source(URL).resource(""), "resource: empty"),
        (source(URL).resource("https://api.example.com/#top"), "resource: has a fragment"),
        (source(URL).resource("api.example.com"), "resource: has no scheme"),
        (source(URL).resource("/orders"), "resource: has no scheme"),
        (source(URL).resource("1https://api.example.com"), "resource: has no scheme"),
        (source(URL).resource("urn:"), "resource: has no scheme"),
        (source(URL).resource("https://api.example.com/ü"), "resource: has a character"),
        (source(URL).resource("https://api.example.com/a b"), "resource: has a character"),
        (source(URL).origin("https://api.example.com/v1"), "origin: "),
    ] {
        let error = builder.http_client(AuthorizationServer::in_memory()).build().expect_err(field);
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().starts_with(field), "{error}");
    }
}
