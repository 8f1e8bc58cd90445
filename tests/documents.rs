//! What the documents quote is what the crate says: every situation that they tell of is brought about, and the quotes are looked for in
//! what was logged and returned. And their links lead somewhere.
#![cfg(all(feature = "reqwest-middleware", feature = "tracing", feature = "test-util"))]

mod support;
#[path = "support/told.rs"]
mod told;

use std::{collections::BTreeSet, convert::Infallible, error::Error as StdError, io, path::Path, time::Duration};

use bytes::Bytes;
use client_credentials::{
    AccessToken, BearerAuthLayer, BearerAuthMiddleware, ClientCredentials, ClientCredentialsBuilder, Clock, Error,
    HttpClient, TokenCache, TokenRequest, TowerClient,
    testing::{Answer, AuthorizationServer, ProtectedApi},
    token_fn,
    vonage::Region,
};
use http::{Request, Response};
use tokio::time::{advance, sleep};
use told::Log;
use tower::ServiceExt;
use tracing::Level;

const IN_PRODUCTION: &str = include_str!("../docs/in-production.md");
const WHEN_IT_DOES_NOT_WORK: &str = include_str!("../docs/when-it-does-not-work.md");

/// All that is logged and returned in the situations below.
struct Said {
    events: Vec<(Level, String)>,
    fields: BTreeSet<String>,
    /// One for each cause.
    errors: Vec<String>,
}

#[derive(Default)]
struct Errors(Vec<String>);

impl Errors {
    fn push(&mut self, error: &(dyn StdError + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.0.push(error.to_string());
            next = error.source();
        }
    }

    fn outcome<T>(&mut self, outcome: Result<T, Error>) {
        self.push(&outcome.err().expect("a failure"));
    }
}

fn said() -> Said {
    let (log, guard) = Log::start();
    let mut errors = Errors::default();
    let runtime = |paused| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(paused).build().expect("a runtime")
    };
    runtime(true).block_on(async {
        endpoints(&mut errors).await;
        transports(&mut errors).await;
        lives(&mut errors).await;
        apis(&mut errors).await;
    });
    runtime(false).block_on(redirects(&mut errors));
    let without_timer = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    errors.outcome(without_timer.block_on(cache(&AuthorizationServer::in_memory()).token()));
    refusals(&mut errors);
    drop(guard);
    let events = log.drain().into_iter();
    let events = events.filter(|(_, line)| !line.starts_with("open ") && !line.starts_with("record "));
    let events = events.filter(|(_, line)| !line.starts_with("token_request follows")).collect();
    Said { events, fields: log.fields(), errors: errors.0 }
}

fn source(url: impl Into<String>, client: impl HttpClient) -> ClientCredentialsBuilder {
    ClientCredentials::builder(url, "abcde", "12345").http_client(client).origin("https://api.test")
}

fn over(source: ClientCredentialsBuilder) -> TokenCache {
    TokenCache::builder(source.build().expect("complete")).clock(Clock::tokio()).build().expect("complete")
}

fn cache(auth: &AuthorizationServer) -> TokenCache {
    over(source(auth.token_url(), auth.clone()))
}

