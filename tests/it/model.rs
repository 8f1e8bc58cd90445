//! Random lives of a token, held against the promises: whatever happens, in whatever order.

use std::time::Duration;

use crate::support::source::{Given, Outcome, Source, failure, hours, millis, minutes, seconds};
use client_credentials::{Clock, Error, TokenCache};
use proptest::prelude::*;
use tokio::{task::JoinSet, time::sleep};

#[derive(Clone, Debug)]
enum Event {
    Time(Duration),
    /// So many callers come at once.
    Calls(usize),
    /// A caller comes and goes away after this time.
    Visit(Duration),
    /// An API rejects the cached token.
    Reject,
    Respond(Outcome),
    /// How long a token request takes.
    Takes(Duration),
    /// The wall clock is set, ahead or back.
    WallClock(i64),
}

#[derive(Debug)]
struct Call {
    came: Duration,
    left: Duration,
    outcome: Result<String, Error>,
}

fn event() -> impl Strategy<Value = Event> {
    let lifetime = prop_oneof![
        Just(0),
        Just(1),
        Just(2),
        Just(20),
        Just(60),
        Just(1801),
        Just(3600),
        Just(7200),
        Just(u64::MAX),
        0..100_000u64
    ];
    prop_oneof![
        4 => prop_oneof![1..2_000u64, 1..100_000u64, 1..4_000_000u64].prop_map(|time| Event::Time(millis(time))),
        6 => (1..20usize).prop_map(Event::Calls),
        1 => (0..2_000u64).prop_map(|time| Event::Visit(millis(time))),
        2 => Just(Event::Reject),
        3 => lifetime.prop_map(|lifetime| Event::Respond(Outcome::Lives(seconds(lifetime)))),
        2 => failure(&[1, 4, 7, 600, 86_400]).prop_map(Event::Respond),
        1 => Just(Event::Respond(Outcome::Hangs)),
        1 => prop_oneof![Just(0), 0..3_000u64, Just(25_000)].prop_map(|time| Event::Takes(millis(time))),
        1 => (-4_000_000..4_000_000i64).prop_map(Event::WallClock),
    ]
}

struct World {
    source: Source,
    clock: Clock,
    tokens: TokenCache,
    callers: JoinSet<Call>,
    calls: Vec<Call>,
    /// Tokens that were rejected.
    suspect: Vec<String>,
    /// When the wall clock was set, and by how many milliseconds.
    jumps: Vec<(Duration, i64)>,
}

impl World {
    fn new() -> Self {
        let (source, clock) = (Source::new(), Clock::tokio());
        let tokens = source.builder().clock(clock.clone()).build().expect("the settings are complete");
        Self {
            source,
            clock,
            tokens,
            callers: JoinSet::new(),
            calls: Vec::new(),
            suspect: Vec::new(),
            jumps: Vec::new(),
        }
    }

    async fn live(&mut self, event: Event) {
        match event {
            Event::Time(time) => sleep(time).await,
            Event::Calls(callers) => {
                for _ in 0..callers {
                    self.call();
                }
            }
            Event::Visit(time) => {
                let tokens = self.tokens.clone();
                tokio::spawn(async move { tokio::time::timeout(time, tokens.token()).await });
            }
            Event::Reject => {
                if let Some(token) = self.tokens.try_token() {
                    self.suspect.push(token.expose_secret().to_owned());
                    self.tokens.reject(&token);
                }
            }
            Event::Respond(outcome) => self.source.respond(outcome),
            Event::Takes(time) => self.source.delay(time),
            Event::WallClock(jump) => {
                self.clock.jump_wall_clock(jump);
                self.jumps.push((self.source.now(), jump));
            }
        }
        // Whatever can happen now, happens now.
        sleep(millis(1)).await;
        while let Some(call) = self.callers.try_join_next() {
            self.calls.push(call.expect("no panic"));
        }
    }

    fn call(&mut self) {
        let (tokens, source) = (self.tokens.clone(), self.source.clone());
        self.callers.spawn(async move {
            let came = source.now();
            let outcome = tokens.token().await.map(|token| token.expose_secret().to_owned());
            Call { came, left: source.now(), outcome }
        });
    }

