//! The figures of "nobody pays for another's failure, and no good token is withheld": each is held, and printed
//! beside what it was before.
//!
//! `cargo test --all-features --test it fairness -- --nocapture`

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use client_credentials::{BearerAuthLayer, ClientCredentials, Clock, TokenCache, TokenRequest, TryClone};
use http::{Response, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt};

use crate::support::{
    api::{Api, Body, bearer, rejection},
    get,
    source::{millis, minutes, seconds},
    tenants::{Asked, Call, Reply, Tenants, call, call_once, call_steadily, tenant},
};

type Figure = (&'static str, &'static str, fn() -> String);

/// What is looked at, what it was before, and what measures it now.
const FIGURES: &[Figure] = &[
    ("200 cold tokens, one fails: others served", "15 of 199", || cold(200, |of| of == 7, Reply::Status(503), 50)),
    ("10 000 cold at 10 ms, 1 % fail with 500", "2 %", || cold(10_000, |of| of % 100 == 7, Reply::Status(500), 10)),
    ("2 000 cold at 10 ms, 10 % fail with 500", "", || cold(2_000, |of| of % 10 == 7, Reply::Status(500), 10)),
    ("2 000 cold at 10 ms, 20 hang", "up to 25 s", || cold(2_000, |of| of % 100 == 7, Reply::Hangs, 10)),
    ("200 cold at 2 s, 30 % fail in 10 ms", "", || cold(200, |of| of % 10 < 3, Reply::Status(503), 2_000)),
    ("10 000 cold at 50 ms", "95 %", || cold(10_000, |_| false, Reply::Hangs, 50)),
    ("50 good beside one told to wait 600 s: failed", "5 976 of 6 000", || {
        steady(51, |of| of == 0, Reply::RetryAfter(429, 600), 20)
    }),
    ("40 good beside one wrong secret: failed", "1 496 of 24 000", || {
        steady(41, |of| of == 0, Reply::OAuth("invalid_client"), 20)
    }),
    ("50 good beside 20 that hang: failed", "", || steady(70, |of| of < 20, Reply::Hangs, 20)),
    ("35 good beside 15 that fail: failed", "", || steady(50, |of| of < 15, Reply::Status(500), 20)),
    ("20 good beside 30 that fail: failed", "", || steady(50, |of| of < 30, Reply::Status(500), 20)),
    ("an outage, one token: requests in each minute", "10, then 4", one_in_an_outage),
    ("an outage, 1 000 tokens: requests", "", many_in_an_outage),
    ("Retry-After: 3600 once, cold: silence", "474 s", told_to_wait_an_hour),
    ("back after a server that hung", "54 s", || back_after(Reply::Hangs, 0)),
    ("back after 504s that took 25 s", "54 s", || back_after(Reply::Status(504), 25)),
    ("back after refused connections", "30 s", || back_after(Reply::Refused, 0)),
    ("revoked every 11 s, a request a second: 401s", "", || revoked(11, By::Layer)),
    ("revoked every 30 s, a request a second: 401s", "3 226 of 3 600", || revoked(30, By::Layer)),
    ("revoked every 60 s, a request a second: 401s", "2 616 of 3 600", || revoked(60, By::Layer)),
    ("revoked every 120 s, a request a second: 401s", "2 395 of 3 600", || revoked(120, By::Layer)),
    ("the same every 11 s, by hand", "", || revoked(11, By::Hand)),
    ("the same every 60 s, by hand", "", || revoked(60, By::Hand)),
    ("the same every 60 s, callers go away", "158", || revoked(60, By::Fleeting)),
    ("fresh tokens accepted after 2 s, with replay: 401s", "63 %", replicated_late),
    ("one path responds with a bare 401; revoked: 401s of others", "581", bare_beside_good),
    ("one path always refused, explicitly: requests", "", || refused_path(Some(EXPLICIT))),
    ("one path always refused, without a reason: requests", "", || refused_path(None)),
    ("a new token ends the last, 2 instances: served", "all", || one_at_a_time(2)),
    ("a new token ends the last, 8 instances: served", "all", || one_at_a_time(8)),
    ("a token counted down from 6 s: failed", "1.6 to 3.7 %", counted_down),
    ("a refresh_in of 1 800 s, 200 instances: spread", "0 s", refresh_hint_spread),
];

