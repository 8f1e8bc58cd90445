//! The life of one token, on a paused clock.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::source::{Answer, Source, down, hours, millis, minutes, seconds};
use client_credentials::{AccessToken, Clock, Error, ErrorKind, TokenCache, TokenRequest, TokenSource, async_trait};
use tokio::{
    task::JoinSet,
    time::{Instant, advance, sleep},
};

async fn token(tokens: &TokenCache) -> String {
    tokens.token().await.expect("a token").expose_secret().to_owned()
}

/// Answers of so many callers that come at the same time, and how long the last of them waited.
async fn herd(tokens: &TokenCache, callers: usize) -> (Vec<Result<String, Error>>, Duration) {
    let came = Instant::now();
    let mut herd = JoinSet::new();
    for _ in 0..callers {
        let tokens = tokens.clone();
        herd.spawn(async move { tokens.token().await.map(|token| token.expose_secret().to_owned()) });
    }
    (herd.join_all().await, came.elapsed())
}

/// A caller every 100 ms for this long. Returns what those who failed got, and how long the slowest caller waited.
async fn steady_traffic(tokens: &TokenCache, time: Duration) -> (Vec<Error>, Duration) {
    let (end, mut failed, mut slowest) = (Instant::now() + time, Vec::new(), Duration::ZERO);
    while Instant::now() < end {
        let came = Instant::now();
        if let Err(error) = tokens.token().await {
            failed.push(error);
        }
        slowest = slowest.max(came.elapsed());
        sleep(millis(100)).await;
    }
    (failed, slowest)
}

