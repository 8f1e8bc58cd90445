//! Random lives of several tokens beside each other, over several origins: each pays for its own failures alone.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use client_credentials::{BearerAuth, BearerAuthLayer, Error, TokenCache};
use http::{Response, StatusCode};
use proptest::prelude::*;
use tokio::{task::JoinSet, time::sleep};
use tower::{Layer, ServiceExt};

use crate::support::{
    api::{Body, bearer, rejection},
    get,
    source::{millis, minutes, seconds},
    tenants::{Asked, Reply, Tenants, call, tenant},
};

const TENANTS: usize = 6;
const EXPLICIT: &str = "Bearer error=\"invalid_token\"";
const ORIGINS: [&str; 3] = ["https://orders.test/", "https://stock.test/", "https://reports.test/"];

#[derive(Clone, Copy, Debug)]
enum Event {
    Time(u64),
    /// So many callers for this tenant's token come at once.
    Calls(usize, usize),
    /// From now on its token requests end so.
    Fortune(usize, Reply),
    /// From now on everybody's do.
    Everybody(Reply),
    /// How long the endpoint takes.
    Takes(u64),
    /// The tenant's token is revoked while so many requests with it are in flight, to this origin first.
    Revoke(usize, usize, usize),
}

fn event() -> impl Strategy<Value = Event> {
    let fails = prop_oneof![
        Just(Reply::Status(503)),
        Just(Reply::Refused),
        Just(Reply::RetryAfter(429, 3)),
        Just(Reply::RetryAfter(503, 600)),
        Just(Reply::OAuth("invalid_client")),
        Just(Reply::OAuth("invalid_scope")),
        Just(Reply::Hangs),
    ];
    let reply = prop_oneof![2 => Just(Reply::Token), 3 => fails];
    prop_oneof![
        4 => prop_oneof![1..2_000u64, 1..100_000u64, 1..4_000_000u64].prop_map(Event::Time),
        8 => (0..TENANTS, 1..5usize).prop_map(|(tenant, callers)| Event::Calls(tenant, callers)),
        3 => (0..TENANTS, reply.clone()).prop_map(|(tenant, reply)| Event::Fortune(tenant, reply)),
        1 => reply.prop_map(Event::Everybody),
        1 => prop_oneof![Just(0), 0..3_000u64].prop_map(Event::Takes),
        2 => (0..TENANTS, 0..20usize, 0..ORIGINS.len())
            .prop_map(|(tenant, in_flight, origin)| Event::Revoke(tenant, in_flight, origin)),
    ]
}

/// One token request, as the endpoint ended it.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    tenant: usize,
    ended: Duration,
    reply: Reply,
}

struct World {
    endpoint: Tenants,
    tokens: TokenCache,
    fortunes: Arc<Mutex<([Reply; TENANTS], Duration)>>,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    callers: JoinSet<crate::support::tenants::Call>,
    calls: Vec<crate::support::tenants::Call>,
    /// For each revocation, the 401s that reached callers, and how many requests were on their way.
    rejected: Vec<(usize, usize)>,
    challenge: Option<&'static str>,
}

impl World {
    fn new(is_explicit: bool) -> Self {
        let fortunes = Arc::new(Mutex::new(([Reply::Token; TENANTS], Duration::ZERO)));
        let exchanges = Arc::<Mutex<Vec<Exchange>>>::default();
        let (now, seen) = (Arc::clone(&fortunes), Arc::clone(&exchanges));
        let endpoint = Tenants::new(move |Asked { tenant, at, .. }| {
            let (replies, takes) = *now.lock().expect("no panic");
            let reply = replies[tenant];
            let ended = at + if matches!(reply, Reply::Hangs) { seconds(28) } else { takes };
            seen.lock().expect("no panic").push(Exchange { tenant, ended, reply });
            (reply, takes)
        });
        let tokens = endpoint.cache();
        let challenge = is_explicit.then_some(EXPLICIT);
        Self {
            endpoint,
            tokens,
            fortunes,
            exchanges,
            callers: JoinSet::new(),
            calls: Vec::new(),
            rejected: Vec::new(),
            challenge,
        }
    }

