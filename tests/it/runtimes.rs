//! One cache, and runtimes that come, go, stand still or are not there: on real time.

use std::{
    sync::{LazyLock, Mutex, mpsc},
    time::Duration,
};

use crate::support::source::{Outcome, Source, hours, millis};
use client_credentials::{AccessToken, Clock, Error, ErrorKind, TokenCache, TokenRequest, TokenSource, async_trait};
use tokio::runtime::{Builder, Runtime};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Polls a future where there is no runtime.
fn without_runtime<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    std::thread::spawn(|| block_on(future)).join().expect("no panic")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::sleep(millis(1)),
        }
    }
}

fn cache(source: &Source) -> TokenCache {
    source.builder().build().expect("the settings are complete")
}

async fn token(tokens: &TokenCache) -> Result<String, Error> {
    tokens.token().await.map(|token| token.expose_secret().to_owned())
}

#[test]
fn a_static_cache_serves_many_short_lived_runtimes() {
    static SOURCE: LazyLock<Source> = LazyLock::new(Source::new);
    static TOKENS: LazyLock<TokenCache> = LazyLock::new(|| cache(&SOURCE));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let runtime = if thread % 2 == 0 { current_thread() } else { multi_thread() };
                    assert_eq!(runtime.block_on(token(&TOKENS)).expect("a token"), "token-1");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(SOURCE.count(), 1);
}

/// A caller asks, and its token request is on its way when this returns.
async fn start_a_fetch(source: &Source, tokens: &TokenCache) {
    assert!(tokens.try_token().is_none());
    while source.in_flight() == 0 {
        tokio::time::sleep(millis(1)).await;
    }
}

#[test]
fn a_runtime_that_ends_in_the_middle_of_a_fetch_leaves_it_to_the_next_caller() {
    for runtime in [current_thread, multi_thread] {
        let source = Source::new();
        source.respond(Outcome::Hangs);
        let tokens = cache(&source);
        let first = runtime();
        first.block_on(start_a_fetch(&source, &tokens));
        first.shutdown_background();
        source.respond(Outcome::Lives(hours(1)));
        assert_eq!(runtime().block_on(token(&tokens)).expect("a token"), "token-2");
    }
}

#[test]
fn callers_elsewhere_take_over_when_the_runtime_of_a_fetch_ends() {
    let source = Source::new();
    source.respond(Outcome::Hangs);
    let tokens = cache(&source);
    let first = multi_thread();
    first.block_on(start_a_fetch(&source, &tokens));
    let waiting = {
        let tokens = tokens.clone();
        std::thread::spawn(move || current_thread().block_on(token(&tokens)))
    };
    std::thread::sleep(millis(50));
    source.respond(Outcome::Lives(hours(1)));
    first.shutdown_background();
    assert_eq!(waiting.join().expect("no panic").expect("a token"), "token-2");
}

#[test]
fn a_runtime_that_ends_before_the_first_poll_leaves_the_fetch_to_the_next_caller() {
    let source = Source::new();
    let tokens = cache(&source);
    let first = current_thread();
    {
        let _entered = first.enter();
        assert!(tokens.try_token().is_none());
    }
    drop(first);
    assert_eq!(source.count(), 0, "never polled");
    assert_eq!(current_thread().block_on(token(&tokens)).expect("a token"), "token-1");
}

#[test]
fn a_runtime_that_ends_with_a_panic_of_its_own_is_no_panic_of_the_source() {
    let source = Source::new();
    source.respond(Outcome::Hangs);
    let tokens = cache(&source);
    let waiting = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            current_thread().block_on(async {
                start_a_fetch(&source, &tokens).await;
                source.respond(Outcome::Lives(hours(1)));
                // Another comes meanwhile.
                tokio::time::sleep(millis(100)).await;
                panic!("a test that fails")
            })
        });
        while source.in_flight() == 0 {
            std::thread::sleep(millis(1));
        }
        let waiting = scope.spawn(|| current_thread().block_on(token(&tokens)));
        assert!(first.join().is_err());
        waiting.join()
    });
    assert_eq!(waiting.expect("no panic").expect("a token"), "token-2");
}

#[test]
fn a_fetch_that_was_taken_over_leaves_its_successor_alone_when_its_runtime_continues() {
    let (source, clock) = (Source::new(), Clock::tokio());
    let tokens = source.builder().clock(clock.clone()).build().expect("complete");
    let (frozen, driven) = (current_thread(), current_thread());
    {
        let _entered = frozen.enter();
        assert!(tokens.try_token().is_none());
    }
    clock.jump_wall_clock(60_000);
    source.respond(Outcome::Hangs);
    let visit = || driven.block_on(async { tokio::time::timeout(millis(20), tokens.token()).await.is_err() });
    assert!(visit(), "it waits for the second flight");
    frozen.block_on(async { tokio::time::sleep(millis(20)).await });
    for _ in 0..3 {
        // Long enough for another to start, if there were none.
        clock.jump_wall_clock(2_000);
        assert!(visit(), "it waits for the second flight too");
    }
    assert_eq!(source.count(), 1);
}

