//! Lines of the log from which somebody finds the cause.

use std::{
    convert::Infallible,
    future::ready,
    time::{Duration, SystemTime},
};

use client_credentials::{
    AccessToken, BearerAuthLayer, BearerAuthMiddleware, ClientAuthentication, ClientCredentials,
    ClientCredentialsBuilder, Clock, HttpClient, PrivateKey, TokenCache, TokenCacheBuilder,
    testing::{AuthorizationServer, MockResponse, ProtectedApi},
};
use http::{Request, Response, StatusCode};
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tracing::Level;
use wiremock::ResponseTemplate;

use crate::support::{api::Api, get, keys::Key, log::Log, responding};

const HINT: &str = "; a scope may be missing, or the audience may be wrong";

fn source(auth: &AuthorizationServer, client: impl HttpClient) -> ClientCredentialsBuilder {
    ClientCredentials::builder(auth.token_url(), "abcde", "12345").http_client(client).origin("https://api.test")
}

fn cache(auth: &AuthorizationServer) -> TokenCache {
    let source = source(auth, auth.clone()).origin("https://other.test").build().expect("complete");
    TokenCache::builder(source).clock(Clock::tokio()).build().expect("complete")
}

async fn send(tokens: &TokenCache, api: &ProtectedApi, url: &str) -> StatusCode {
    let service = BearerAuthLayer::new(tokens.clone()).layer(api.clone());
    service.oneshot(Request::get(url).body(String::new()).expect("a request")).await.expect("a response").status()
}

