//! Random lives of a token that several instances share in a store, held against the promises for all of them.

use std::{collections::HashSet, time::Duration};

use client_credentials::{Clock, Error, TokenCache, testing::MemoryStore};
use proptest::prelude::*;
use tokio::{task::JoinSet, time::sleep};

use crate::support::source::{Given, Outcome, Source, failure, millis, minutes, seconds};

const INSTANCES: usize = 4;
/// A hanging token request ends then, so that all instances can fail in turn before one loses its patience.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// The longest time for which an instance leaves the store alone after an outage, and the end of what was under way.
const UNTIL_ALL_ARE_BACK: Duration = Duration::from_secs(65);

#[derive(Clone, Debug)]
enum Event {
    Time(u64),
    /// So many callers of this instance come at once.
    Calls(usize, usize),
    /// One caller of each instance comes.
    CallsOfAll,
    /// An API rejects the token that this instance holds.
    Reject(usize),
    /// The process ends, and another one starts in its place.
    Restart(usize),
    Respond(Outcome),
    /// How long a token request takes.
    Takes(u64),
    Store(Condition),
    /// The store loses what it has.
    Clear,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    Up,
    Slow,
    Down,
    Hanging,
    Silent,
}

#[derive(Debug)]
struct Call {
    /// Which instance, and which of its processes.
    by: (usize, usize),
    came: Duration,
    left: Duration,
    outcome: Result<String, Error>,
}

fn event() -> impl Strategy<Value = Event> {
    let lifetime = prop_oneof![Just(2), Just(20), Just(60), Just(1801), Just(3600), Just(u64::MAX), 2..100_000u64];
    let condition = prop_oneof![
        4 => Just(Condition::Up),
        2 => Just(Condition::Slow),
        1 => Just(Condition::Down),
        1 => Just(Condition::Hanging),
        1 => Just(Condition::Silent),
    ];
    prop_oneof![
        5 => prop_oneof![1..2_000u64, 1..100_000u64, 1..4_000_000u64].prop_map(Event::Time),
        6 => (0..INSTANCES, 1..5usize).prop_map(|(instance, callers)| Event::Calls(instance, callers)),
        4 => Just(Event::CallsOfAll),
        2 => (0..INSTANCES).prop_map(Event::Reject),
        2 => (0..INSTANCES).prop_map(Event::Restart),
        3 => lifetime.prop_map(|lifetime| Event::Respond(Outcome::Lives(seconds(lifetime)))),
        2 => failure(&[7, 600, 86_400]).prop_map(Event::Respond),
        1 => Just(Event::Respond(Outcome::Hangs)),
        1 => (0..300u64).prop_map(Event::Takes),
        1 => condition.prop_map(Event::Store),
        1 => Just(Event::Clear),
    ]
}

struct World {
    source: Source,
    store: MemoryStore,
    /// Each with the number of its process.
    instances: Vec<(TokenCache, usize)>,
    callers: JoinSet<Call>,
    calls: Vec<Call>,
    rejected: HashSet<String>,
    /// When the store was not as it should be.
    troubles: Vec<(Duration, Duration)>,
    condition: Condition,
    since: Duration,
}

impl World {
    fn new() -> Self {
        let (source, store) = (Source::new().with_time_limit(TIME_LIMIT), MemoryStore::new());
        let instances = (0..INSTANCES).map(|_| (cache(&source, &store), 0)).collect();
        Self {
            source,
            store,
            instances,
            callers: JoinSet::new(),
            calls: Vec::new(),
            rejected: HashSet::new(),
            troubles: Vec::new(),
            condition: Condition::Up,
            since: Duration::ZERO,
        }
    }

    async fn live(&mut self, event: Event) {
        match event {
            Event::Time(time) => sleep(millis(time)).await,
            Event::Calls(instance, callers) => (0..callers).for_each(|_| self.call(instance)),
            Event::CallsOfAll => (0..INSTANCES).for_each(|instance| self.call(instance)),
            Event::Reject(instance) => {
                if let Some(token) = self.instances[instance].0.try_token() {
                    self.rejected.insert(token.expose_secret().to_owned());
                    self.instances[instance].0.reject(&token);
                }
            }
            Event::Restart(instance) => {
                let process = self.instances[instance].1 + 1;
                self.instances[instance] = (cache(&self.source, &self.store), process);
            }
            Event::Respond(outcome) => self.source.respond(outcome),
            Event::Takes(time) => self.source.delay(millis(time)),
            Event::Store(condition) => self.set(condition),
            Event::Clear => {
                self.store.clear();
                self.troubles.push((self.source.now(), self.source.now()));
            }
        }
        // Whatever can happen now, happens now.
        sleep(millis(1)).await;
        while let Some(call) = self.callers.try_join_next() {
            self.calls.push(call.expect("no panic"));
        }
    }

    fn set(&mut self, condition: Condition) {
        let now = self.source.now();
        if !self.condition.is_up() {
            self.troubles.push((self.since, now));
        }
        (self.condition, self.since) = (condition, now);
        match condition {
            Condition::Up => self.store.restore(),
            Condition::Slow => self.store.delay(millis(20)),
            Condition::Down => self.store.fail(),
            Condition::Hanging => self.store.hang(),
            Condition::Silent => self.store.lose_results(),
        }
    }

