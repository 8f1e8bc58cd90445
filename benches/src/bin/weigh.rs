//! What the crate weighs in memory: the layer's future, and the tokens that a cache holds.

use std::{mem::size_of_val, time::Duration};

use allocation_counter::measure;
use benches::send::{Echo, ORIGIN, Request, request};
use client_credentials::{AccessToken, BearerAuthLayer, TokenCache, TokenRequest, TryClone, token_fn};
use tokio::runtime::Runtime;
use tower::{Layer, Service};

/// Bytes of a token.
const TOKEN: usize = 1024;
const KEYS: usize = 1000;

fn main() {
    // Made first, because its memory is not the cache's.
    let runtime = thread_runtime();
    // Before it is counted, the thread allocates what it needs only once.
    fill(&runtime, cache(), 1);

    println!("| what | bytes |");
    println!("| --- | ---: |");
    println!("| future of the client alone | {} |", future(Echo));
    println!("| the same with a request in it, as a layer's future with replay has | {} |", size_of::<Request>());
    let layer = BearerAuthLayer::new(cache());
    println!("| future of the layer | {} |", future(layer.layer(Echo)));
    println!("| with replay | {} |", future(layer.with_replay(TryClone).layer(Echo)));
    let (one, all) = (held(&runtime, 0), held(&runtime, KEYS));
    println!("| cache with one token of {TOKEN} bytes | {one} |");
    println!("| cache with {KEYS} keys more, each with a token of {TOKEN} bytes | {all} |");
    println!("| each key | {} |", (all - one) / KEYS as i64);
    println!("| and for each further thread that uses it | {} |", held_for_a_thread(&runtime) / KEYS as i64);
}

fn thread_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn future(mut service: impl Service<Request>) -> usize {
    size_of_val(&service.call(request()))
}

/// The memory of a cache with the tokens of so many keys.
fn held(runtime: &Runtime, keys: usize) -> i64 {
    let mut held = None;
    let info = measure(|| held = Some(fill(runtime, cache(), keys)));
    drop(held);
    info.bytes_current
}

/// The memory that another thread needs for the tokens of all keys.
fn held_for_a_thread(runtime: &Runtime) -> i64 {
    let cache = fill(runtime, cache(), KEYS);
    let measured = || measure(|| drop(fill(&thread_runtime(), cache.clone(), KEYS))).bytes_current;
    std::thread::scope(|scope| scope.spawn(measured).join().expect("no panic"))
}

fn cache() -> TokenCache {
    let source =
        token_fn(|_| async { Ok(AccessToken::new("t".repeat(TOKEN))?.with_expires_in(Duration::from_secs(3600))) });
    TokenCache::builder(source).origin(ORIGIN).build().expect("the settings are complete")
}

fn fill(runtime: &Runtime, cache: TokenCache, keys: usize) -> TokenCache {
    runtime.block_on(async {
        cache.token().await.expect("a token");
        for number in 0..keys {
            let request = TokenRequest::builder().scope(format!("tenant-{number}")).build().expect("a token request");
            cache.token_for(&request).await.expect("a token");
        }
        // The last task ends after its token was returned.
        tokio::task::yield_now().await;
    });
    cache
}
