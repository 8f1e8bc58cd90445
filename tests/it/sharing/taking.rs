//! A token that another instance has stored is taken, with its age.

use client_credentials::{ObtainedFrom, testing::MockResponse};
use tokio::time::sleep;
use tracing::Level;

use crate::support::{
    instances::{Fleet, Instance, together},
    log::Log,
    source::{hours, millis, minutes, seconds},
};

#[tokio::test(start_paused = true)]
async fn a_token_is_taken_with_its_age_and_renewed_at_the_instances_own_time() {
    let fleet = Fleet::of(2);
    let [first, second] = &fleet.instances[..] else { unreachable!() };
    assert_eq!(first.token().await, "token-1");
    assert_eq!(first.tokens.status().obtained_from(), Some(ObtainedFrom::Source));
    sleep(minutes(30)).await;
    assert_eq!(second.token().await, "token-1");
    let status = second.tokens.status();
    assert_eq!(status.obtained_from(), Some(ObtainedFrom::Store));
    assert_eq!(status.usable_for(), Some(minutes(30) - seconds(10)), "the leeway is its own");
    // A quarter of the lifetime before the end, or a little earlier, of an hour that began before the token was taken.
    sleep(minutes(13)).await;
    second.token().await;
    sleep(seconds(1)).await;
    assert_eq!(fleet.count(), 1);
    sleep(minutes(2)).await;
    assert_eq!(second.token().await, "token-1");
    sleep(seconds(1)).await;
    assert_eq!((second.token().await, fleet.count()), ("token-2".to_owned(), 2));
    assert_eq!(second.tokens.status().obtained_from(), Some(ObtainedFrom::Source));
    // The first finds it, and makes no request.
    assert_eq!(first.token().await, "token-1");
    sleep(seconds(1)).await;
    assert_eq!((first.token().await, fleet.count()), ("token-2".to_owned(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_takes_a_stored_token_that_is_due_while_the_server_is_down() {
    let fleet = Fleet::of(1);
    fleet.tokens().await;
    fleet.auth.respond_always(MockResponse::status(503));
    sleep(minutes(50)).await;
    let started = fleet.instance();
    let (log, _guard) = Log::start();
    assert_eq!(started.token().await, "token-1");
    assert!(log.take(Level::ERROR).is_empty());
    sleep(minutes(9)).await;
    assert_eq!(started.token().await, "token-1", "until its end");
    sleep(minutes(1)).await;
    started.tokens.token().await.expect_err("it has expired");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_not_taken() {
    let fleet = Fleet::of(1);
    fleet.tokens().await;
    // Within the leeway.
    sleep(minutes(60) - seconds(9)).await;
    assert_eq!(fleet.instance().token().await, "token-2");
}

/// As a server does that stores its tokens, and prolongs one that is asked for again.
#[tokio::test(start_paused = true)]
async fn a_token_that_was_prolonged_for_one_instance_is_taken_by_the_others() {
    let fleet = Fleet::of(2);
    let body = r#"{"access_token":"the-same","token_type":"Bearer","expires_in":3600}"#;
    fleet.auth.respond_always(MockResponse::status(200).with_body(body));
    fleet.tokens().await;
    sleep(minutes(46)).await;
    for instance in &fleet.instances {
        instance.token().await;
        sleep(seconds(1)).await;
        let usable_for = instance.tokens.status().usable_for().expect("a token");
        assert!(usable_for > minutes(59), "{usable_for:?}");
    }
    assert_eq!(fleet.count(), 2);
}

/// Another instance had the store to itself for a while.
#[tokio::test(start_paused = true)]
async fn an_older_token_is_taken_in_place_of_one_that_was_rejected_and_of_no_other() {
    for is_rejected in [true, false] {
        let fleet = Fleet::of(2);
        let [first, second] = &fleet.instances[..] else { unreachable!() };
        first.token().await;
        sleep(minutes(10)).await;
        fleet.store.fail();
        assert_eq!(second.token().await, "token-2");
        fleet.store.restore();
        sleep(minutes(if is_rejected { 5 } else { 46 })).await;
        let token = second.tokens.token().await.expect("a token");
        if is_rejected {
            second.tokens.reject(&token);
        }
        sleep(seconds(1)).await;
        assert_eq!(second.token().await, if is_rejected { "token-1" } else { "token-3" });
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_held_back_takes_what_another_stores_meanwhile() {
    let fleet = Fleet::of(2);
    let refused = fleet.instance_with("the-old-secret", |builder| builder.shared_in_the_clear(fleet.store.clone()));
    refused.tokens.token().await.expect_err("refused");
    assert!(refused.tokens.status().held_back_for().is_some_and(|wait| wait > seconds(9)));
    sleep(seconds(1)).await;
    fleet.tokens().await;
    assert_eq!(refused.token().await, "token-1", "while its own token requests are held back");
    assert_eq!(fleet.count(), 2);
}

/// The lifetime counts from when the token was requested, not from the wait before it.
#[tokio::test(start_paused = true)]
async fn a_wait_for_another_instance_makes_no_life_longer() {
    let fleet = Fleet::of(2);
    fleet.auth.respond_next(MockResponse::usual().with_delay(seconds(8)));
    together(fleet.instances.iter().map(Instance::token)).await;
    for instance in &fleet.instances {
        let usable_for = instance.tokens.status().usable_for().expect("a token");
        assert!(usable_for <= hours(1) - seconds(10) - seconds(8), "{usable_for:?}");
        assert!(usable_for > hours(1) - seconds(10) - seconds(9), "{usable_for:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_wall_clock_is_ten_minutes_off_shares_with_the_others() {
    for ahead in [600_000, -600_000] {
        let mut fleet = Fleet::of(2);
        let other = fleet.instance();
        other.clock.jump_wall_clock(ahead);
        fleet.instances.push(other);
        assert_eq!(fleet.live(hours(2)).await, 0);
        assert!(fleet.count() <= 3, "{ahead}: {:?}", fleet.asked());
        assert!(fleet.tokens().await.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// As many token requests as there are tokens.
#[tokio::test(start_paused = true)]
async fn tokens_of_two_seconds_are_shared() {
    let (log, _guard) = Log::start();
    let fleet = Fleet::of(8);
    fleet.auth.set_lifetime(seconds(2));
    for _ in 0..60 * 20 {
        assert!(together(fleet.instances.iter().map(Instance::token)).await.len() == 8);
        sleep(millis(50)).await;
    }
    // Renewed after 1.5 s.
    assert!((38..=43).contains(&fleet.count()), "{}", fleet.count());
    assert_eq!(log.take(Level::WARN), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_life_would_be_made_longer_is_not_stored() {
    let fleet = Fleet::of(2);
    fleet.auth.set_lifetime(seconds(2));
    fleet.store.delay(millis(120));
    fleet.instances[0].token().await;
    fleet.store.restore();
    assert!(fleet.store.entries().keys().all(|name| !name.as_str().ends_with(".token")));
}