#[tokio::test(start_paused = true)]
async fn the_second_caller_is_served_from_the_cache() {
    let source = Source::new();
    let tokens = source.cache();
    assert_eq!(token(&tokens).await, "token-1");
    assert_eq!(token(&tokens.clone()).await, "token-1");
    assert_eq!(tokens.try_token().expect("a token").expose_secret(), "token-1");
    assert_eq!(source.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_callers_share_one_token_request() {
    let source = Source::new();
    source.takes(millis(50));
    let (answers, waited) = herd(&source.cache(), 10_000).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|token| token == "token-1")));
    assert_eq!(source.count(), 1);
    assert!(waited < millis(60), "the last caller waited {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_callers_share_one_failure() {
    let source = Source::new();
    source.takes(millis(50));
    source.answer(Answer::Fails(Error::permanent("no such client")));
    let (answers, waited) = herd(&source.cache(), 10_000).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| !error.is_transient())));
    assert_eq!(source.count(), 1);
    assert!(waited < millis(60), "the last caller waited {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_first_failure_is_tried_again_before_anybody_sees_it() {
    let source = Source::new();
    source.answer(Answer::Fails(Error::transient(std::io::Error::from(std::io::ErrorKind::ConnectionReset))));
    let tokens = source.cache();
    let mended = source.clone();
    tokio::spawn(async move {
        while mended.count() < 2 {
            sleep(millis(1)).await;
        }
        mended.answer(Answer::Lives(hours(1)));
    });
    let (answers, waited) = herd(&tokens, 100).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|token| token == "token-3")), "{answers:?}");
    assert!(waited < millis(1300), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_harms_nobody() {
    let source = Source::new();
    source.takes(millis(50));
    let tokens = source.cache();
    let first = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.token().await }
    });
    let others = tokio::spawn({
        let tokens = tokens.clone();
        async move { herd(&tokens, 100).await.0 }
    });
    sleep(millis(10)).await;
    first.abort();
    let answers = others.await.expect("no panic");
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|token| token == "token-1")));
    assert_eq!(source.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_aging_token_is_renewed_beside_the_traffic() {
    let source = Source::new();
    let tokens = source.cache();
    token(&tokens).await;
    source.takes(seconds(5));
    advance(minutes(44)).await;
    assert_eq!(source.count(), 1);
    advance(minutes(2)).await;
    for _ in 0..100 {
        let came = Instant::now();
        assert_eq!(token(&tokens).await, "token-1");
        assert_eq!(came.elapsed(), Duration::ZERO);
    }
    sleep(seconds(6)).await;
    assert_eq!(token(&tokens).await, "token-2");
    assert_eq!(source.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_costs_nothing_while_the_old_token_lives() {
    for failure in [Error::transient("down"), Error::permanent("no such client")] {
        let source = Source::new();
        let tokens = source.cache();
        token(&tokens).await;
        source.answer(Answer::Fails(failure));
        advance(minutes(46)).await;
        let (failed, slowest) = steady_traffic(&tokens, minutes(13)).await;
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(slowest, Duration::ZERO);
        let attempts = source.count() - 1;
        assert!((4..=30).contains(&attempts), "{attempts} renewals in thirteen minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_ends_at_its_time_limit_and_another_follows() {
    let source = Source::new();
    let tokens = source.cache();
    token(&tokens).await;
    source.answer(Answer::Hangs);
    advance(minutes(46)).await;
    let (failed, slowest) = steady_traffic(&tokens, minutes(3)).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(slowest, Duration::ZERO);
    assert!((4..=7).contains(&source.count()), "{} token requests", source.count());
    assert_eq!(source.most_in_flight(), 1);
    source.answer(Answer::Lives(hours(1)));
    sleep(minutes(2)).await;
    token(&tokens).await;
    sleep(seconds(1)).await;
    assert_ne!(token(&tokens).await, "token-1");
}

#[tokio::test(start_paused = true)]
async fn during_an_outage_callers_fail_at_once_with_the_cause_and_recover_without_a_restart() {
    let source = Source::new();
    let tokens = source.cache();
    token(&tokens).await;
    source.answer(down());
    advance(hours(1)).await;
    let _ = steady_traffic(&tokens, minutes(1)).await;

    let came = Instant::now();
    let error = tokens.token().await.expect_err("the server is down");
    assert_eq!(came.elapsed(), Duration::ZERO);
    assert!(error.is_transient());
    let retry_after = error.retry_after().expect("when to come back");
    assert!((millis(500)..=seconds(30)).contains(&retry_after), "{retry_after:?}");
    let text = error.to_string();
    assert!(text.starts_with("the token source failed: ") && text.contains("; next attempt in "), "{text}");

    source.answer(Answer::Lives(hours(1)));
    sleep(retry_after).await;
    token(&tokens).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_causes_ten_token_requests_in_its_first_minute_and_four_in_each_later_one() {
    for _ in 0..20 {
        let source = Source::new();
        source.answer(Answer::Fails(Error::transient(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))));
        let tokens = source.cache();
        let _ = steady_traffic(&tokens, minutes(10)).await;
        let first = source.count_within(Duration::ZERO, minutes(1));
        assert!((5..=10).contains(&first), "{first} in the first minute");
        for minute in 1..10 {
            let count = source.count_within(minutes(minute), minutes(minute + 1));
            assert!((1..=4).contains(&count), "{count} in minute {minute}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_before_the_server_wants_to_be_asked_again() {
    let source = Source::new();
    source.answer(Answer::Fails(Error::transient("busy").with_retry_after(seconds(7))));
    let tokens = source.cache();
    let error = tokens.token().await.expect_err("busy");
    let when = error.retry_after().expect("when to come back");
    assert!((seconds(7)..=seconds(14)).contains(&when), "{when:?}");
    sleep(when - millis(100)).await;
    let error = tokens.token().await.expect_err("held back");
    assert!(error.retry_after().expect("when to come back") <= millis(100));
    assert_eq!(source.count(), 1);
    source.answer(Answer::Lives(hours(1)));
    sleep(millis(101)).await;
    token(&tokens).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_on_arrival_serves_those_who_waited_for_it() {
    let source = Source::new();
    source.answer(Answer::Lives(Duration::ZERO));
    let tokens = source.cache();
    let (answers, _) = herd(&tokens, 100).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|token| token == "token-1")));
    let (failed, slowest) = steady_traffic(&tokens, minutes(1)).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert!(slowest <= seconds(1), "{slowest:?}");
    assert!((50..=61).contains(&source.count()), "{} token requests", source.count());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_brings_a_dead_token_costs_nothing_while_the_old_one_lives() {
    let source = Source::new();
    let tokens = source.cache();
    token(&tokens).await;
    sleep(minutes(46)).await;
    source.answer(Answer::Lives(Duration::ZERO));
    source.takes(millis(50));
    let before = source.count();
    let (failed, slowest) = steady_traffic(&tokens, minutes(13)).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!((slowest, token(&tokens).await.as_str()), (Duration::ZERO, "token-1"));
    assert!(source.count() - before <= 10 + 4 * 12, "{} token requests", source.count() - before);
    source.answer(Answer::Lives(hours(1)));
    sleep(minutes(1)).await;
    assert_ne!(token(&tokens).await, "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_server_counts_down_makes_no_hot_loop() {
    let source = Source::new();
    let tokens = source.cache();
    let end = Instant::now() + minutes(10);
    let counting = source.clone();
    tokio::spawn(async move {
        while Instant::now() < end {
            counting.answer(Answer::Named("the-same", end - Instant::now()));
            sleep(millis(100)).await;
        }
        counting.answer(Answer::Named("the-same", Duration::ZERO));
    });
    sleep(millis(1)).await;
    let (failed, _) = steady_traffic(&tokens, minutes(10)).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert!(source.count() <= 25, "{} token requests", source.count());
}

#[tokio::test(start_paused = true)]
async fn caches_renew_at_different_moments_and_each_at_its_own() {
    async fn renewals() -> Vec<Duration> {
        let source = Source::new();
        let tokens = source.cache();
        while source.count() < 4 {
            token(&tokens).await;
            sleep(seconds(1)).await;
        }
        source.asked().windows(2).map(|pair| pair[1].at - pair[0].at).collect()
    }
    let mut moments = Vec::new();
    for _ in 0..10 {
        let renewals = renewals().await;
        let (least, most) = (renewals.iter().min().expect("renewals"), renewals.iter().max().expect("renewals"));
        assert!(*most - *least <= seconds(1), "one cache renews after {renewals:?}");
        assert!(*least >= seconds(2610) && *most <= seconds(2701), "a quarter and up to a tenth of it before the end");
        moments.push(*least);
    }
    moments.sort();
    moments.dedup();
    assert!(moments.len() > 3, "ten caches renew after {moments:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_suspend_the_wall_clock_says_that_the_token_is_dead() {
    let (source, clock) = (Source::new(), Clock::tokio());
    let tokens = source.builder().clock(clock.clone()).build().expect("complete");
    token(&tokens).await;
    clock.jump_wall_clock(3_600_000);
    assert_eq!(token(&tokens).await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_back_does_not_keep_a_token_alive() {
    let (source, clock) = (Source::new(), Clock::tokio());
    let tokens = source.builder().clock(clock.clone()).build().expect("complete");
    token(&tokens).await;
    clock.jump_wall_clock(-3_600_000);
    assert_eq!(token(&tokens).await, "token-1");
    advance(hours(1)).await;
    assert_eq!(token(&tokens).await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_what_is_in_flight() {
    let source = Source::new();
    source.answer(Answer::Hangs);
    let tokens = source.cache();
    let other = tokens.clone();
    assert!(tokens.try_token().is_none());
    sleep(millis(1)).await;
    drop(tokens);
    sleep(millis(1)).await;
    assert_eq!(source.in_flight(), 1, "a handle is left");
    drop(other);
    sleep(millis(1)).await;
    assert_eq!(source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_an_error_and_not_started_in_a_loop() {
    let source = Source::new();
    source.answer(Answer::Panics);
    let tokens = source.cache();
    let (answers, _) = herd(&tokens, 100).await;
    for answer in answers {
        assert_eq!(answer.expect_err("it panicked").kind(), ErrorKind::Panicked);
    }
    assert_eq!(source.count(), 1);
    let _ = steady_traffic(&tokens, minutes(1)).await;
    assert!(source.count() <= 10, "{} token requests", source.count());
    source.answer(Answer::Lives(hours(1)));
    sleep(seconds(30)).await;
    token(&tokens).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_gives_up_after_its_wait_limit_and_the_token_request_goes_on() {
    let source = Source::new();
    source.takes(seconds(20));
    let tokens = source.builder().clock(Clock::tokio()).wait_limit(seconds(5)).build().expect("complete");
    let came = Instant::now();
    let error = tokens.token().await.expect_err("too slow");
    assert!(error.is_timeout());
    assert_eq!(came.elapsed().as_secs(), 5);
    sleep(seconds(16)).await;
    assert_eq!(token(&tokens).await, "token-1");
    assert_eq!(source.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_replaced_once_for_all() {
    let source = Source::new();
    let tokens = source.cache();
    let first = tokens.token().await.expect("a token");
    advance(seconds(10)).await;
    for _ in 0..100 {
        tokens.reject(&first);
    }
    let (answers, _) = herd(&tokens, 100).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|token| token == "token-2")));
    tokens.reject(&first);
    assert_eq!(token(&tokens).await, "token-2");
    assert_eq!(source.count(), 2);
    assert_eq!(source.rejected(), ["token-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_serves_on_where_no_other_can_be_had() {
    for answer in [down(), Answer::Hangs] {
        let source = Source::new();
        let tokens = source.cache();
        let first = tokens.token().await.expect("a token");
        advance(seconds(10)).await;
        source.answer(answer);
        tokens.reject(&first);
        let came = Instant::now();
        assert_eq!(token(&tokens).await, "token-1");
        assert!(came.elapsed() <= seconds(5), "waited {:?} for a renewal that does not come", came.elapsed());
        let (failed, slowest) = steady_traffic(&tokens, minutes(20)).await;
        assert!(failed.is_empty() && slowest.is_zero(), "{slowest:?} {failed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_brings_the_rejected_token_again_is_a_failed_one() {
    let source = Source::new();
    source.answer(Answer::Named("the-same", hours(1)));
    let tokens = source.cache();
    let first = tokens.token().await.expect("a token");
    for _ in 0..36_000 {
        tokens.reject(&first);
        assert_eq!(token(&tokens).await, "the-same");
        sleep(millis(100)).await;
    }
    assert!(source.count() <= 20, "{} token requests in an hour", source.count());
}

#[tokio::test(start_paused = true)]
async fn rejections_of_every_new_token_are_bounded() {
    let source = Source::new();
    let tokens = source.cache();
    let end = Instant::now() + hours(1);
    while Instant::now() < end {
        let token = tokens.token().await.expect("a token");
        tokens.reject(&token);
        sleep(millis(100)).await;
    }
    let first = source.count_within(Duration::ZERO, minutes(1));
    assert!((3..=4).contains(&first), "{first} token requests in the first minute");
    assert!((10..=20).contains(&source.count()), "{} token requests in an hour", source.count());
}

#[tokio::test(start_paused = true)]
async fn no_traffic_no_token_requests() {
    let source = Source::new();
    let tokens = source.cache();
    token(&tokens).await;
    sleep(hours(48)).await;
    assert_eq!(source.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_kept_warm_never_makes_a_caller_wait() {
    let source = Source::new();
    let tokens = source.builder().clock(Clock::tokio()).keep_warm().build().expect("complete");
    assert!(tokens.try_token().is_none());
    sleep(millis(1)).await;
    source.takes(seconds(5));
    for _ in 0..10 {
        sleep(hours(3)).await;
        let came = Instant::now();
        token(&tokens).await;
        assert_eq!(came.elapsed(), Duration::ZERO);
    }
    assert!((40..=42).contains(&source.count()), "{} token requests in thirty hours", source.count());
}

#[tokio::test(start_paused = true)]
async fn keeping_warm_outlives_an_outage_and_ends_with_the_last_handle() {
    let source = Source::new();
    let tokens = source.builder().clock(Clock::tokio()).keep_warm().build().expect("complete");
    token(&tokens).await;
    source.answer(down());
    sleep(hours(2)).await;
    source.answer(Answer::Lives(hours(1)));
    sleep(minutes(1)).await;
    assert!(tokens.try_token().is_some(), "nobody had to ask");
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 1);
    drop(tokens);
    sleep(millis(1)).await;
    assert_eq!(metrics.num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn keeping_warm_notices_a_suspend() {
    let (source, clock) = (Source::new(), Clock::tokio());
    let tokens = source.builder().clock(clock.clone()).keep_warm().build().expect("complete");
    token(&tokens).await;
    clock.jump_wall_clock(8 * 3_600_000);
    sleep(minutes(1)).await;
    assert_eq!(source.count(), 2);
    assert_eq!(tokens.try_token().expect("a token").expose_secret(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn keeping_warm_outlives_a_source_that_panics() {
    let source = Source::new();
    let tokens = source.builder().clock(Clock::tokio()).keep_warm().build().expect("complete");
    token(&tokens).await;
    source.answer(Answer::Panics);
    sleep(hours(2)).await;
    source.answer(Answer::Lives(hours(1)));
    sleep(minutes(6)).await;
    assert!(tokens.try_token().is_some(), "nobody had to ask");
}

#[tokio::test(start_paused = true)]
async fn keeping_warm_outlives_an_outage_in_which_others_ask_for_tokens() {
    let source = Source::new();
    source.answer(Answer::Lives(minutes(5)));
    source.takes(millis(100));
    let tokens = source.builder().clock(Clock::tokio()).keep_warm().build().expect("complete");
    token(&tokens).await;
    source.answer(down());
    let mut others = JoinSet::new();
    for key in 0..100 {
        let tokens = tokens.clone();
        let request = TokenRequest::builder().scope(format!("s{key}")).build().expect("a token request");
        others.spawn(async move {
            let end = Instant::now() + minutes(10);
            while Instant::now() < end {
                let _ = tokens.token_for(&request).await;
                sleep(millis(500)).await;
            }
        });
    }
    others.join_all().await;
    source.answer(Answer::Lives(minutes(5)));
    sleep(minutes(6)).await;
    assert!(tokens.try_token().is_some(), "nobody had to ask");
}

#[tokio::test(start_paused = true)]
async fn a_short_retry_after_is_waited_out_however_short_the_time_limit_of_an_exchange_is() {
    let source = Source::new().with_time_limit(seconds(1));
    let tokens = source.cache();
    source.answer(Answer::Fails(Error::transient("busy").with_retry_after(seconds(5))));
    let first = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.token().await }
    });
    sleep(seconds(1)).await;
    source.answer(Answer::Lives(hours(1)));
    sleep(seconds(3)).await;
    let (answers, _) = herd(&tokens, 10).await;
    for answer in answers {
        assert_eq!(answer.expect("a token"), "token-2");
    }
    first.await.expect("no panic").expect("a token");
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_zero_is_none() {
    let source = Source::new();
    let tokens = source.cache();
    for error in [Error::transient("down"), Error::permanent("refused")] {
        let before = source.count();
        source.answer(Answer::Fails(error.with_retry_after(Duration::ZERO)));
        let (_, slowest) = steady_traffic(&tokens, minutes(1)).await;
        assert!(slowest <= seconds(2), "{slowest:?}");
        assert!(source.count() - before <= 10, "{} token requests in a minute", source.count() - before);
        sleep(minutes(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_before_there_is_a_future_is_backed_off_from_as_well() {
    struct Panics(Arc<AtomicUsize>);
    impl TokenSource for Panics {
        fn token<'a: 'c, 'b: 'c, 'c>(
            &'a self,
            _: &'b TokenRequest,
        ) -> Pin<Box<dyn Future<Output = Result<AccessToken, Error>> + Send + 'c>>
        where
            Self: 'c,
        {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("a bug in the source")
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let tokens = TokenCache::builder(Panics(Arc::clone(&count))).any_origin().clock(Clock::tokio()).build();
    let (failed, _) = steady_traffic(&tokens.expect("complete"), minutes(1)).await;
    assert!(failed.iter().all(|error| Error::find(error).is_some_and(Error::is_transient)));
    let count = count.load(Ordering::SeqCst);
    assert!(count <= 10, "{count} token requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_when_it_is_told_of_a_rejection_is_asked_all_the_same() {
    struct Panics(Source);
    #[async_trait]
    impl TokenSource for Panics {
        async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
            self.0.token(request).await
        }

        async fn rejected(&self, _: &TokenRequest, _: &AccessToken) {
            panic!("a bug in the source")
        }
    }
    let source = Source::new();
    let tokens = TokenCache::builder(Panics(source.clone())).any_origin().clock(Clock::tokio()).build();
    let tokens = tokens.expect("complete");
    let first = tokens.token().await.expect("a token");
    sleep(minutes(1)).await;
    tokens.reject(&first);
    assert_eq!(token(&tokens).await, "token-2");
}