/// Its clocks say that the fetch is overdue, but only a caller in a runtime can take over.
#[test]
fn a_caller_outside_of_a_runtime_ends_no_fetch() {
    let (source, clock) = (Source::new(), Clock::tokio());
    let tokens = source.builder().clock(clock.clone()).build().expect("complete");
    source.delay(millis(100));
    current_thread().block_on(async {
        start_a_fetch(&source, &tokens).await;
        clock.jump_wall_clock(60_000);
        assert!(
            without_runtime({
                let tokens = tokens.clone();
                async move { tokens.try_token() }
            })
            .is_none()
        );
        tokio::time::sleep(millis(200)).await;
        assert!(tokens.try_token().is_some());
    });
    assert_eq!(source.count(), 1);
}

#[test]
fn outside_of_a_runtime_a_cached_token_is_served_and_a_fetch_is_an_error() {
    let source = Source::new();
    let tokens = cache(&source);
    let error = without_runtime({
        let tokens = tokens.clone();
        async move { token(&tokens).await }
    })
    .expect_err("no runtime");
    assert_eq!(error.kind(), ErrorKind::Runtime);
    assert!(tokens.try_token().is_none());
    assert_eq!(source.count(), 0);

    assert_eq!(current_thread().block_on(token(&tokens)).expect("a token"), "token-1");
    let cached = without_runtime({
        let tokens = tokens.clone();
        async move { token(&tokens).await }
    });
    assert_eq!(cached.expect("a token"), "token-1");
    assert_eq!(tokens.try_token().expect("a token").expose_secret(), "token-1");
}

/// The renewal was started in a runtime that nobody drives, and is overdue.
#[test]
fn outside_of_a_runtime_a_rejected_token_is_served_whose_renewal_nobody_drives() {
    let (source, clock, frozen) = (Source::new(), Clock::tokio(), current_thread());
    let tokens = source.builder().clock(clock.clone()).build().expect("complete");
    let rejected = frozen.block_on(tokens.token()).expect("a token");
    clock.jump_wall_clock(2_000);
    frozen.block_on(async { tokens.reject(&rejected) });
    assert!(tokens.try_token().is_none(), "callers wait for its replacement");
    clock.jump_wall_clock(60_000);
    assert_eq!(tokens.try_token().expect("a token").expose_secret(), "token-1");
    assert_eq!(without_runtime(async move { token(&tokens).await }).expect("a token"), "token-1");
    assert_eq!(source.count(), 1);
}

#[test]
fn in_a_runtime_without_a_timer_a_cached_token_is_served_and_a_fetch_is_an_error() {
    let source = Source::new();
    let tokens = cache(&source);
    let timerless = Builder::new_current_thread().build().expect("a runtime");
    let error = timerless.block_on(token(&tokens)).expect_err("no timer");
    assert_eq!(error.kind(), ErrorKind::Runtime);
    assert!(error.to_string().contains("enable_time"), "{error}");
    assert_eq!(source.count(), 0);

    current_thread().block_on(token(&tokens)).expect("a token");
    assert_eq!(timerless.block_on(token(&tokens)).expect("a token"), "token-1");
}

type Receiver = Mutex<Option<mpsc::Receiver<()>>>;

/// Blocks its thread, once, until the other ends of these are dropped.
struct Blocks {
    source: Source,
    in_token: Receiver,
    in_rejected: Receiver,
}

fn block(on: &Receiver) {
    let blocks = on.lock().expect("no panic").take();
    if let Some(blocks) = blocks {
        let _ = blocks.recv();
    }
}

#[async_trait]
impl TokenSource for Blocks {
    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        block(&self.in_token);
        self.source.token(request).await
    }

    async fn rejected(&self, request: &TokenRequest, token: &AccessToken) {
        TokenSource::rejected(&self.source, request, token).await;
        block(&self.in_rejected);
    }

    fn time_limit(&self) -> Duration {
        millis(100)
    }
}

fn three_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(3).enable_all().build().expect("a runtime")
}

#[test]
fn a_source_that_blocks_its_thread_is_taken_over() {
    let (end, blocks) = mpsc::channel();
    let source = Source::new();
    let blocking = Blocks { source, in_token: Mutex::new(Some(blocks)), in_rejected: Mutex::default() };
    let tokens = TokenCache::builder(blocking).any_origin().build().expect("complete");
    let runtime = three_threads();
    assert_eq!(runtime.block_on(token(&tokens)).expect("a token"), "token-1");
    drop(end);
}

/// It blocks before it has sent a token request.
#[test]
fn a_source_that_blocked_its_thread_requests_no_token_that_another_has_requested_or_that_nobody_wants() {
    for is_wanted in [true, false] {
        let (end, blocks) = mpsc::channel();
        let source = Source::new();
        let in_rejected = Mutex::new(Some(blocks));
        let blocking = Blocks { source: source.clone(), in_token: Mutex::default(), in_rejected };
        let tokens = TokenCache::builder(blocking).any_origin().build().expect("complete");
        let runtime = three_threads();
        runtime.block_on(async {
            tokens.reject(&tokens.token().await.expect("a token"));
            if is_wanted {
                assert_eq!(token(&tokens).await.expect("a token"), "token-2");
            } else {
                tokio::time::sleep(millis(1100)).await;
                assert!(tokens.try_token().is_none());
                while source.rejected().is_empty() {
                    tokio::time::sleep(millis(1)).await;
                }
            }
        });
        drop((tokens, end));
        // Waits until its threads have ended.
        drop(runtime);
        assert_eq!(source.count(), 1 + usize::from(is_wanted));
    }
}