/// What a token endpoint answers.
async fn endpoints(errors: &mut Errors) {
    let json =
        |body: &str| Answer::status(200).with_header("content-type", "application/json").with_body(body.to_owned());
    let answers = [
        Answer::oauth_error("invalid_client"),
        Answer::oauth_error("unauthorized_client"),
        Answer::oauth_error("invalid_scope"),
        Answer::oauth_error("unsupported_grant_type"),
        Answer::status(429).with_retry_after(Duration::from_secs(60)),
        Answer::status(503),
        Answer::status(404),
        Answer::status(407),
        Answer::status(302).with_header("location", "https://login.example.com/"),
        Answer::garbage(),
        json(r#"{"access_token":"a","token_type":"mac"}"#),
        json(r#"{"access_token":"a","expires_in":"soon"}"#),
        json(r#"{"token":"a"}"#),
        Answer::hang(),
    ];
    for answer in answers {
        let auth = AuthorizationServer::in_memory();
        auth.answer_always(answer);
        let tokens = cache(&auth);
        errors.outcome(tokens.token().await);
        // Of an exchange and a caller that waits as long for it, either may end first.
        sleep(Duration::from_secs(1)).await;
        if tokens.status().held_back_for() > Some(Duration::from_secs(2)) {
            errors.outcome(tokens.token().await);
        }
    }
}

/// What happens on the way to it.
async fn transports(errors: &mut Errors) {
    let failures: [fn() -> io::Error; 5] = [
        || io::ErrorKind::ConnectionRefused.into(),
        || io::ErrorKind::ConnectionReset.into(),
        || io::Error::other("failed to lookup address information"),
        || io::Error::other("invalid peer certificate: UnknownIssuer"),
        || io::Error::other("invalid URL, scheme is not http"),
    ];
    for failure in failures {
        let service = tower::service_fn(move |_: Request<Bytes>| async move { Err::<Response<String>, _>(failure()) });
        errors.outcome(over(source("https://auth.example.com/token", TowerClient::new(service))).token().await);
    }
    let slow = AuthorizationServer::in_memory();
    slow.answer_always(Answer::hang());
    let patient = source(slow.token_url(), slow.clone()).timeout(Duration::from_secs(60));
    errors.outcome(over(patient).token().await);
    let sources = [
        TokenCache::builder(token_fn(|_| async { Err(Error::transient("down")) })),
        TokenCache::builder(token_fn(|_| async { Err(Error::permanent("refused")) })),
        TokenCache::builder(token_fn(|_| std::future::pending::<Result<AccessToken, Error>>())),
        TokenCache::builder(token_fn(|_| async { panic!("as the test wants it") })),
    ];
    for source in sources {
        errors
            .outcome(source.any_origin().wait_limit(Duration::from_secs(60)).build().expect("complete").token().await);
    }
}

/// What happens in a token's life.
async fn lives(errors: &mut Errors) {
    let auth = AuthorizationServer::in_memory();
    let tokens = cache(&auth);
    tokens.token().await.expect("a token");
    advance(Duration::from_secs(50 * 60)).await;
    tokens.token().await.expect("the old token");
    sleep(Duration::from_millis(1)).await;
    auth.answer_always(Answer::status(503));
    advance(Duration::from_secs(50 * 60)).await;
    tokens.token().await.expect("the old token");
    sleep(Duration::from_secs(5)).await;

    // The same token again, after a rejection and without one.
    for reject in [true, false] {
        let auth = AuthorizationServer::in_memory();
        let same = r#"{"access_token":"the-same","expires_in":3600}"#;
        auth.answer_always(Answer::status(200).with_body(same));
        let tokens = cache(&auth);
        let token = tokens.token().await.expect("a token");
        if reject {
            tokens.reject(&token);
        } else {
            auth.answer_always(Answer::status(200).with_body(r#"{"access_token":"the-same","expires_in":300}"#));
            advance(Duration::from_secs(55 * 60)).await;
        }
        sleep(Duration::from_secs(2)).await;
        tokens.token().await.expect("the old token");
        sleep(Duration::from_secs(2)).await;
        let status = tokens.status();
        errors.push(status.last_error().expect("the renewal failed"));
    }

    let source = source(auth.token_url(), AuthorizationServer::in_memory()).build().expect("complete");
    let tokens = TokenCache::builder(source).most_keys(1).clock(Clock::tokio()).build().expect("complete");
    for scope in ["a", "b", "c"] {
        let request = TokenRequest::builder().scope(scope).resource("https://a").audience("https://a");
        tokens.token_for(&request.build().expect("complete")).await.expect("a token");
    }
}

/// What happens between a caller and an API.
async fn apis(errors: &mut Errors) {
    let auth = AuthorizationServer::in_memory();
    let api = ProtectedApi::in_memory(&auth);
    let tokens = cache(&auth);
    let layer = BearerAuthLayer::new(tokens.clone());
    let service = tower::ServiceBuilder::new().layer(layer).service(api.clone());
    let send = |url: &str, own_header: bool| {
        let request = Request::get(url);
        let request = if own_header { request.header("authorization", "Basic YTpi") } else { request };
        service.clone().oneshot(request.body(String::new()).expect("a request"))
    };
    send("https://api.test/", false).await.expect("an answer");
    send("https://elsewhere.test/", false).await.expect("an answer");
    send("https://api.test/", true).await.expect("an answer");
    let error = send("http://api.test/", false).await.expect_err("refused");
    errors.push(&*error);
    sleep(Duration::from_secs(3000)).await;
    for _ in 0..3 {
        auth.revoke_all();
        send("https://api.test/", false).await.expect("an answer");
        sleep(Duration::from_secs(2)).await;
    }
    // With a copy to send again.
    let rejecting = tower::service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(Response::builder().status(401).body(String::new()).expect("a response"))
    });
    let layer = BearerAuthLayer::new(cache(&auth)).with_replay(client_credentials::TryClone);
    let service = tower::ServiceBuilder::new().layer(layer).service(rejecting);
    service.oneshot(Request::get("https://api.test/").body(String::new()).expect("a request")).await.expect("a 401");

    let down = AuthorizationServer::in_memory();
    down.answer_always(Answer::oauth_error("invalid_client"));
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(BearerAuthMiddleware::new(cache(&down)))
        .build();
    errors.push(&client.get("https://api.test/").send().await.expect_err("no token"));
}

/// A redirect that reqwest follows by itself.
async fn redirects(errors: &mut Errors) {
    let auth = AuthorizationServer::start().await;
    let end = ProtectedApi::start(&auth).await;
    let location = format!("{}/end", end.origin());
    let start = support::Server::start(move |_| {
        let redirect = Response::builder().status(302).header("location", &location).body(Bytes::new());
        async move { redirect.expect("a response") }
    })
    .await;
    let tokens = ClientCredentials::builder(auth.token_url(), "abcde", "12345").origin(start.origin());
    let middleware = BearerAuthMiddleware::new(tokens.build().expect("complete"));
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
    client.get(start.origin()).send().await.expect("an answer");
    // And one of a token endpoint, to a client that follows it.
    let redirecting = ClientCredentials::builder(start.origin(), "abcde", "12345").any_origin();
    let redirecting = redirecting.http_client(reqwest::Client::new()).build().expect("complete");
    errors.outcome(TokenCache::from(redirecting).token().await);
}

/// What is refused when it is built.
fn refusals(errors: &mut Errors) {
    let auth = AuthorizationServer::in_memory();
    let builder = |url: &str| ClientCredentials::builder(url, "abcde", "12345").http_client(auth.clone());
    errors.outcome(builder("https://auth.test/token").build());
    errors.outcome(builder("http://auth.test/token").any_origin().build());
    errors.outcome(ClientCredentials::vonage(Region::Emea, "abcde", "12345").http_client(auth.clone()).build());
}

/// Whether `text` is `quote`, where `…` stands for anything; only its beginning, if that is `open`.
fn fits(quote: &str, text: &str, open: bool) -> bool {
    let mut pieces = quote.split('…');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    open || rest.is_empty() || quote.ends_with('…')
}

/// Without its fields, which follow a colon.
fn message(event: &str) -> &str {
    let is_name = |character: char| character.is_ascii_lowercase() || "._".contains(character);
    let ends = event.match_indices(": ").map(|(at, _)| at);
    let end = ends.into_iter().find(|at| event[at + 2..].trim_start_matches(is_name).starts_with('='));
    event[..end.unwrap_or(event.len())].trim_end_matches(':')
}

/// What the field `error` says, its causes behind it.
fn error(event: &str) -> Option<String> {
    let (_, error) = event.split_once(" error=\"")?;
    Some(error.split_once("\" error.type=")?.0.replace("\\\"", "\""))
}

#[test]
fn the_page_about_what_does_not_work_quotes_what_is_said() {
    let said = said();
    let messages = said.events.iter().map(|(_, event)| message(event).to_owned());
    let texts: Vec<_> = messages.chain(said.errors).collect();
    let logged: Vec<_> = said.events.iter().filter_map(|(_, event)| error(event)).collect();
    let blocks = WHEN_IT_DOES_NOT_WORK.split("```text\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    let quotes: Vec<_> = blocks.flat_map(|(block, _)| block.lines()).collect();
    assert!(quotes.len() > 40, "{quotes:?}");
    let is_said = |quote: &&str| {
        texts.iter().any(|text| fits(quote, text, false)) || logged.iter().any(|text| fits(quote, text, true))
    };
    let invented: Vec<_> = quotes.into_iter().filter(|quote| !is_said(quote)).collect();
    assert!(invented.is_empty(), "nobody says {invented:#?}, of {texts:#?} and {logged:#?}");
}

#[test]
fn every_failure_of_a_token_request_leads_to_a_section() {
    let said = said();
    let rows: Vec<_> =
        WHEN_IT_DOES_NOT_WORK.lines().filter(|line| line.starts_with("| `") && line.contains("](#")).collect();
    let mut types = 0;
    for (_, event) in &said.events {
        let Some((_, rest)) = event.split_once("error.type=\"") else { continue };
        let kind = rest.split('"').next().unwrap_or_default();
        assert!(rows.iter().any(|row| row.contains(&format!("`{kind}`"))), "no row for {kind}");
        types += 1;
    }
    assert!(types > 20);
}

#[test]
fn the_table_of_events_has_each_event_with_its_level_and_no_other() {
    let said = said();
    let rows = IN_PRODUCTION.lines().filter_map(|line| {
        let (message, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let level: Level = rest.split(' ').next()?.parse().ok()?;
        Some((message, level))
    });
    let rows: Vec<_> = rows.collect();
    for (quote, level) in &rows {
        let said = said.events.iter().any(|(of, event)| of == level && fits(quote, event, true));
        assert!(said, "nobody says {quote:?} at {level}");
    }
    for (level, event) in &said.events {
        let documented = rows.iter().any(|(quote, of)| of == level && fits(quote, event, true));
        assert!(documented, "not in the table: {level} {event}");
    }
    let (_, fields) = IN_PRODUCTION.split_once("| field | what it is |").expect("the table of fields");
    let fields = fields.split("\n\n").next().unwrap_or_default();
    let of_spans = IN_PRODUCTION.split_once("is a span `token_request`").expect("the span").1.split("\n\n").next();
    for field in &said.fields {
        let name = format!("`{field}`");
        assert!(fields.contains(&name) || of_spans.unwrap_or_default().contains(&name), "{field} is not documented");
    }
    let documented = fields.lines().filter_map(|row| row.strip_prefix("| "));
    for name in documented.flat_map(|row| row.split(" | ").next().unwrap_or_default().split(", ")) {
        let name = name.trim_matches('`');
        assert!(name.is_empty() || said.fields.contains(name), "{name} is documented, but never written");
    }
}

#[test]
fn every_alert_is_explained() {
    let alerts = include_str!("../docs/prometheus-alerts.yml");
    let alerts: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 5);
    for alert in alerts {
        assert!(WHEN_IT_DOES_NOT_WORK.contains(&format!("| `{alert}` |")), "{alert} is not explained");
    }
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut links = 0;
    for document in ["README.md", "docs/in-production.md", "docs/testing.md", "docs/when-it-does-not-work.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect("a document");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { root.join(document) } else { root.join(document).with_file_name(file) };
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {target}: {error}"));
            let headings = text.lines().filter(|line| line.starts_with('#')).map(anchor_of);
            assert!(anchor.is_empty() || headings.into_iter().any(|of| of == anchor), "{document}: {target}");
            links += 1;
        }
    }
    assert!(links > 20, "{links} links");
}

/// As GitHub makes it of a heading.
fn anchor_of(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    words.chars().filter(|character| character.is_alphanumeric() || "-_".contains(*character)).collect()
}