const EXPLICIT: &str = "Bearer error=\"invalid_token\"";

#[test]
fn nobody_pays_for_another_and_no_good_token_is_withheld() {
    let (next, told) = (AtomicUsize::new(0), Mutex::new(vec![None; FIGURES.len()]));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((_, _, figure)) = FIGURES.get(index) else { break };
                    // The others are of interest, too.
                    let measured = std::panic::catch_unwind(figure).ok();
                    told.lock().expect("no panic")[index] = measured;
                }
            });
        }
    });
    let told = told.into_inner().expect("no panic");
    println!("{:<55} {:<16} now", "", "before");
    for ((what, before, _), now) in FIGURES.iter().zip(&told) {
        println!("{what:<55} {before:<16} {}", now.as_deref().unwrap_or("NOT HELD"));
    }
    assert!(told.iter().all(Option::is_some), "a figure does not hold");
}

fn on_paused_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

/// Of the calls for good tokens: how many were served, and how many there were.
fn served(calls: &[Call], bad: fn(usize) -> bool) -> (usize, usize) {
    let good = calls.iter().filter(|call| !bad(call.tenant));
    let served = good.clone().filter(|call| call.outcome.is_ok());
    (served.count(), good.count())
}

fn cold(tokens: usize, bad: fn(usize) -> bool, fails: Reply, takes: u64) -> String {
    on_paused_time(async {
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
        let slowest = calls.iter().filter(|call| !bad(call.tenant)).map(|call| call.waited).max();
        format!("{served} of {good}, the last after {:.1} s", slowest.unwrap_or_default().as_secs_f64())
    })
}

/// Ten minutes, with a call a second for each token, which lives for half a minute.
fn steady(tokens: usize, bad: fn(usize) -> bool, fails: Reply, takes: u64) -> String {
    on_paused_time(async {
        let endpoint = Tenants::new(move |Asked { tenant, .. }| match bad(tenant) {
            true => (fails, millis(10)),
            false => (Reply::Token, millis(takes)),
        });
        let endpoint = endpoint.with_expires_in(30);
        let calls = call_steadily(&endpoint, &endpoint.cache(), tokens, seconds(1), minutes(10)).await;
        let (served, good) = served(&calls, bad);
        assert!(served * 100 >= good * 99, "{served} of {good} served");
        format!("{} of {good}", good - served)
    })
}

fn one_in_an_outage() -> String {
    on_paused_time(async {
        let endpoint = Tenants::new(|_| (Reply::Status(503), millis(10)));
        let tokens = endpoint.cache();
        call_steadily(&endpoint, &tokens, 1, millis(100), minutes(10)).await;
        let minutely: Vec<_> =
            (0..10).map(|minute| endpoint.count_within(minutes(minute), minutes(minute + 1))).collect();
        assert!(minutely[0] <= 10 && minutely[1..].iter().all(|count| *count <= 4), "{minutely:?}");
        format!("{}, then at most {}", minutely[0], minutely[1..].iter().max().expect("some"))
    })
}

/// They were well before.
fn many_in_an_outage() -> String {
    on_paused_time(async {
        let down = minutes(2);
        let endpoint = Tenants::new(move |Asked { at, .. }| {
            (if at < down { Reply::Token } else { Reply::Status(503) }, millis(100))
        });
        let endpoint = endpoint.with_expires_in(60);
        let calls = call_steadily(&endpoint, &endpoint.cache(), 1000, seconds(2), down + minutes(2)).await;
        let after = |second| down + seconds(second);
        let first = (0..60).map(|second| endpoint.count_within(after(second), after(second + 2))).max();
        let first = first.unwrap_or_default();
        assert!(first <= 3 * 32 + 2, "{first}: at most 32, with their quick retries");
        let last = endpoint.count_within(down + minutes(1), down + minutes(2));
        assert!(last <= 61, "{last}");
        // Nobody sees another's words, but what kind of failure it is.
        let others = calls.iter().filter_map(|call| call.outcome.as_ref().err());
        assert!(others.clone().count() > 1000 && others.clone().all(|error| error.status().is_some()));
        format!("{first} as it begins, {last} in a later minute")
    })
}

