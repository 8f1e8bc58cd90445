//! Whom a failed token request concerns.

use client_credentials::{ErrorKind, testing::MockResponse};
use tokio::time::sleep;
use tracing::Level;

use crate::support::{
    instances::{Fleet, Instance, SECRET},
    log::Log,
    source::{hours, millis, minutes, seconds},
};

#[tokio::test(start_paused = true)]
async fn what_the_server_says_to_all_holds_back_all() {
    let waiting = MockResponse::status(429).with_retry_after(seconds(100));
    for (response, requests, wait) in [(MockResponse::status(503), 3, 1), (waiting, 1, 100)] {
        let fleet = Fleet::of(3);
        fleet.auth.respond_always(response);
        let [first, others @ ..] = &fleet.instances[..] else { unreachable!() };
        let met = first.tokens.token().await.expect_err("down");
        for other in others {
            let error = other.tokens.token().await.expect_err("held back");
            assert_eq!((error.kind(), error.status()), (met.kind(), met.status()));
            let held_back_for = error.retry_after().expect("held back");
            assert!(held_back_for <= met.retry_after().expect("held back") && held_back_for > seconds(wait - 1));
            assert!(error.to_string().contains("(met by another instance)"), "{error}");
        }
        assert_eq!(fleet.count(), requests);
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_removes_the_failure_from_the_store() {
    let fleet = Fleet::of(1);
    let failures = || fleet.store.entries().keys().filter(|name| name.as_str().ends_with(".failure")).count();
    fleet.auth.respond_always(MockResponse::status(503));
    fleet.instances[0].tokens.token().await.expect_err("down");
    assert_eq!(failures(), 1);
    fleet.auth.respond_always(MockResponse::usual());
    sleep(seconds(31)).await;
    fleet.tokens().await;
    assert_eq!(failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_an_instances_own_holds_back_the_others_once_a_second_has_met_it() {
    let fleet = Fleet::of(4);
    let [first, second, third, _] = &fleet.instances[..] else { unreachable!() };
    first.cut(true);
    second.cut(true);
    for instance in [first, second] {
        let error = instance.tokens.token().await.expect_err("no network");
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(!error.to_string().contains("another instance"), "its own: {error}");
        sleep(seconds(5)).await;
    }
    // The hold is over, and the next to meet it is the third.
    third.cut(true);
    let error = third.tokens.token().await.expect_err("no network");
    assert!(!error.to_string().contains("another instance"), "{error}");
    let error = fleet.instances[3].tokens.token().await.expect_err("held back");
    assert!(error.to_string().contains("another instance"), "{error}");
    assert_eq!(fleet.count(), 0);
    sleep(seconds(31)).await;
    assert_eq!(fleet.instances[3].token().await, "token-1");
    assert_eq!(first.token().await, "token-1", "an instance without network has the store");
}

#[tokio::test(start_paused = true)]
async fn nobody_notices_one_instance_without_network() {
    let fleet = Fleet::of(8);
    fleet.instances[3].cut(true);
    let (log, _guard) = Log::start();
    fleet.instances[0].token().await;
    assert_eq!(fleet.live(hours(3)).await, 0);
    assert!((4..=5).contains(&fleet.count()), "{:?}", fleet.asked());
    // Its own renewals fail, when it is the first to be due.
    let told = log.take(Level::WARN);
    assert!(told.iter().all(|line| line.contains(r#"error.type="connect""#)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_notices_one_instance_with_an_old_secret() {
    let mut fleet = Fleet::of(7);
    let old = fleet.instance_with("the-old-secret", |builder| builder.shared_in_the_clear(fleet.store.clone()));
    fleet.instances.push(old);
    fleet.tokens().await;
    let (log, _guard) = Log::start();
    assert_eq!(fleet.live(hours(3)).await, 0);
    let tokens = fleet.tokens().await;
    assert!(tokens.iter().all(|token| ["token-4", "token-5"].contains(&token.as_str())), "{tokens:?}");
    // It is refused again, with back-off, until another instance is due, at most 90 seconds later.
    assert!(fleet.count() <= 5 + 4 * 4, "{:?}", fleet.asked());
    let told = log.take(Level::WARN);
    assert!(told.iter().all(|line| line.contains("invalid_client")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_secret_holds_back_nobody_else() {
    let fleet = Fleet::of(1);
    let old = fleet.instance_with("the-old-secret", |builder| builder.shared_in_the_clear(fleet.store.clone()));
    old.tokens.token().await.expect_err("refused");
    assert_eq!(fleet.tokens().await, ["token-1"]);
    assert!(fleet.now() < millis(1300), "a second after the refused request: {:?}", fleet.now());
}

#[tokio::test(start_paused = true)]
async fn a_held_back_instance_with_a_usable_token_serves_it() {
    let fleet = Fleet::of(2);
    fleet.tokens().await;
    sleep(minutes(50)).await;
    fleet.auth.respond_always(MockResponse::status(429).with_retry_after(minutes(1)));
    fleet.instances[0].token().await;
    sleep(seconds(3)).await;
    let before = fleet.count();
    assert_eq!(fleet.instances[1].token().await, "token-1");
    sleep(millis(10)).await;
    let status = fleet.instances[1].tokens.status();
    assert!(status.is_failing() && status.is_ready());
    assert_eq!(fleet.count(), before);
}

/// They are longer while a token is usable.
#[tokio::test(start_paused = true)]
async fn the_hold_backs_of_others_are_at_most_half_a_minute_for_an_instance_without_a_token() {
    let fleet = Fleet::of(2);
    let [first, second] = &fleet.instances[..] else { unreachable!() };
    fleet.tokens().await;
    sleep(minutes(46)).await;
    fleet.auth.respond_always(MockResponse::status(503));
    let held_back = |instance: &Instance| instance.tokens.status().held_back_for().unwrap_or_default();
    while held_back(first) < seconds(50) {
        first.token().await;
        sleep(millis(500)).await;
    }
    second.token().await;
    sleep(millis(1)).await;
    assert!(held_back(second) > seconds(45), "{:?}", held_back(second));
    // By its own leeway, the stored token has expired.
    let started =
        fleet.instance_with(SECRET, |builder| builder.shared_in_the_clear(fleet.store.clone()).leeway(minutes(30)));
    started.tokens.token().await.expect_err("held back");
    assert!((seconds(29)..=seconds(30)).contains(&held_back(&started)), "{:?}", held_back(&started));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_starts_in_an_outage_backs_off_as_the_others_do() {
    let fleet = Fleet::of(1);
    fleet.auth.respond_always(MockResponse::status(503));
    for _ in 0..5 {
        let error = fleet.instances[0].tokens.token().await.expect_err("down");
        sleep(error.retry_after().expect("held back") + millis(10)).await;
    }
    let before = fleet.count();
    let error = fleet.instance().tokens.token().await.expect_err("down");
    assert_eq!(fleet.count(), before + 1, "no quick retry");
    let wait = error.retry_after().expect("held back");
    assert!(wait > seconds(10), "the sixth failure in a row: {wait:?}");
}
