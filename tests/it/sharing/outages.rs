//! A store is an optimisation.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use client_credentials::{
    TokenRequest, async_trait,
    store::{BoxError, Entry, EntryName, TokenStore},
    testing::{MockResponse, StoreOperation},
};
use tokio::time::{Instant, advance, sleep};
use tracing::Level;

use crate::support::{
    instances::{Fleet, Instance, together},
    log::Log,
    source::{hours, millis, minutes, seconds},
    stores::{InterferedWith, Moment},
};

#[tokio::test(start_paused = true)]
async fn without_the_store_each_instance_requests_its_own_token_at_once() {
    let fleet = Fleet::of(8);
    fleet.store.fail();
    let tokens = together(fleet.instances.iter().map(Instance::token)).await;
    assert!(tokens.iter().all(|token| token.starts_with("token-")));
    assert_eq!(fleet.count(), 8);
    assert!(fleet.now() < millis(1), "{:?}", fleet.now());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_a_caller_a_quarter_of_a_second_once() {
    let fleet = Fleet::of(1);
    fleet.store.hang();
    fleet.tokens().await;
    assert!((millis(250)..millis(260)).contains(&fleet.now()), "{:?}", fleet.now());
    let token = fleet.instances[0].tokens.token().await.expect("a token");
    sleep(seconds(2)).await;
    fleet.instances[0].tokens.reject(&token);
    let came = Instant::now();
    fleet.tokens().await;
    assert!(came.elapsed() < millis(1), "it is left alone: {:?}", came.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_store_is_given_time_where_nobody_waits_and_little_for_the_replacement_of_an_expired_token() {
    let fleet = Fleet::of(2);
    fleet.tokens().await;
    fleet.store.delay(seconds(1));
    sleep(minutes(46)).await;
    for instance in &fleet.instances {
        assert_eq!(instance.token().await, "token-1");
        sleep(seconds(5)).await;
        assert_eq!(instance.token().await, "token-2", "stored and taken beside the traffic");
    }
    sleep(hours(1)).await;
    let came = Instant::now();
    assert_eq!(fleet.instances[0].token().await, "token-3");
    assert!((millis(250)..millis(260)).contains(&came.elapsed()), "{:?}", came.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_gives_no_permission_to_an_instance_that_is_held_back() {
    let fleet = Fleet::of(1);
    let tokens = &fleet.instances[0].tokens;
    fleet.auth.respond_always(MockResponse::oauth_error("invalid_scope"));
    tokens.token().await.expect_err("refused");
    sleep(seconds(1)).await;
    fleet.store.fail();
    tokens.token().await.expect_err("held back");
    assert_eq!(fleet.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_the_process_stood_still_does_not_count_against_the_store() {
    let (log, _guard) = Log::start();
    let fleet = Fleet::of(1);
    fleet.instances[0].token().await;
    sleep(seconds(2)).await;
    // As a process does that gets no processor.
    let stands_still = |moment| async move {
        if moment != Moment::AfterPut {
            advance(millis(300)).await;
            sleep(millis(10)).await;
        }
        Ok(())
    };
    let instance = fleet.instance_over(InterferedWith { store: fleet.store.clone(), interfere: stands_still });
    assert_eq!(instance.token().await, "token-1");
    let scoped = TokenRequest::builder().scope("stats").build().expect("a scope");
    instance.tokens.token_for(&scoped).await.expect("a token");
    assert!(log.take(Level::WARN).is_empty());
    let tokens = fleet.store.entries().into_keys().filter(|name| name.as_str().ends_with(".token"));
    assert_eq!(tokens.count(), 2, "what it requested is stored");
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_costs_no_look_into_the_store() {
    let fleet = Fleet::of(2);
    fleet.tokens().await;
    sleep(seconds(2)).await;
    let before = fleet.store.operations().len();
    fleet.store.hang();
    assert_eq!(fleet.live(minutes(40)).await, 0);
    assert_eq!(fleet.store.operations().len(), before);
    let came = Instant::now();
    sleep(minutes(6)).await;
    // The renewal is due, and hangs in the store beside the traffic.
    fleet.tokens().await;
    assert_eq!(came.elapsed(), minutes(6));
}

/// The token ends 10 seconds before its hour.
#[tokio::test(start_paused = true)]
async fn a_caller_whose_token_ends_during_a_look_beside_the_traffic_does_not_wait_for_it() {
    let fleet = Fleet::of(1);
    fleet.tokens().await;
    sleep(seconds(3589)).await;
    fleet.store.hang();
    fleet.tokens().await;
    assert_eq!(fleet.count(), 1, "the renewal hangs in the store");
    sleep(millis(1100)).await;
    let came = Instant::now();
    fleet.tokens().await;
    assert_eq!(fleet.count(), 2);
    assert!(came.elapsed() < millis(10), "{:?}", came.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_token_ends_during_its_renewal_waits_a_quarter_of_a_second_for_a_store_that_hangs() {
    let fleet = Fleet::of(1);
    fleet.tokens().await;
    sleep(seconds(3580)).await;
    fleet.auth.respond_next(MockResponse::usual().with_delay(millis(11_900)));
    fleet.tokens().await;
    sleep(millis(11_500)).await;
    assert_eq!(fleet.count(), 2, "the renewal is under way");
    fleet.store.hang();
    let came = Instant::now();
    fleet.tokens().await;
    assert!((millis(640)..millis(670)).contains(&came.elapsed()), "{:?}", came.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_said_once_left_alone_and_tried_again() {
    let (log, _guard) = Log::start();
    let fleet = Fleet::of(1);
    fleet.store.fail();
    fleet.tokens().await;
    let told = log.take(Level::WARN);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("the token store is down: this instance requests its own tokens"), "{told:?}");
    assert!(told[0].contains(r#"store="memory" error="the store is down""#), "{told:?}");
    // Tokens of a second: each is a reason to look.
    fleet.auth.set_lifetime(seconds(2));
    for instance in &fleet.instances {
        instance.tokens.reject(&instance.tokens.token().await.expect("a token"));
    }
    let before = fleet.store.operations().len();
    assert_eq!(fleet.live(minutes(10)).await, 0);
    let tried = fleet.store.operations().len() - before;
    assert!((20..=2 * 40).contains(&tried), "each try is two operations: {tried}");
    assert!(!log.all().contains("the token store"));
    fleet.store.restore();
    assert_eq!(fleet.live(minutes(2)).await, 0);
    let told = log.take(Level::INFO);
    let back: Vec<_> = told.iter().filter(|line| line.starts_with("the token store is back after ")).collect();
    assert_eq!(back.len(), 1, "{told:?}");
    let token = fleet.tokens().await.remove(0);
    assert_eq!(fleet.instance().token().await, token, "and shared again");
}

#[tokio::test(start_paused = true)]
async fn what_reaches_the_store_too_late_leaves_no_lease() {
    for lost in [false, true] {
        let fleet = Fleet::of(2);
        if lost {
            fleet.store.lose_results();
        } else {
            fleet.store.delay(seconds(1));
        }
        fleet.instances[0].token().await;
        fleet.store.restore();
        sleep(seconds(2)).await;
        let left: Vec<_> = fleet.store.entries().into_keys().collect();
        assert!(left.iter().all(|name| !name.as_str().ends_with(".lease")), "{left:?}");
        let came = Instant::now();
        fleet.instances[1].token().await;
        assert!(came.elapsed() < millis(10), "{:?}", came.elapsed());
    }
}

/// The first look succeeds, and the lease is granted, but the result of the put does not arrive.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_granted_without_our_knowing_is_taken_back() {
    let fleet = Fleet::of(1);
    let silent_puts = |moment| async move {
        if moment == Moment::AfterPut {
            std::future::pending::<()>().await;
        }
        Ok(())
    };
    let instance = fleet.instance_over(InterferedWith { store: fleet.store.clone(), interfere: silent_puts });
    instance.token().await;
    sleep(millis(10)).await;
    assert!(fleet.store.entries().is_empty(), "{:?}", fleet.store.entries());
    assert!(fleet.store.operations().iter().any(|operation| matches!(operation, StoreOperation::Put(_))));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_or_says_nonsense_costs_no_token() {
    let fleet = Fleet::of(0);
    for panics in [true, false] {
        let instance = fleet.instance_over(Broken { panics });
        instance.token().await;
        sleep(hours(2)).await;
        instance.token().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_gets_full_during_a_token_request_holds_up_no_other_instance() {
    let fleet = Fleet::of(0);
    let is_full = Arc::new(AtomicBool::new(false));
    // As Redis at the limit of its memory, it loads and removes.
    let instances = [(); 2].map(|()| {
        let is_full = Arc::clone(&is_full);
        let interfere = move |moment| {
            let refuses = moment == Moment::BeforePut && is_full.load(Ordering::SeqCst);
            ready(if refuses { Err("OOM".into()) } else { Ok(()) })
        };
        fleet.instance_over(InterferedWith { store: fleet.store.clone(), interfere })
    });
    fleet.auth.respond_next(MockResponse::usual().with_delay(millis(500)));
    let fills = async {
        sleep(millis(100)).await;
        is_full.store(true, Ordering::SeqCst);
    };
    tokio::join!(together(instances.iter().map(Instance::token)), fills);
    assert!(fleet.now() < seconds(1), "no longer than the token request and a pause: {:?}", fleet.now());
}

struct Broken {
    panics: bool,
}

#[async_trait]
impl TokenStore for Broken {
    async fn load(&self, _: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
        assert!(!self.panics, "a bug in the store");
        Ok(Vec::new())
    }

    async fn put(&self, _: &EntryName, _: Option<&[u8]>, _: &[u8], _: Duration, _: Duration) -> Result<bool, BoxError> {
        Ok(true)
    }

    async fn remove(&self, _: &EntryName, _: &[u8]) -> Result<bool, BoxError> {
        Ok(false)
    }
}