    fn call(&mut self, instance: usize) {
        let (tokens, process) = self.instances[instance].clone();
        let source = self.source.clone();
        self.callers.spawn(async move {
            let came = source.now();
            let outcome = tokens.token().await.map(|token| token.expose_secret().to_owned());
            Call { by: (instance, process), came, left: source.now(), outcome }
        });
    }

    async fn end(&mut self) {
        while let Some(call) = self.callers.join_next().await {
            self.calls.push(call.expect("no panic"));
        }
    }

    /// Whether the store works, for every instance, from the one time to the other.
    fn is_well(&self, from: Duration, to: Duration) -> bool {
        let from = from.saturating_sub(UNTIL_ALL_ARE_BACK);
        let now = (!self.condition.is_up()).then_some((self.since, Duration::MAX));
        self.troubles.iter().copied().chain(now).all(|(began, ended)| ended < from || began > to)
    }

    /// Whether a token is usable, and was not rejected by anybody.
    fn is_good(&self, given: &Given, at: Duration) -> bool {
        let leeway = (given.lifetime / 20).min(seconds(10));
        let most = (given.lifetime - leeway).saturating_sub(millis(100));
        at.saturating_sub(given.asked_at) < most && !self.rejected.contains(&given.token)
    }
}

fn cache(source: &Source, store: &MemoryStore) -> TokenCache {
    let builder = source.builder().clock(Clock::tokio()).namespace("model").shared_in_the_clear(store.clone());
    builder.build().expect("the settings are complete")
}

impl Condition {
    fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Slow)
    }
}

fn check(world: &World) -> Result<(), TestCaseError> {
    let given = world.source.given();
    for call in &world.calls {
        let waited = call.left - call.came;
        prop_assert!(waited <= seconds(31), "waited too long: {call:?}");
        if let Ok(token) = &call.outcome {
            let served = given.iter().find(|given| given.token == *token).expect("a token of the source");
            let ends = served.asked_at.saturating_add(served.lifetime);
            prop_assert!(call.left < ends, "{served:?} had expired: {call:?}");
        }
        // It holds that token or a newer one.
        let held = world.calls.iter().filter(|before| before.by == call.by && before.left < call.came).any(|before| {
            let Ok(token) = &before.outcome else { return false };
            let from_it_on = given.iter().skip_while(|given| given.token != *token);
            from_it_on.take_while(|given| given.given_at <= call.left).all(|given| world.is_good(given, call.left))
        });
        prop_assert!(!held || call.outcome.is_ok() && waited.is_zero(), "beside a token that it holds: {call:?}");
        // The newest one is stored, unless that is still under way.
        let newest = given.iter().rfind(|given| given.given_at <= call.came);
        let stored = newest.filter(|given| given.given_at + millis(500) < call.came);
        let stored =
            stored.is_some_and(|given| world.is_good(given, call.left) && world.is_well(given.asked_at, call.left));
        prop_assert!(!stored || call.outcome.is_ok() && waited < millis(500), "beside a stored token: {call:?}");
    }
    check_token_requests(world, &given)
}

/// What the authorization server sees of the fleet while the store works.
fn check_token_requests(world: &World, given: &[Given]) -> Result<(), TestCaseError> {
    let asked: Vec<_> = world.source.asked().iter().map(|asked| asked.at).collect();
    for (index, first) in asked.iter().enumerate() {
        let within = |time| asked[index..].iter().take_while(|at| **at < *first + time).count();
        if world.is_well(*first, *first + seconds(1)) {
            let succeeded = given.iter().any(|given| given.asked_at == *first);
            // After a failure, two quick retries.
            let most = if succeeded { 1 } else { 3 };
            prop_assert!(within(seconds(1)) <= most, "{} token requests from {first:?} on", within(seconds(1)));
        }
        if world.is_well(*first, *first + minutes(1)) {
            prop_assert!(within(minutes(1)) <= 62, "{} token requests within a minute", within(minutes(1)));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_fleet_acts_as_one(events in prop::collection::vec(event(), 1..80)) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new();
            for event in events {
                world.live(event).await;
            }
            world.end().await;
            check(&world)?;

            // Nothing is terminal: server and store are well again, and so is everybody.
            world.live(Event::Respond(Outcome::Lives(seconds(3600)))).await;
            world.live(Event::Store(Condition::Up)).await;
            sleep(minutes(10) + seconds(31)).await;
            let before = world.source.count();
            for instance in 0..INSTANCES {
                world.live(Event::Restart(instance)).await;
            }
            world.live(Event::CallsOfAll).await;
            world.end().await;
            let last = &world.calls[world.calls.len() - INSTANCES..];
            let served: HashSet<_> = last.iter().map(|call| call.outcome.as_ref().ok()).collect();
            prop_assert!(served.len() == 1 && !served.contains(&None), "they share one token: {last:?}");
            prop_assert!(world.source.count() <= before + 1, "{} token requests", world.source.count() - before);
            check(&world)
        })?;
    }
}