fn told_to_wait_an_hour() -> String {
    on_paused_time(async {
        let endpoint = Tenants::new(|Asked { times, .. }| match times {
            1 => (Reply::RetryAfter(429, 3600), Duration::ZERO),
            _ => (Reply::Token, Duration::ZERO),
        });
        let tokens = endpoint.cache();
        while call(&endpoint, &tokens, 0).await.outcome.is_err() {
            sleep(millis(100)).await;
        }
        assert!(endpoint.now() <= seconds(301), "{:?}", endpoint.now());
        format!("{:.0} s, of 240 to 300", endpoint.now().as_secs_f64())
    })
}

/// The worst of several recoveries at other moments.
fn back_after(fails: Reply, takes: u64) -> String {
    let backs = (0..8).map(|shift| {
        on_paused_time(async {
            let recovers = minutes(5) + seconds(4 * shift);
            let endpoint = Tenants::new(move |Asked { at, .. }| match at < recovers {
                true => (fails, seconds(takes)),
                false => (Reply::Token, Duration::ZERO),
            });
            let tokens = endpoint.cache();
            while endpoint.now() < recovers || call(&endpoint, &tokens, 0).await.outcome.is_err() {
                let _ = timeout(millis(200), tokens.token_for(&tenant(0))).await;
                sleep(millis(50)).await;
            }
            let most = (1..5).map(|minute| endpoint.count_within(minutes(minute), minutes(minute + 1))).max();
            assert!(most <= Some(4), "{most:?} in a minute");
            endpoint.now() - recovers
        })
    });
    let worst = backs.max().expect("some");
    assert!(worst <= seconds(32), "{worst:?}");
    format!("{:.1} s", worst.as_secs_f64())
}

#[derive(Clone, Copy, PartialEq)]
enum By {
    Layer,
    Hand,
    /// Callers that go away while the token is renewed, which takes a while.
    Fleeting,
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

    fn api(&self) -> Api {
        let accepts = self.accepts();
        Api::new(move |request| explicitly(accepts(bearer(request).expect("a token"))))
    }
}

fn number(token: &str) -> usize {
    token.split_once('-').and_then(|(_, number)| number.parse().ok()).expect("a number")
}

fn explicitly(accepted: bool) -> Response<Body> {
    if accepted { Response::default() } else { rejection(Some(EXPLICIT)) }
}

fn revoked(every: u64, by: By) -> String {
    on_paused_time(async {
        let server = Revocable::new(if by == By::Fleeting { 500 } else { 20 });
        let (api, accepts) = (server.api(), server.accepts());
        let service = BearerAuthLayer::new(server.tokens.clone());
        let (mut rejected, mut revocations) = (0, 0);
        for second in 0..3600 {
            if second > 0 && second % every == 0 {
                server.revoke();
                revocations += 1;
            }
            rejected += u32::from(match by {
                By::Layer => {
                    let response = service.layer(api.clone()).oneshot(get("https://api.example.com/")).await;
                    response.expect("a response").status() == StatusCode::UNAUTHORIZED
                }
                By::Hand => {
                    let token = server.tokens.token().await.expect("a token");
                    let accepted = accepts(token.expose_secret());
                    if !accepted {
                        server.tokens.reject(&token);
                    }
                    !accepted
                }
                By::Fleeting => {
                    let service = service.clone().with_replay(TryClone).layer(api.clone());
                    let response = timeout(millis(100), service.oneshot(get("https://api.example.com/"))).await;
                    response.is_ok_and(|response| response.expect("one").status() == StatusCode::UNAUTHORIZED)
                }
            });
            api.forget();
            sleep(seconds(1)).await;
        }
        assert!(rejected <= revocations, "{rejected} for {revocations} revocations");
        let most = usize::try_from(revocations).expect("few") + 1;
        assert!(server.endpoint.asked().len() <= most, "{}", server.endpoint.asked().len());
        format!("{rejected} for {revocations} revocations")
    })
}