/// An API whose every response has this status and this challenge.
async fn refused(tokens: &TokenCache, url: &str, status: u16, challenge: &'static str) {
    let api = tower::service_fn(move |_: Request<String>| {
        let response = Response::builder().status(status).header("www-authenticate", challenge).body(String::new());
        ready(Ok::<_, Infallible>(response.expect("a response")))
    });
    let service = BearerAuthLayer::new(tokens.clone()).layer(api);
    service.oneshot(Request::get(url).body(String::new()).expect("a request")).await.expect("a response");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_accepted_and_revoked_within_seconds_lacks_no_scope() {
    let (log, _guard) = Log::start();
    let auth = AuthorizationServer::in_memory();
    let (api, tokens) = (ProtectedApi::in_memory(&auth), cache(&auth));
    for _ in 0..2 {
        assert_eq!(send(&tokens, &api, "https://api.test/").await, StatusCode::OK);
        sleep(Duration::from_secs(3)).await;
        auth.revoke_all();
        assert_eq!(send(&tokens, &api, "https://api.test/").await, StatusCode::UNAUTHORIZED);
        sleep(Duration::from_secs(3)).await;
    }
    let said = log.take(Level::WARN);
    let revoked = "an access token was rejected 3 s after it was issued; it was accepted before, so it was most likely";
    assert!(said[0].starts_with(revoked), "{said:?}");
    assert!(said[1].starts_with("a new access token was rejected too; rejections by this origin"), "{said:?}");
    assert!(!said.iter().any(|line| line.contains(HINT)), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_never_accepted_may_lack_a_scope_however_old_it_is() {
    let (log, _guard) = Log::start();
    let auth = AuthorizationServer::in_memory();
    let tokens = cache(&auth);
    tokens.token().await.expect("a token, at start-up");
    sleep(Duration::from_secs(1200)).await;
    refused(&tokens, "https://api.test/", 401, "Bearer").await;
    let said = log.take(Level::WARN);
    assert!(said[0].starts_with(&format!("an access token was rejected 20 min after it was issued{HINT}")), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn that_one_api_accepts_a_token_says_nothing_about_another() {
    let (log, _guard) = Log::start();
    let auth = AuthorizationServer::in_memory();
    let (api, tokens) = (ProtectedApi::in_memory(&auth), cache(&auth));
    send(&tokens, &api, "https://api.test/").await;
    sleep(Duration::from_secs(1200)).await;
    refused(&tokens, "https://other.test/", 401, "Bearer").await;
    let said = log.take(Level::WARN);
    assert!(said[0].contains(HINT), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn that_a_token_was_accepted_in_one_cache_says_nothing_about_another_cache() {
    let (log, _guard) = Log::start();
    let token = AccessToken::new("abcde12345").expect("a token");
    let cache = |origin: &str| TokenCache::builder(token.clone()).origin(origin).build().expect("complete");
    let header = cache("https://api.test").header_for("https://api.test/").await.expect("a header");
    assert!(!header.on_response(200_u16, [""; 0]));
    refused(&cache("https://other.test"), "https://other.test/", 401, "Bearer").await;
    let said = log.take(Level::WARN);
    assert!(said[0].contains(HINT), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_issued_again_after_its_rejection_does_not_count_as_accepted() {
    let (log, _guard) = Log::start();
    let token = AccessToken::new("abcde12345").expect("a token");
    let tokens = TokenCache::builder(token).origin("https://api.test").clock(Clock::tokio()).build().expect("complete");
    let url = "https://api.test/";
    refused(&tokens, url, 200, "").await;
    for _ in 0..2 {
        sleep(Duration::from_secs(15)).await;
        refused(&tokens, url, 401, "Bearer").await;
    }
    let said = log.take(Level::WARN);
    let rejected: Vec<_> = said.iter().filter(|line| line.starts_with("an access token was rejected")).collect();
    assert!(rejected[0].contains("; it was accepted before"), "{said:?}");
    assert!(rejected[1].contains(HINT), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn by_hand_too_a_token_that_was_accepted_lacks_no_scope() {
    let (log, _guard) = Log::start();
    let tokens = cache(&AuthorizationServer::in_memory());
    for accepted in [true, false] {
        let header = tokens.header_for("https://api.test/").await.expect("a header");
        if accepted {
            assert!(!header.on_response(200_u16, [""; 0]));
        }
        assert!(header.on_response(401_u16, ["Bearer error=\"invalid_token\""]));
        let said = log.take(Level::WARN);
        assert_eq!(said[0].contains(HINT), !accepted, "{said:?}");
        sleep(Duration::from_secs(11)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_scope_is_said_once_for_each_origin() {
    const SAID: &str = "the API refused a request with `insufficient_scope`";
    let (log, _guard) = Log::start();
    let tokens = cache(&AuthorizationServer::in_memory());
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"orders:write\"";
    for _ in 0..3 {
        refused(&tokens, "https://api.test/", 403, challenge).await;
        refused(&tokens, "https://api.test/", 403, "Bearer").await;
    }
    refused(&tokens, "https://other.test/", 401, challenge).await;
    let said: Vec<_> = log.take(Level::INFO).into_iter().filter(|line| line.starts_with(SAID)).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains(r#" origin="https://api.test""#), "{said:?}");

    let by_hand = cache(&AuthorizationServer::in_memory());
    by_hand.header_for("https://api.test/").await.expect("a header").on_response(403_u16, [challenge]);
    assert!(log.take(Level::INFO).iter().any(|line| line.starts_with(SAID)));
}

#[tokio::test(start_paused = true)]
async fn two_layers_of_ours_are_mentioned_once() {
    let (log, _guard) = Log::start();
    let auth = AuthorizationServer::in_memory();
    let api = ProtectedApi::in_memory(&auth);
    let inner = BearerAuthLayer::new(cache(&auth)).layer(api.clone());
    let stacked = BearerAuthLayer::new(cache(&auth)).layer(inner);
    for _ in 0..3 {
        let request = Request::get("https://api.test/").body(String::new()).expect("a request");
        stacked.clone().oneshot(request).await.expect("a response");
    }
    let said: Vec<_> =
        log.take(Level::INFO).into_iter().filter(|line| line.contains("already has the header")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("or from another layer or middleware of this crate"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_slow_is_mentioned_before_it_responds() {
    let (log, _guard) = Log::start();
    let auth = AuthorizationServer::in_memory();
    auth.respond_next(MockResponse::hang());
    let tokens = cache(&auth);
    let caller = tokio::spawn(async move { tokens.token().await });
    sleep(Duration::from_millis(4900)).await;
    assert_eq!(log.take(Level::INFO), [""; 0]);
    sleep(Duration::from_millis(200)).await;
    let said = log.take(Level::INFO);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("a token request has had no response for 5 s, and continues: source="), "{said:?}");
    caller.abort();
}

#[tokio::test]
async fn a_clock_that_is_off_is_said_by_how_much() {
    let (now, slack) = (SystemTime::now(), Duration::from_secs(5));
    let (past, future) = (now - Duration::from_secs(900) - slack, now + Duration::from_secs(4 * 3600) + slack);
    for (date, by) in [(past, "15 min ahead of"), (future, "4 h behind")] {
        let (log, _guard) = Log::start();
        let auth = AuthorizationServer::in_memory();
        let date = httpdate::fmt_http_date(date);
        auth.respond_next(MockResponse::oauth_error("invalid_client").with_header("date", &date));
        let key = PrivateKey::es256(Key::p256().pem()).expect("a key");
        let source = source(&auth, auth.clone()).authentication(ClientAuthentication::private_key_jwt(key));
        TokenCache::from(source.build().expect("complete")).token().await.expect("a token by the server's time");
        let said = log.take(Level::WARN);
        assert!(said[0].starts_with(&format!("this machine's clock is {by} the server's")), "{said:?}");
    }
}

#[tokio::test]
async fn a_host_name_that_cannot_be_resolved_is_said_in_few_words() {
    let (log, _guard) = Log::start();
    let url = "https://auth.example.invalid/oauth2/token";
    let source = ClientCredentials::builder(url, "abcde", "12345").any_origin().build().expect("complete");
    TokenCache::from(source).token().await.expect_err("no such host");
    let said = log.take(Level::ERROR).remove(0);
    let (_, error) = said.split_once(" error=\"").expect("the error");
    let (error, _) = error.split_once("\" source=").expect("its source");
    assert!(error.len() < 200, "{} characters: {error}", error.len());
    assert!(error.starts_with("the host name could not be resolved"), "{error}");
}

fn cache_for(origins: &[&str]) -> TokenCache {
    let builder = TokenCache::builder(AccessToken::new("abcde12345").expect("a token"));
    origins.iter().fold(builder, TokenCacheBuilder::origin).build().expect("a cache")
}

#[tokio::test]
async fn a_host_header_that_is_not_permitted_and_a_redirect_within_the_client_are_each_said_once() {
    let (log, _guard) = Log::start();
    let service = BearerAuthLayer::new(cache_for(&["https://api.example.com"])).layer(Api::open());
    for _ in 0..3 {
        let mut request = get("https://api.example.com/");
        request.headers_mut().insert("host", "my-service.example.com".parse().expect("a value"));
        service.clone().oneshot(request).await.expect("a response");
    }
    let text = log.take(Level::WARN).join("\n");
    assert_eq!(text.matches("no access token attached: the request's Host header names").count(), 1, "{text}");
    assert!(text.contains("my-service.example.com"), "{text}");

    let end = responding(ResponseTemplate::new(401).insert_header("www-authenticate", "Bearer")).await;
    let redirect = ResponseTemplate::new(302).insert_header("location", format!("{}/end", end.uri()));
    let start = responding(redirect).await;
    let middleware = BearerAuthMiddleware::new(cache_for(&[&start.uri(), &end.uri()]));
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
    for _ in 0..2 {
        client.get(start.uri()).send().await.expect("a response");
    }
    let text = log.all();
    assert_eq!(text.matches("a 401 after a redirect does not reject the access token").count(), 1, "{text}");
    assert!(text.contains(&end.uri()), "{text}");
}
