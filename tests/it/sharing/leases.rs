//! One instance requests the token, and the others wait for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use client_credentials::{Error, TokenRequest, testing::MockResponse};
use tokio::{
    runtime::Builder,
    time::{Instant, sleep},
};

use crate::support::{
    instances::{Fleet, together},
    source::{hours, millis, minutes, seconds},
    stores::{InterferedWith, Moment},
};

/// How long each instance waited for its token.
async fn waits(fleet: &Fleet) -> Vec<(Result<String, Error>, Duration)> {
    let began = Instant::now();
    let call = |tokens: client_credentials::TokenCache| async move {
        let token = tokens.token().await.map(|token| token.expose_secret().to_owned());
        (token, began.elapsed())
    };
    together(fleet.instances.iter().map(|instance| call(instance.tokens.clone()))).await
}

#[tokio::test(start_paused = true)]
async fn quick_retries_are_under_the_lease() {
    let fleet = Fleet::of(8);
    fleet.auth.respond_next(MockResponse::status(503).with_delay(millis(10)));
    fleet.auth.respond_next(MockResponse::status(502).with_delay(millis(10)));
    let waits = waits(&fleet).await;
    assert!(waits.iter().all(|(token, _)| token.as_deref().is_ok_and(|token| token == "token-1")), "{waits:?}");
    assert_eq!(fleet.count(), 3, "of one instance");
}

#[tokio::test(start_paused = true)]
async fn the_lease_lasts_as_long_as_a_slow_token_request() {
    let fleet = Fleet::of(8);
    fleet.auth.respond_next(MockResponse::usual().with_delay(seconds(20)));
    let waits = waits(&fleet).await;
    assert!(waits.iter().all(|(token, waited)| token.is_ok() && *waited < millis(20_260)), "{waits:?}");
    assert_eq!(fleet.count(), 1);
}

/// The server takes longer than a caller waits for another instance.
#[tokio::test(start_paused = true)]
async fn a_wait_for_another_instance_ends_well_before_a_callers_own() {
    let fleet = Fleet::of(2);
    fleet.auth.respond_next(MockResponse::usual().with_delay(seconds(27)));
    let mut waits = waits(&fleet).await;
    waits.sort_by_key(|(_, waited)| *waited);
    assert!(waits.iter().all(|(token, _)| token.is_ok()));
    assert_eq!([waits[0].1.as_secs(), waits[1].1.as_secs()], [24, 27]);
    assert_eq!(fleet.count(), 2);
}

/// Its runtime ends in the middle of a token request, and with it everything that would give the lease back.
#[test]
fn a_lease_whose_holder_dies_ends_after_five_seconds() {
    let paused = || Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let (dying, living) = (paused(), paused());
    let fleet = living.block_on(async { Fleet::of(3) });
    let holder = dying.block_on(async { fleet.instance() });
    fleet.auth.respond_next(MockResponse::hang());
    dying.block_on(async {
        assert!(holder.tokens.try_token().is_none());
        tokio::task::yield_now().await;
        sleep(millis(1)).await;
    });
    assert_eq!(fleet.count(), 1);
    // Its clock stands still from now on.
    living.block_on(async {
        sleep(millis(1)).await;
        let waits = waits(&fleet).await;
        for (token, waited) in waits {
            assert_eq!(token.expect("a token"), "token-1");
            assert!((millis(4900)..millis(5600)).contains(&waited), "{waited:?}");
        }
        for instance in &fleet.instances {
            let usable_for = instance.tokens.status().usable_for().expect("a token");
            assert!(usable_for > hours(1) - seconds(11), "not counted from before the wait: {usable_for:?}");
        }
    });
    assert_eq!(fleet.count(), 2);
    drop(dying);
}