    async fn end(&mut self) {
        while let Some(call) = self.callers.join_next().await {
            self.calls.push(call.expect("no panic"));
        }
    }
}

/// How far the wall clock was set ahead between two moments.
fn set_ahead(world: &World, from: Duration, to: Duration) -> i64 {
    world.jumps.iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, jump)| jump).sum()
}

/// Whether either clock says that a token has expired.
fn has_expired(world: &World, given: &Given, at: Duration) -> bool {
    let leeway = (given.lifetime / 20).min(seconds(10));
    let age = at - given.asked_at;
    let ahead = set_ahead(world, given.asked_at, at);
    let by_wall_clock = age.saturating_add(millis(ahead.max(0).unsigned_abs()));
    age.max(by_wall_clock) >= given.lifetime - leeway
}

fn check(world: &World) -> Result<(), TestCaseError> {
    let (given, asked) = (world.source.given(), world.source.asked());
    for call in &world.calls {
        // The token that was cached when this caller came: the newest one, if it lived until the caller left.
        let newest_at = |time| given.iter().rfind(|given| given.given_at < time);
        let cached = newest_at(call.came).filter(|given| {
            let superseded = newest_at(call.left).is_some_and(|newest| newest.token != given.token);
            // A clock that was set in between may have taken the token away for a while.
            let set = world.jumps.iter().any(|(at, _)| (call.came..=call.left).contains(at)) && call.came != call.left;
            !superseded && !set && !has_expired(world, given, call.came) && !has_expired(world, given, call.left)
        });
        let waited = call.left - call.came;
        if let Some(cached) = cached {
            prop_assert!(call.outcome.is_ok(), "failed beside {cached:?}: {call:?}");
            // A second until another token may be asked for, and five for it to come.
            let most = if world.suspect.contains(&cached.token) { millis(6_002) } else { Duration::ZERO };
            prop_assert!(waited <= most, "waited beside {cached:?}: {call:?}");
        }
        prop_assert!(waited <= seconds(31), "waited too long: {call:?}");
        if let Ok(token) = &call.outcome {
            let attached = given.iter().find(|given| given.token == *token).expect("a token of the source");
            let waited_for_it = call.came <= attached.given_at && call.left == attached.given_at;
            let expired = has_expired(world, attached, call.left);
            prop_assert!(!expired || waited_for_it, "{attached:?} had expired: {call:?}");
        }
    }
    prop_assert!(world.source.most_in_flight() <= 1, "two token requests at once");
    for (index, first) in asked.iter().enumerate() {
        // Holds end on whichever clock says so first.
        let count = |time| {
            let calm = world.jumps.iter().all(|(at, jump)| *jump < 0 || !(first.at..first.at + time).contains(at));
            let count = asked[index..].iter().take_while(|asked| asked.at < first.at + time).count();
            if calm { count } else { 0 }
        };
        // A first fetch and its two quick retries.
        prop_assert!(count(seconds(1)) <= 3, "{} token requests within a second", count(seconds(1)));
        prop_assert!(count(minutes(1)) <= 62, "{} token requests within a minute", count(minutes(1)));
        let failing = !given.iter().any(|given| (first.at..first.at + minutes(1)).contains(&given.given_at));
        prop_assert!(!failing || count(minutes(1)) <= 10, "{} within a failing minute", count(minutes(1)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_promises_hold(events in prop::collection::vec(event(), 1..80)) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new();
            for event in events {
                world.live(event).await;
            }
            world.end().await;
            check(&world)?;

            // Nothing is terminal: the server is well again, and within the longest hold so is everybody.
            world.source.respond(Outcome::Lives(hours(1)));
            world.source.delay(Duration::ZERO);
            sleep(minutes(10) + seconds(31)).await;
            for _ in 0..10 {
                world.call();
            }
            world.end().await;
            let served = world.calls.iter().rev().take(10).all(|call| call.outcome.is_ok());
            prop_assert!(served, "{:?}", world.calls.last());
            check(&world)
        })?;
    }
}
