//! A rejected token is removed from the store, and no other.

use client_credentials::testing::MockResponse;
use tokio::time::{Instant, sleep};

use crate::support::{
    instances::Fleet,
    source::{hours, millis, minutes, seconds},
};

fn stored(fleet: &Fleet) -> usize {
    fleet.store.entries().keys().filter(|name| name.as_str().ends_with(".token")).count()
}

#[tokio::test(start_paused = true)]
async fn a_401_with_an_older_token_than_the_stored_one_makes_no_token_request() {
    let fleet = Fleet::of(3);
    fleet.tokens().await;
    let old = fleet.instances[0].tokens.token().await.expect("a token");
    sleep(seconds(10)).await;
    for instance in &fleet.instances {
        instance.tokens.reject(&old);
        let came = Instant::now();
        assert_eq!(instance.token().await, "token-2");
        assert!(came.elapsed() < millis(10));
        assert_eq!((fleet.count(), stored(&fleet)), (2, 1));
    }
    assert_eq!(fleet.instance().token().await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_taken_by_no_other_instance() {
    let fleet = Fleet::of(1);
    let token = fleet.instances[0].tokens.token().await.expect("a token");
    sleep(seconds(10)).await;
    fleet.auth.respond_always(MockResponse::status(401));
    fleet.instances[0].tokens.reject(&token);
    sleep(seconds(1)).await;
    assert_eq!((fleet.count(), stored(&fleet)), (2, 0));
    assert_eq!(fleet.instances[0].token().await, "token-1", "another API may still accept it");
    fleet.instance().tokens.token().await.expect_err("the server refuses");
}

#[tokio::test(start_paused = true)]
async fn while_renewals_wait_because_each_token_is_rejected_a_stored_one_is_taken_all_the_same() {
    let fleet = Fleet::of(2);
    let [first, second] = &fleet.instances[..] else { unreachable!() };
    fleet.tokens().await;
    sleep(seconds(10)).await;
    first.tokens.reject(&first.tokens.token().await.expect("a token"));
    let rejected = first.tokens.token().await.expect("a token");
    sleep(seconds(2)).await;
    first.tokens.reject(&rejected);
    assert_eq!(first.token().await, "token-2", "the next renewal is due in ten seconds");
    second.tokens.reject(&second.tokens.token().await.expect("a token"));
    assert_eq!(second.token().await, "token-2", "the stored one");
    sleep(seconds(20)).await;
    second.tokens.reject(&rejected);
    assert_eq!(second.token().await, "token-3");
    first.tokens.reject(&rejected);
    sleep(millis(10)).await;
    assert_eq!((first.token().await, fleet.count()), ("token-3".to_owned(), 3));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_is_reported_outside_of_a_runtime_leaves_the_look_into_the_store_to_the_next_caller() {
    let fleet = Fleet::of(1);
    let first = &fleet.instances[0].tokens;
    let rejected = first.token().await.expect("a token");
    sleep(seconds(10)).await;
    first.reject(&rejected);
    let rejected = first.token().await.expect("a token");
    let other = fleet.instance();
    other.tokens.reject(&other.tokens.token().await.expect("the stored one"));
    assert_eq!(other.token().await, "token-3");
    let (tokens, token) = (first.clone(), rejected.clone());
    std::thread::spawn(move || tokens.reject(&token)).join().expect("no panic");
    first.reject(&rejected);
    sleep(millis(10)).await;
    assert_eq!((first.token().await.expect("a token").expose_secret(), fleet.count()), ("token-3", 3));
}

/// Each renewal costs each other instance one 401.
#[tokio::test(start_paused = true)]
async fn instances_share_a_server_whose_new_token_ends_the_old_one() {
    let fleet = Fleet::of(8);
    fleet.each_token_ends_the_one_before_it();
    let (end, mut rejected) = (Instant::now() + hours(3), 0);
    while Instant::now() < end {
        for instance in &fleet.instances {
            let token = instance.tokens.token().await.expect("a token");
            if !fleet.auth.accepts(token.expose_secret()) {
                rejected += 1;
                instance.tokens.reject(&token);
                let again = instance.token().await;
                assert!(fleet.auth.accepts(&again), "{again} after {:?}", fleet.now());
            }
        }
        sleep(seconds(1)).await;
    }
    let renewals = fleet.count() - 1;
    assert!((3..=4).contains(&renewals), "{:?}", fleet.asked());
    assert!(rejected <= 8 * renewals, "{rejected}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_another_instance_stored_since_stays() {
    let fleet = Fleet::of(2);
    let [first, second] = &fleet.instances[..] else { unreachable!() };
    fleet.tokens().await;
    sleep(minutes(46)).await;
    first.token().await;
    sleep(seconds(1)).await;
    let before = fleet.store.entries();
    second.tokens.reject(&second.tokens.try_token().expect("the old one"));
    assert_eq!(second.token().await, "token-2");
    assert_eq!(fleet.store.entries().len(), before.len());
}