#[tokio::test(start_paused = true)]
async fn there_is_a_second_between_two_token_requests_of_all_instances() {
    let fleet = Arc::new(Fleet::of(6));
    fleet.auth.respond_always(MockResponse::status(401));
    for _ in 0..60 {
        together(fleet.instances.iter().map(|instance| instance.tokens.token())).await;
        sleep(millis(500)).await;
    }
    let asked = fleet.asked();
    assert!(asked.len() >= 6, "each has tried its own credentials: {asked:?}");
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= seconds(1) - millis(20)), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_another_instance_is_waited_for_beside_the_traffic() {
    let fleet = Fleet::of(8);
    fleet.tokens().await;
    sleep(minutes(46)).await;
    fleet.auth.respond_next(MockResponse::usual().with_delay(seconds(3)));
    for (token, waited) in waits(&fleet).await {
        assert_eq!((token.expect("a token"), waited), ("token-1".to_owned(), Duration::ZERO));
    }
    sleep(seconds(4)).await;
    for (token, waited) in waits(&fleet).await {
        assert_eq!((token.expect("a token"), waited), ("token-2".to_owned(), Duration::ZERO));
    }
    assert_eq!(fleet.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_lease_is_left_behind() {
    let fleet = Fleet::of(3);
    fleet.tokens().await;
    sleep(seconds(1)).await;
    let left: Vec<_> = fleet.store.entries().into_keys().map(|name| name.to_string()).collect();
    assert!(left.len() == 1 && left[0].ends_with(".token"), "{left:?}");
}

/// Of the sixteen that a cache has for its tokens.
#[tokio::test(start_paused = true)]
async fn a_wait_for_another_instance_takes_no_turn() {
    let fleet = Fleet::of(2);
    let [holder, waiting] = &fleet.instances[..] else { unreachable!() };
    let scope = |number: usize| TokenRequest::builder().scope(format!("scope-{number}")).build().expect("a scope");
    fleet.auth.respond_always(MockResponse::usual().with_delay(millis(900)));
    let held: Vec<_> = (0..16).map(scope).collect();
    let own: Vec<_> = (16..32).map(scope).collect();
    let holds = together(held.iter().map(|request| holder.tokens.token_for(request)));
    let waits = async {
        sleep(millis(1)).await;
        let all = held.iter().chain(&own);
        together(all.map(|request| async {
            waiting.tokens.token_for(request).await.expect("a token");
            fleet.now()
        }))
        .await
    };
    let (_, done) = tokio::join!(holds, waits);
    assert!(done[16..].iter().all(|at| *at < millis(910)), "{done:?}");
    assert!(done[..16].iter().all(|at| *at < millis(1200)), "{done:?}");
    assert_eq!(fleet.count(), 32);
}

/// A process that stood still for longer than its lease, between taking it and looking once more.
#[tokio::test(start_paused = true)]
async fn a_lease_that_another_instance_took_meanwhile_is_not_used() {
    let fleet = Fleet::of(1);
    // Until its second look, its lease ends, and another instance takes the next one.
    let (looks, store) = (AtomicUsize::new(0), fleet.store.clone());
    let interfere = move |moment| {
        let is_second = moment == Moment::BeforeLoad && looks.fetch_add(1, Ordering::SeqCst) == 1;
        let store = store.clone();
        async move {
            if is_second {
                store.clear();
                sleep(millis(200)).await;
            }
            Ok(())
        }
    };
    let stopped = fleet.instance_over(InterferedWith { store: fleet.store.clone(), interfere });
    fleet.auth.respond_next(MockResponse::usual().with_delay(seconds(4)));
    let other = async {
        sleep(millis(1)).await;
        fleet.instances[0].token().await
    };
    let (one, other) = tokio::join!(stopped.token(), other);
    assert_eq!((one.as_str(), other.as_str(), fleet.count()), ("token-1", "token-1", 1));
}

/// Putting it took longer than an extension is away.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_granted_late_is_extended_all_the_same() {
    let fleet = Fleet::of(1);
    fleet.tokens().await;
    let puts = AtomicUsize::new(0);
    let interfere = move |moment| {
        let is_first = moment == Moment::BeforePut && puts.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                sleep(millis(1500)).await;
            }
            Ok(())
        }
    };
    let holder = fleet.instance_over(InterferedWith { store: fleet.store.clone(), interfere });
    assert_eq!(holder.token().await, "token-1", "the stored one");
    sleep(minutes(46)).await;
    fleet.auth.respond_next(MockResponse::usual().with_delay(seconds(10)));
    assert_eq!(holder.token().await, "token-1");
    sleep(seconds(9)).await;
    assert_eq!(fleet.instances[0].token().await, "token-1");
    sleep(millis(500)).await;
    assert_eq!(fleet.count(), 2, "the lease of a request that takes ten seconds");
}

/// Removing takes longer than a caller waits. The caller goes away before its token request fails.
#[tokio::test(start_paused = true)]
async fn a_failure_that_nobody_awaits_holds_the_lease_no_longer_than_one_that_is_awaited() {
    let fleet = Fleet::of(0);
    let interfere = |moment| async move {
        if moment == Moment::BeforeRemove {
            sleep(millis(1500)).await;
        }
        Ok(())
    };
    let instance = fleet.instance_over(InterferedWith { store: fleet.store.clone(), interfere });
    fleet.auth.respond_next(MockResponse::status(429).with_delay(millis(1200)));
    tokio::time::timeout(millis(100), instance.tokens.token()).await.expect_err("it goes away");
    sleep(millis(2200)).await;
    let came = Instant::now();
    assert_eq!(instance.token().await, "token-1");
    assert!(came.elapsed() < millis(10), "{:?}", came.elapsed());
}
