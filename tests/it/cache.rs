//! What no scenario says of one token's life: sources of one's own that panic, what they are told of a rejection, the
//! tasks of the runtime, and the last seconds of a token. All else is in `tests/scenarios`.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{
    source::{Outcome, Source, hours, millis, minutes, seconds},
    tenants::{Asked, Reply, Tenants, call_steadily},
};
use client_credentials::{AccessToken, Clock, Error, TokenCache, TokenRequest, TokenSource, async_trait};
use tokio::{
    task::JoinSet,
    time::{Instant, advance, sleep},
};

async fn token(tokens: &TokenCache) -> String {
    tokens.token().await.expect("a token").expose_secret().to_owned()
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
async fn a_rejected_token_is_replaced_once_for_all() {
    let source = Source::new();
    let tokens = source.cache();
    let first = tokens.token().await.expect("a token");
    advance(seconds(10)).await;
    for _ in 0..100 {
        tokens.reject(&first);
    }
    let callers: JoinSet<_> = (0..100).map(|_| tokens.clone()).map(async |tokens| token(&tokens).await).collect();
    assert_eq!(callers.join_all().await, vec!["token-2"; 100]);
    tokens.reject(&first);
    assert_eq!(token(&tokens).await, "token-2");
    assert_eq!(source.count(), 2);
    assert_eq!(source.rejected(), ["token-1"]);
}

#[tokio::test(start_paused = true)]
async fn callers_wait_five_seconds_from_a_rejection_that_comes_long_after_the_renewal_began() {
    let source = Source::new();
    let tokens = source.cache();
    let first = tokens.token().await.expect("a token");
    sleep(minutes(50)).await;
    source.respond(Outcome::Hangs);
    assert!(tokens.try_token().is_some());
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(source.in_flight(), 1);
    tokens.reject(&first);
    let rejected_at = source.now();
    assert_eq!(token(&tokens).await, "token-1");
    assert_eq!((source.now() - rejected_at).as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_task_that_keeps_a_cache_warm_ends_with_the_last_handle() {
    let source = Source::new();
    let tokens = source.builder().clock(Clock::tokio()).keep_warm().build().expect("complete");
    token(&tokens).await;
    sleep(hours(2)).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 1);
    drop(tokens);
    sleep(millis(1)).await;
    assert_eq!(metrics.num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_zero_in_the_error_of_a_source_is_ignored() {
    let source = Source::new();
    let tokens = source.cache();
    for error in [Error::transient("down"), Error::permanent("refused")] {
        let before = source.count();
        source.respond(Outcome::Fails(error.with_retry_after(Duration::ZERO)));
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
async fn a_source_that_panics_in_rejected_is_called_for_the_next_token_all_the_same() {
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

/// Although it would last for longer than the cached one.
#[tokio::test(start_paused = true)]
async fn the_rejected_token_again_is_no_renewal() {
    let source = Source::new();
    source.respond(Outcome::Named("the-same", hours(1)));
    let tokens = source.cache();
    let first = tokens.token().await.expect("a token");
    sleep(minutes(30)).await;
    tokens.reject(&first);
    assert_eq!(token(&tokens).await, "the-same");
    assert_eq!(source.count(), 2);
    let error = tokens.status().last_error().expect("a failure").to_string();
    assert_eq!(error, "the server issued the same token again, after an API rejected it");
}

/// The last second of a token is stated as zero, which on its own would mean that the server does not say.
#[tokio::test(start_paused = true)]
async fn a_server_that_counts_one_token_down_to_zero_loses_nobody() {
    for takes in [0, 20, 300] {
        let endpoint = Tenants::new(move |Asked { at, .. }| {
            let second = at.as_secs();
            (Reply::Known("t", second / 6, 5 - second % 6), millis(takes))
        });
        let calls = call_steadily(&endpoint, &endpoint.cache(), 1, millis(50), minutes(10)).await;
        for call in &calls {
            let token = call.outcome.as_ref().unwrap_or_else(|error| panic!("{call:?}: {error}"));
            let number: u64 = token.expose_secret().trim_start_matches("t-").parse().expect("a number");
            // The server took it for good when it sent it, or when the caller came.
            let sent = call.came.max(seconds(6 * number));
            assert!(seconds(6 * number + 6) > sent, "{call:?}");
        }
        assert!(endpoint.most_within(seconds(1)) <= 3, "{} in a second", endpoint.most_within(seconds(1)));
    }
}
