//! What the log says of a token's life, and that no secret is in it.

use std::time::Duration;

use crate::support::log::Log;
use client_credentials::{
    AccessToken, BearerAuthLayer, ClientCredentials, Clock, TokenCache, TokenRequest, TryClone,
    testing::{AuthorizationServer, MockResponse},
    token_fn,
};
use http::{Request, Response};
use tower::ServiceExt;
use tracing::Level;

/// Over a server that gives these responses first, and after them tokens for an hour.
fn tokens(responses: impl IntoIterator<Item = MockResponse>) -> TokenCache {
    let auth = AuthorizationServer::in_memory();
    responses.into_iter().for_each(|response| auth.respond_next(response));
    let source = ClientCredentials::builder("https://auth.example.com/oauth2/token?tenant=a", "abcde", "12345");
    let source = source.scope("stats").http_client(auth).origin("https://api.example.com").build();
    TokenCache::builder(source.expect("complete")).clock(Clock::tokio()).build().expect("complete")
}

#[tokio::test(start_paused = true)]
async fn a_first_token_and_its_renewal_are_logged() {
    let (log, _guard) = Log::start();
    let tokens = tokens([]);
    tokens.token().await.expect("a token");
    let of_source = r#"source="https://auth.example.com/oauth2/token""#;
    assert_eq!(log.take(Level::INFO), [format!("access token obtained: {of_source} expires_in=3600")]);

    for _ in 0..100 {
        tokens.token().await.expect("a token");
    }
    assert_eq!(log.all(), "", "a cached token is served without a word");

    tokio::time::advance(Duration::from_secs(3000)).await;
    tokens.token().await.expect("a token");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(log.take(Level::INFO), [format!("access token renewed: {of_source} expires_in=3600")]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_says_how_long_the_old_token_stays_in_use_and_when_the_next_attempt_is() {
    let (log, _guard) = Log::start();
    let tokens = tokens([
        MockResponse::usual(),
        MockResponse::status(503)
            .with_body(r#"{"message":"down for maintenance"}"#)
            .with_retry_after(Duration::from_secs(7)),
    ]);
    tokens.token().await.expect("a token");
    // 10 s of leeway are no life.
    tokio::time::advance(Duration::from_secs(3600 - 10 - 14 * 60 - 30)).await;
    tokens.token().await.expect("the old token");
    tokio::time::sleep(Duration::from_millis(1)).await;
    let told = log.take(Level::WARN).join("\n");
    assert!(told.starts_with("renewal failed; serving the old token for another 14 min, next attempt in "), "{told}");
    for part in ["HTTP 503: message: down for maintenance", r#"error.type="status""#, "status_code=503", "usable_for=8"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_log_says_why_and_for_how_long_token_requests_are_held_back() {
    let (log, _guard) = Log::start();
    let refusal = r#"{"error":"invalid_client","error_description":"unknown client"}"#;
    // The delay is part of the ten seconds, which are said all the same.
    let tokens = tokens([MockResponse::status(401).with_body(refusal).with_delay(Duration::from_millis(96))]);
    for _ in 0..10 {
        tokens.token().await.expect_err("refused");
    }
    let told = log.take(Level::INFO);
    assert_eq!(told.len(), 1, "held back callers add nothing: {told:?}");
    assert!(told[0].starts_with("no access token; token requests are held back for 10 s:"), "{told:?}");
    for part in ["invalid_client (HTTP 401): unknown client", "check client_id", r#"error.type="invalid_client""#] {
        assert!(told[0].contains(part), "{part} in {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_exchange_is_a_span_that_follows_from_the_callers() {
    let (log, _guard) = Log::start();
    let tokens = tokens([MockResponse::status(502)]);
    let caller = tracing::info_span!("caller");
    log.all();
    tracing::Instrument::instrument(tokens.token(), caller).await.expect("a token");
    let all = log.all();
    let told: Vec<_> = all.lines().filter(|line| line.contains("token_request")).collect();
    let open = r#"open token_request: source="https://auth.example.com/oauth2/token" scope="stats" attempt="#;
    let follows = "token_request follows caller";
    assert_eq!(told[..2], [format!("{open}1").as_str(), follows], "{all}");
    assert!(told[2].starts_with("record token_request: duration="), "{all}");
    assert_eq!(told[3], r#"record token_request: outcome="error""#, "{all}");
    assert_eq!(told[4], r#"record token_request: error.type="status""#, "{all}");
    assert_eq!(told[5], "record token_request: http.response.status_code=502", "{all}");
    assert_eq!(told[6..8], [format!("{open}2").as_str(), follows], "{all}");
    assert_eq!(told[9], r#"record token_request: outcome="ok""#, "{all}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_failure_is_logged_for_every_token() {
    let (log, _guard) = Log::start();
    let tokens = tokens([MockResponse::oauth_error("invalid_scope")]);
    let request = TokenRequest::builder().scope("admin").build().expect("a scope");
    tokens.token_for(&request).await.expect_err("refused");
    let told = log.take(Level::INFO);
    assert!(told.len() == 1 && told[0].starts_with("no access token"), "{told:?}");
    tokio::time::sleep(Duration::from_secs(15)).await;
    tokens.token_for(&request).await.expect("a token");
    let told = log.take(Level::INFO);
    assert!(told.len() == 1 && told[0].starts_with("access token obtained: "), "{told:?}");
    assert!(told[0].contains(r#"scope="admin""#), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_about_a_failure_begins_with_the_reason_and_says_nothing_twice() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time();
    let subscriber = subscriber.with_writer(std::sync::Mutex::new(writer)).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    tokens([MockResponse::oauth_error("invalid_client")]).token().await.expect_err("refused");
    drop(guard);
    let line = std::io::read_to_string(reader).expect("the log");
    assert!(line.contains(r#"held back for 10 s error="invalid_client (HTTP 401) (check client_id"#), "{line}");
    for once in ["invalid_client (HTTP", "error.type=", "status_code="] {
        assert_eq!(line.matches(once).count(), 1, "{once} in {line}");
    }
    assert!(line.len() < 450, "{} in {line}", line.len());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_dropped_for_another_is_logged() {
    let (log, _guard) = Log::start();
    let source = token_fn(|_| async { AccessToken::new("abcde12345") });
    let tokens = TokenCache::builder(source).any_origin().most_keys(2).clock(Clock::tokio()).build().expect("complete");
    for (scope, told) in [("a", 0), ("b", 0), ("c", 1)] {
        let request = TokenRequest::builder().scope(scope).build().expect("a scope");
        tokens.token_for(&request).await.expect("a token");
        let room = "the least recently used of 2 access tokens was removed: source=\"token source\" count=1";
        let mut lines = log.take(Level::DEBUG);
        lines.retain(|line| line.starts_with("the least recently used"));
        assert_eq!(lines, vec![room; told], "{scope}");
    }
}

async fn send(tokens: &TokenCache, url: &str, status: u16) {
    let service = BearerAuthLayer::new(tokens.clone()).with_replay(TryClone);
    let api = tower::service_fn(move |_: Request<String>| async move {
        Ok::<_, std::io::Error>(Response::builder().status(status).body(String::new()).expect("a response"))
    });
    let service = tower::ServiceBuilder::new().layer(service).service(api);
    let request = Request::get(url).body(String::new()).expect("a request");
    service.oneshot(request).await.expect("a response");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_names_the_origin_and_hints_at_the_scope_where_the_token_is_fresh() {
    let (log, _guard) = Log::start();
    let tokens = tokens([]);
    let url = "https://api.example.com/stats";
    send(&tokens, url, 200).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    send(&tokens, url, 401).await;
    let told = log.take(Level::WARN);
    assert_eq!(told.len(), 1, "{told:?}");
    let revoked = "an access token was rejected 10 min after it was issued; it was accepted before, so it was most \
                   likely revoked: source=";
    assert!(told[0].starts_with(revoked), "{told:?}");
    assert!(told[0].contains(r#"origin="https://api.example.com""#), "{told:?}");

    for _ in 0..10 {
        send(&tokens, url, 401).await;
    }
    let told = log.take(Level::WARN);
    assert_eq!(told.len(), 1, "said once, until the next renewal is due: {told:?}");
    assert!(
        told[0]
            .starts_with("a new access token was rejected too; a scope may be missing, or the audience may be wrong;"),
        "{told:?}"
    );

    // Old by now, but nobody ever accepted it.
    tokio::time::sleep(Duration::from_secs(600)).await;
    send(&tokens, url, 401).await;
    let told = log.take(Level::WARN);
    assert!(told[0].contains("rejected 10 min after it was issued; a scope may be missing"), "{told:?}");

    let fresh = self::tokens([]);
    send(&fresh, url, 401).await;
    let told = log.take(Level::WARN);
    assert!(told[0].contains("rejected 0 ms after it was issued; a scope may be missing"), "{told:?}");
}

/// Nobody says that it was accepted.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_rejected_by_hand_counts_as_accepted_once_it_is_a_minute_old() {
    for (age, was_accepted) in [(59, false), (60, true)] {
        let (log, _guard) = Log::start();
        let tokens = tokens([]);
        let token = tokens.token().await.expect("a token");
        tokio::time::sleep(Duration::from_secs(age)).await;
        tokens.reject(&token);
        let told = log.take(Level::WARN);
        assert_eq!(told[0].contains("it was accepted before"), was_accepted, "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_origin_is_named_once() {
    let (log, _guard) = Log::start();
    let tokens = tokens([]);
    for _ in 0..10 {
        send(&tokens, "https://elsewhere.example.com/a", 200).await;
        send(&tokens, "https://another.example.com/b", 200).await;
    }
    // One that only a CONNECT has, and no scheme.
    send(&tokens, "api.example.com:443", 200).await;
    // User info of which the host is missing: what looks like the port is a password.
    send(&tokens, "https://shop:hunter2/c", 200).await;
    let told = log.take(Level::INFO);
    let origins = [
        "https://elsewhere.example.com",
        "https://another.example.com",
        "\"api.example.com:443\"",
        "\"https://shop (with an unreadable port)\"",
    ];
    assert_eq!(told.len(), origins.len(), "{told:?}");
    for (line, origin) in told.iter().zip(origins) {
        assert!(line.starts_with("no access token attached: the origin is not among those named"), "{line}");
        assert!(line.contains(origin), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_would_carry_its_token_over_plain_http_is_named_once() {
    let (log, _guard) = Log::start();
    let tokens = tokens([]);
    let layer = BearerAuthLayer::new(tokens);
    for _ in 0..10 {
        let api =
            tower::service_fn(|_: Request<String>| async { Ok::<_, std::io::Error>(Response::new(String::new())) });
        let service = tower::ServiceBuilder::new().layer(layer.clone()).service(api);
        let request = Request::get("http://api.example.com/a").body(String::new()).expect("a request");
        service.oneshot(request).await.expect_err("refused");
    }
    let told = log.take(Level::ERROR);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("request not sent: its access token would go over plain http"), "{told:?}");
    assert!(told[0].contains(r#"origin="http://api.example.com""#), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn the_log_names_all_that_a_token_was_requested_with() {
    let (log, _guard) = Log::start();
    let request = TokenRequest::builder().audience("https://orders").resource("https://a").resource("https://b");
    tokens([]).token_for(&request.build().expect("complete")).await.expect("a token");
    let told = log.all();
    let key = r#"resource="https://a https://b" audience="https://orders""#;
    assert!(told.contains(&format!("obtained: source=\"https://auth.example.com/oauth2/token\" {key}")), "{told}");
    let span = format!("open token_request: source=\"https://auth.example.com/oauth2/token\" scope=\"stats\" {key}");
    assert!(told.contains(&span), "the scope is left to the source: {told}");
}
