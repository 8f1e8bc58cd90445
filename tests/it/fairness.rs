//! Nobody pays for another's failure, and no good token is withheld: of many tokens, instances and APIs, in figures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use client_credentials::{BearerAuthLayer, ClientCredentials, Clock, TokenCache, TryClone};
use http::{Response, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt};

use crate::support::{
    api::{Api, Body, bearer, rejection},
    get,
    source::{millis, minutes, seconds},
    tenants::{Asked, Call, Reply, Tenants, call_once, call_steadily, tenant},
};

const EXPLICIT: &str = "Bearer error=\"invalid_token\"";

#[tokio::test(start_paused = true)]
async fn a_token_request_that_fails_or_hangs_costs_no_other_cold_token() {
    cold(200, |of| of == 7, Reply::Status(503), 50).await;
    cold(2_000, |of| of % 10 == 7, Reply::Status(500), 10).await;
    cold(2_000, |of| of % 100 == 7, Reply::Hangs, 10).await;
    cold(200, |of| of % 10 < 3, Reply::Status(503), 2_000).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_tokens_are_all_obtained() {
    cold(10_000, |of| of % 100 == 7, Reply::Status(500), 10).await;
    cold(10_000, |_| false, Reply::Hangs, 50).await;
}

#[tokio::test(start_paused = true)]
async fn failing_tokens_cost_the_others_hardly_a_request() {
    steady(51, |of| of == 0, Reply::RetryAfter(429, 600), minutes(10)).await;
    steady(41, |of| of == 0, Reply::OAuth("invalid_client"), minutes(10)).await;
    steady(70, |of| of < 20, Reply::Hangs, minutes(10)).await;
    steady(50, |of| of < 15, Reply::Status(500), minutes(10)).await;
    // Now and then, so many fail in a row that it looks like an outage for a second. An hour shows how often.
    steady(50, |of| of < 30, Reply::Status(500), minutes(60)).await;
}

/// However often tokens are revoked.
#[tokio::test(start_paused = true)]
async fn a_revocation_costs_one_401_and_one_token_request() {
    for every in [11, 30, 120] {
        revoked(every, false).await;
    }
    revoked(60, true).await;
}

/// However many hosts are meant by one wildcard or by any origin: it is one API.
#[tokio::test(start_paused = true)]
async fn a_path_that_rejects_every_token_costs_four_token_requests_in_a_minute_and_twenty_in_an_hour() {
    for challenge in [Some(EXPLICIT), None] {
        for hosts in [1, 100, 1000] {
            refused_path(hosts, true, challenge).await;
            refused_path(hosts, false, challenge).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn instances_are_served_by_a_server_whose_new_token_ends_the_one_before() {
    one_at_a_time(2).await;
    one_at_a_time(8).await;
}

/// Of the calls for good tokens: how many were served, and how many there were.
fn served(calls: &[Call], bad: fn(usize) -> bool) -> (usize, usize) {
    let good = calls.iter().filter(|call| !bad(call.tenant));
    let served = good.clone().filter(|call| call.outcome.is_ok());
    (served.count(), good.count())
}

async fn cold(tokens: usize, bad: fn(usize) -> bool, fails: Reply, takes: u64) {
    let endpoint = Tenants::new(move |Asked { tenant, .. }| match bad(tenant) {
        true => (fails, millis(10)),
        false => (Reply::Token, millis(takes)),
    });
    let calls = (0..tokens).map(|tenant| (tenant, Duration::ZERO));
    let calls = call_once(&endpoint, &endpoint.cache(), calls).await;
    let (served, good) = served(&calls, bad);
    assert!(served * 100 >= good * 99, "{served} of {good} served");
    let own = calls.iter().filter(|call| bad(call.tenant)).all(|call| call.outcome.is_err());
    assert!(own, "a failure is that of its own token");
}

/// With a call a second for each token, which lives for half a minute.
async fn steady(tokens: usize, bad: fn(usize) -> bool, fails: Reply, time: Duration) {
    let endpoint = Tenants::new(move |Asked { tenant, .. }| match bad(tenant) {
        true => (fails, millis(10)),
        false => (Reply::Token, millis(20)),
    });
    let endpoint = endpoint.with_expires_in(30);
    let calls = call_steadily(&endpoint, &endpoint.cache(), tokens, seconds(1), time).await;
    let (served, good) = served(&calls, bad);
    assert!(served * 100 >= good * 99, "{served} of {good} served");
}

/// A source whose tokens an API accepts that were issued after the last revocation.
struct Revocable {
    endpoint: Tenants,
    tokens: TokenCache,
    dead: Arc<AtomicUsize>,
}

impl Revocable {
    fn new(takes: u64) -> Self {
        let endpoint = Tenants::new(move |_| (Reply::Token, millis(takes))).with_expires_in(86_400);
        Self { tokens: endpoint.cache(), endpoint, dead: Arc::default() }
    }

    fn revoke(&self) {
        self.dead.store(self.endpoint.asked().len(), Ordering::Relaxed);
    }

    fn accepts(&self) -> impl Fn(&str) -> bool + Send + Sync + 'static {
        let dead = Arc::clone(&self.dead);
        move |token| number(token) > dead.load(Ordering::Relaxed)
    }
}

fn number(token: &str) -> usize {
    token.split_once('-').and_then(|(_, number)| number.parse().ok()).expect("a number")
}

fn explicitly(accepted: bool) -> Response<Body> {
    if accepted { Response::default() } else { rejection(Some(EXPLICIT)) }
}

/// `fleeting` callers go away while the token is renewed, which takes a while.
async fn revoked(every: u64, fleeting: bool) {
    let server = Revocable::new(if fleeting { 500 } else { 20 });
    let accepts = server.accepts();
    let api = Api::new(move |request| explicitly(accepts(bearer(request).expect("a token"))));
    let service = BearerAuthLayer::new(server.tokens.clone());
    let (mut rejected, mut revocations) = (0, 0);
    for second in 0..3600 {
        if second > 0 && second % every == 0 {
            server.revoke();
            revocations += 1;
        }
        let request = get("https://api.example.com/");
        let response = if fleeting {
            timeout(millis(100), service.clone().with_replay(TryClone).layer(api.clone()).oneshot(request)).await.ok()
        } else {
            Some(service.layer(api.clone()).oneshot(request).await)
        };
        let status = response.map(|response| response.expect("a response").status());
        rejected += u32::from(status == Some(StatusCode::UNAUTHORIZED));
        api.forget();
        sleep(seconds(1)).await;
    }
    assert!(rejected <= revocations, "{rejected} for {revocations} revocations");
    let most = usize::try_from(revocations).expect("few") + 1;
    assert!(server.endpoint.asked().len() <= most, "{}", server.endpoint.asked().len());
}

/// Beside a path that responds with a bare 401.
#[tokio::test(start_paused = true)]
async fn a_revocation_costs_one_401_beside_a_path_that_rejects_without_a_reason() {
    let server = Revocable::new(20);
    let accepts = server.accepts();
    let api = Api::new(move |request| match request.uri().path() {
        "/bad" => rejection(None),
        _ => explicitly(accepts(bearer(request).expect("a token"))),
    });
    let service = BearerAuthLayer::new(server.tokens.clone()).layer(api.clone());
    let (mut rejected, mut revocations) = (0, 0);
    for tick in 0..12_000 {
        if tick % 1200 == 600 {
            server.revoke();
            revocations += 1;
        }
        for path in ["/a", "/b", "/c", "/bad"] {
            let request = get(&format!("https://api.example.com{path}"));
            let status = service.clone().oneshot(request).await.expect("a response").status();
            rejected += u32::from(status == StatusCode::UNAUTHORIZED && path != "/bad");
        }
        api.forget();
        sleep(millis(50)).await;
    }
    assert!(rejected <= revocations, "{rejected} for {revocations} revocations");
}

async fn refused_path(hosts: u32, any: bool, challenge: Option<&'static str>) {
    let endpoint = Tenants::new(|_| (Reply::Token, millis(20))).with_expires_in(86_400);
    let source = ClientCredentials::builder("https://auth.example.com/token", "abcde", "12345");
    let source = source.http_client(endpoint.clone());
    let source = if any { source.any_origin() } else { source.origin("https://*.example.com") };
    let tokens = TokenCache::builder(source.build().expect("complete")).clock(Clock::tokio());
    let api = Api::new(move |request| match request.uri().path() {
        "/bad" => rejection(challenge),
        _ => Response::default(),
    });
    let service = BearerAuthLayer::new(tokens.build().expect("complete")).layer(api.clone());
    let mut sent = 0;
    while endpoint.now() < minutes(60) {
        for path in ["good", "bad", "good"] {
            let request = get(&format!("https://h{}.example.com/{path}", sent % hosts));
            service.clone().oneshot(request).await.expect("a response");
        }
        api.forget();
        sent += 1;
        // Later it is enough to notice every chance.
        sleep(if endpoint.now() < minutes(2) { millis(250) } else { seconds(2) }).await;
    }
    let counts = (endpoint.count_within(Duration::ZERO, minutes(1)), endpoint.asked().len());
    assert!(counts.0 <= 4 && counts.1 <= 20, "{hosts} hosts, any origin: {any}: {counts:?}");
}

/// As Zoom does: a new token ends the others.
async fn one_at_a_time(instances: usize) {
    let endpoint = Tenants::new(|_| (Reply::Token, Duration::ZERO));
    let newest = endpoint.clone();
    let api = Api::new(move |request| {
        let token = bearer(request).expect("a token").trim_start_matches('t').split_once('-');
        let (tenant, times) = token.expect("a name");
        let newest = newest.asked().last().map(|asked| (asked.tenant.to_string(), asked.times.to_string()));
        explicitly(newest == Some((tenant.to_owned(), times.to_owned())))
    });
    let callers: Vec<_> = (0..instances)
        .map(|instance| {
            let tokens = endpoint.cache().with_request(&tenant(instance));
            let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api.clone());
            tokio::spawn(async move {
                sleep(millis(7 * instance as u64)).await;
                let (mut served, start) = ((0, 0), Instant::now());
                while start.elapsed() < minutes(2) {
                    let response = service.clone().oneshot(get("https://api.example.com/")).await;
                    served.0 += u32::from(response.expect("a response").status() == StatusCode::OK);
                    served.1 += 1;
                    sleep(millis(100)).await;
                }
                served
            })
        })
        .collect();
    let mut all = (0, 0);
    for caller in callers {
        let served = caller.await.expect("no panic");
        all = (all.0 + served.0, all.1 + served.1);
    }
    for instance in 0..instances {
        let asked: Vec<_> = endpoint.asked().into_iter().filter(|asked| asked.tenant == instance).collect();
        let least = asked.windows(2).map(|pair| pair[1].at - pair[0].at).min();
        assert!(least.is_none_or(|least| least >= seconds(1)), "{least:?} between two token requests");
    }
    assert!(f64::from(all.0) >= 0.99 * f64::from(all.1), "{all:?}");
}