    async fn live(&mut self, event: Event) {
        match event {
            Event::Time(time) => sleep(millis(time)).await,
            Event::Calls(tenant, callers) => {
                for _ in 0..callers {
                    let (endpoint, tokens) = (self.endpoint.clone(), self.tokens.clone());
                    self.callers.spawn(async move { call(&endpoint, &tokens, tenant).await });
                }
            }
            Event::Fortune(tenant, reply) => self.fortunes.lock().expect("no panic").0[tenant] = reply,
            Event::Everybody(reply) => self.fortunes.lock().expect("no panic").0 = [reply; TENANTS],
            Event::Takes(time) => self.fortunes.lock().expect("no panic").1 = millis(time),
            Event::Revoke(tenant, in_flight, origin) => self.revoke(tenant, in_flight, origin).await,
        }
        // Whatever can happen now, happens now.
        sleep(millis(1)).await;
        while let Some(call) = self.callers.try_join_next() {
            self.calls.push(call.expect("no panic"));
        }
    }

    async fn end(&mut self) {
        while let Some(call) = self.callers.join_next().await {
            self.calls.push(call.expect("no panic"));
        }
    }

    /// A revocation, with a server that is well, of a token that the origins have accepted for a while.
    async fn revoke(&mut self, number: usize, in_flight: usize, first: usize) {
        let well = ([Reply::Token; TENANTS], millis(50));
        let before = std::mem::replace(&mut *self.fortunes.lock().expect("no panic"), well);
        sleep(minutes(10)).await;
        let dead = Arc::new(AtomicUsize::new(0));
        let service = self.service(number, &dead);
        let send = |origin: usize| service.clone().oneshot(get(ORIGINS[origin % ORIGINS.len()]));
        for origin in 0..ORIGINS.len() {
            assert_eq!(send(origin).await.expect("a response").status(), StatusCode::OK);
        }
        sleep(seconds(if self.challenge.is_some() { 12 } else { 65 })).await;
        for origin in 0..ORIGINS.len() {
            assert_eq!(send(origin).await.expect("a response").status(), StatusCode::OK);
        }
        // They are sent with the token that is revoked while they are on their way.
        let mut requests = JoinSet::new();
        (0..in_flight).for_each(|at| drop(requests.spawn(send(first + at))));
        sleep(millis(10)).await;
        dead.store(self.endpoint.asked().len(), Ordering::Relaxed);
        // Its renewal by age has only just begun, and the next one may not start within a second.
        let recent = self.endpoint.now().saturating_sub(seconds(1));
        let is_renewed = self.endpoint.asked().iter().any(|asked| asked.tenant == number && asked.at >= recent);
        for at in 0..40 {
            requests.spawn(send(first + at));
            // The first of these is on its way, too, when the first 401 arrives; the others come after it.
            sleep(millis(if at == 0 { 130 } else { 25 })).await;
        }
        // A 401 that gives no reason keeps nobody from being served with the old token until there is another.
        let most = in_flight + if self.challenge.is_some() { 1 } else { 2 };
        let mut rejected = 0;
        while let Some(response) = requests.join_next().await {
            let status = response.expect("no panic").expect("a response").status();
            rejected += usize::from(status == StatusCode::UNAUTHORIZED);
        }
        if !is_renewed {
            self.rejected.push((rejected, most));
        }
        *self.fortunes.lock().expect("no panic") = before;
    }