fn replicated_late() -> String {
    on_paused_time(async {
        let server = Revocable::new(20);
        let (accepts, endpoint) = (server.accepts(), server.endpoint.clone());
        let api = Api::new(move |request| {
            let token = bearer(request).expect("a token");
            let is_known = endpoint.now() >= endpoint.asked()[number(token) - 1].at + seconds(2);
            explicitly(accepts(token) && (is_known || number(token) == 1))
        });
        let service = BearerAuthLayer::new(server.tokens.clone()).with_replay(TryClone).layer(api.clone());
        let (mut rejected, mut sent, start) = (0, 0, Instant::now());
        while start.elapsed() < minutes(10) {
            if sent % 1200 == 1199 {
                server.revoke();
            }
            let response = service.clone().oneshot(get("https://api.example.com/")).await.expect("a response");
            rejected += u32::from(response.status() == StatusCode::UNAUTHORIZED);
            sent += 1;
            api.forget();
            sleep(millis(50)).await;
        }
        // Seconds of replication cost seconds.
        assert!(rejected <= 10 * 2 * 21, "{rejected} of {sent}");
        format!("{:.1} %", 100.0 * f64::from(rejected) / f64::from(sent))
    })
}

fn bare_beside_good() -> String {
    on_paused_time(async {
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
        format!("{rejected} for {revocations} revocations")
    })
}

/// However many hosts are meant by one wildcard or by any origin: it is one API.
fn refused_path(challenge: Option<&'static str>) -> String {
    let hosts = [1, 100, 1000].into_iter().flat_map(|hosts| [(hosts, true), (hosts, false)]);
    let counts = hosts.map(|(hosts, any)| on_paused_time(refused_path_of(hosts, any, challenge)));
    let (in_a_minute, in_an_hour): (Vec<_>, Vec<_>) = counts.unzip();
    format!("{in_a_minute:?} in a minute, {in_an_hour:?} in an hour")
}

async fn refused_path_of(hosts: u32, any: bool, challenge: Option<&'static str>) -> (usize, usize) {
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
    counts
}

/// Zoom's way: whoever gets a token ends everybody else's.
fn one_at_a_time(instances: usize) -> String {
    on_paused_time(async {
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
        format!("{} of {}", all.0, all.1)
    })
}

fn counted_down() -> String {
    on_paused_time(async {
        // The same token for six seconds, with what is left of them; then another.
        let endpoint = Tenants::new(|Asked { at, .. }| {
            let second = at.as_secs();
            (Reply::Known("t", second / 6, 6 - second % 6), millis(20))
        });
        let calls = call_steadily(&endpoint, &endpoint.cache(), 1, millis(50), minutes(10)).await;
        let failed = calls.iter().filter(|call| call.outcome.is_err()).count();
        assert_eq!(failed, 0, "of {}", calls.len());
        format!("{failed} of {}", calls.len())
    })
}

fn refresh_hint_spread() -> String {
    on_paused_time(async {
        let endpoint = Tenants::new(|_| (Reply::RefreshIn(1800), Duration::ZERO));
        let instances: Vec<_> = (0..200).map(|_| endpoint.cache()).collect();
        for second in 0..2400 {
            for tokens in instances.iter().filter(|_| second % 10 == 0) {
                tokens.token_for(&TokenRequest::default()).await.expect("a token");
            }
            sleep(seconds(1)).await;
        }
        let renewed: Vec<_> = endpoint.asked().iter().skip(200).map(|asked| asked.at).collect();
        assert_eq!(renewed.len(), 200);
        let spread = *renewed.iter().max().expect("some") - *renewed.iter().min().expect("some");
        assert!(spread >= seconds(120), "{spread:?}");
        format!("{} s", spread.as_secs())
    })
}