    /// Of APIs that take 100 ms, and reject what was issued before.
    fn service(&self, number: usize, dead: &Arc<AtomicUsize>) -> BearerAuth<BoxedApi> {
        let (dead, challenge, endpoint) = (Arc::clone(dead), self.challenge, self.endpoint.clone());
        let api = tower::service_fn(move |request: http::Request<Body>| {
            let token = bearer(&request).expect("a token").to_owned();
            let (dead, endpoint) = (Arc::clone(&dead), endpoint.clone());
            async move {
                sleep(millis(100)).await;
                let times: usize = token.rsplit_once('-').expect("a name").1.parse().expect("a number");
                let asked = endpoint.asked();
                let issued = asked.iter().rposition(|asked| asked.tenant == number && asked.times == times);
                let is_dead = issued.expect("one of the endpoint") < dead.load(Ordering::Relaxed);
                Ok::<_, Error>(if is_dead { rejection(challenge) } else { Response::default() })
            }
        });
        let layer = BearerAuthLayer::new(self.tokens.with_request(&tenant(number)));
        layer.layer(tower::util::BoxCloneSyncService::new(api))
    }
}

type BoxedApi = tower::util::BoxCloneSyncService<http::Request<Body>, Response<Body>, Error>;

impl Exchange {
    fn failed(&self) -> bool {
        !matches!(self.reply, Reply::Token)
    }

    /// What the endpoint says about one tenant alone, in good health.
    fn is_its_own(&self) -> bool {
        matches!(self.reply, Reply::OAuth("invalid_scope"))
    }
}

/// Whether three tenants failed in a row, with no success between, when the caller left or since it came.
fn is_proven(exchanges: &[Exchange], came: Duration, left: Duration) -> bool {
    let mut row: Vec<usize> = Vec::new();
    let mut is_proven = false;
    for exchange in exchanges.iter().filter(|exchange| exchange.ended <= left) {
        if !exchange.failed() || exchange.is_its_own() {
            row.clear();
        } else if !row.contains(&exchange.tenant) {
            row.push(exchange.tenant);
        }
        is_proven = row.len() >= 3 || is_proven && exchange.ended >= came;
    }
    is_proven
}

fn check(world: &World) -> Result<(), TestCaseError> {
    let mut exchanges = world.exchanges.lock().expect("no panic").clone();
    exchanges.sort_by_key(|exchange| exchange.ended);
    for call in &world.calls {
        prop_assert!(call.waited <= seconds(31), "waited too long: {call:?}");
        let Err(error) = &call.outcome else { continue };
        let left = call.came + call.waited;
        let own = |exchange: &&Exchange| exchange.tenant == call.tenant;
        let before = exchanges.iter().filter(own).rfind(|exchange| exchange.ended <= call.came);
        let meanwhile = exchanges.iter().filter(own).any(|exchange| exchange.ended > call.came && exchange.failed());
        let is_own = before.is_some_and(Exchange::failed) || meanwhile;
        prop_assert!(is_own || is_proven(&exchanges, call.came, left), "{call:?} pays for another: {error}");
    }
    for (rejected, in_flight) in &world.rejected {
        prop_assert!(rejected <= in_flight, "{rejected} 401s for {in_flight} requests in flight");
    }
    let asked = world.endpoint.asked();
    for number in 0..TENANTS {
        let starts: Vec<_> = asked.iter().filter(|asked| asked.tenant == number).map(|asked| asked.at).collect();
        for (index, start) in starts.iter().enumerate() {
            let count = |time| starts[index..].iter().take_while(|at| **at < *start + time).count();
            prop_assert!(count(seconds(1)) <= 3, "{} token requests within a second", count(seconds(1)));
            prop_assert!(count(minutes(1)) <= 20, "{} token requests within a minute", count(minutes(1)));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nobody_pays_for_another(
        events in prop::collection::vec(event(), 1..60),
        is_explicit in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut world = World::new(is_explicit);
            for event in events {
                world.live(event).await;
            }
            world.end().await;
            check(&world)?;

            // Nothing is terminal.
            world.live(Event::Everybody(Reply::Token)).await;
            world.live(Event::Takes(0)).await;
            sleep(minutes(10)).await;
            for number in 0..TENANTS {
                world.live(Event::Calls(number, 2)).await;
            }
            world.end().await;
            let served = world.calls.iter().rev().take(2 * TENANTS).all(|call| call.outcome.is_ok());
            prop_assert!(served, "{:?}", world.calls.last());
            check(&world)
        })?;
    }
}
