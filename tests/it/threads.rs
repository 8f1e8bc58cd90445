//! Each thread has leases of the tokens that it attaches: none outlives a rejection or a renewal.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::pin,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    task::{Context, Poll, Waker},
    thread,
};

use crate::support::source::Source;
use client_credentials::{BearerAuthLayer, TokenCache, TokenRequest};
use http::HeaderValue;
use tower::{Layer, Service, service_fn};

const THREADS: usize = 40;

/// What one request carries if it is sent at once; `None`: it waits.
type Carried = Option<String>;

/// Sends a request with this key.
fn send(layer: &BearerAuthLayer, key: &TokenRequest) -> Carried {
    send_and_see(layer, key, |value| value.to_str().expect("visible ASCII").to_owned())
}

/// What `see` makes of the header that the request carries.
fn send_and_see<T>(layer: &BearerAuthLayer, key: &TokenRequest, see: fn(&HeaderValue) -> T) -> Option<T> {
    let inner = service_fn(|request: http::Request<()>| {
        ready(Ok::<_, Infallible>(http::Response::new(see(&request.headers()["authorization"]))))
    });
    let mut request = http::Request::get("https://api.example.com").body(()).expect("a request");
    request.extensions_mut().insert(key.clone());
    match pin!(layer.layer(inner).call(request)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => Some(response.expect("a response").into_body()),
        Poll::Pending => None,
    }
}

/// A thread that sends a request whenever it is told to.
fn sender(tokens: &TokenCache, key: &TokenRequest) -> (Sender<()>, Receiver<Carried>) {
    let (go, told) = channel();
    let (tell, carried) = channel();
    let (layer, key) = (BearerAuthLayer::new(tokens.clone()), key.clone());
    let runtime = tokio::runtime::Handle::current();
    thread::spawn(move || {
        let _in_the_runtime = runtime.enter();
        while told.recv().is_ok() {
            tell.send(send(&layer, &key)).expect("the test waits for it");
        }
    });
    (go, carried)
}

fn send_all(threads: &[(Sender<()>, Receiver<Carried>)]) -> Vec<Carried> {
    threads.iter().for_each(|(go, _)| go.send(()).expect("the thread waits"));
    threads.iter().map(|(_, carried)| carried.recv().expect("the thread sends")).collect()
}

#[tokio::test]
async fn all_threads_attach_the_one_copy_of_a_token_that_is_in_memory() {
    let tokens = Source::new().builder().origin("https://api.example.com").build().expect("complete");
    let address = |value: &HeaderValue| {
        assert!(value.is_sensitive());
        value.as_bytes().as_ptr().addr()
    };
    let token = tokens.token().await.expect("a token");
    let (layer, key) = (BearerAuthLayer::new(tokens.clone()), TokenRequest::default());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let carried = scope.spawn(|| send_and_see(&layer, &key, address)).join().expect("no panic");
            assert_eq!(carried, Some(address(token.authorization())));
        }
    });
}

/// The runtime of this test stands still while the threads send, so that no renewal ends in between.
#[tokio::test]
async fn no_thread_attaches_a_token_after_it_was_rejected_and_all_attach_the_next_one() {
    for key in [TokenRequest::default(), TokenRequest::builder().scope("a").build().expect("a token request")] {
        let tokens = Source::new().builder().origin("https://api.example.com").build().expect("complete");
        let first = tokens.token_for(&key).await.expect("a token");
        let threads: Vec<_> = (0..THREADS).map(|_| sender(&tokens, &key)).collect();
        for _ in 0..2 {
            assert_eq!(send_all(&threads), vec![Some("Bearer token-1".to_owned()); THREADS]);
        }
        tokens.reject(&first);
        assert_eq!(send_all(&threads), vec![None; THREADS], "they wait for another token");
        assert_eq!(tokens.token_for(&key).await.expect("a token").expose_secret(), "token-2");
        for _ in 0..2 {
            assert_eq!(send_all(&threads), vec![Some("Bearer token-2".to_owned()); THREADS]);
        }
    }
}

/// Threads send without a pause, and others come and go. As above, no renewal ends in between.
#[tokio::test]
async fn threads_that_send_while_a_token_is_rejected_do_not_attach_it_afterwards() {
    let tokens = Source::new().builder().origin("https://api.example.com").build().expect("complete");
    let layer = BearerAuthLayer::new(tokens.clone());
    let runtime = tokio::runtime::Handle::current();
    for round in 0..100 {
        let key = TokenRequest::builder().scope(format!("s{round}")).build().expect("a token request");
        let token = tokens.token_for(&key).await.expect("a token");
        let (rejected, started) = (AtomicBool::new(false), Barrier::new(5));
        let sends_on = || {
            let _in_the_runtime = runtime.enter();
            assert!(send(&layer, &key).is_some());
            started.wait();
            loop {
                let was_rejected = rejected.load(Ordering::SeqCst);
                let carried = send(&layer, &key);
                assert!(carried.is_none() || !was_rejected, "round {round}");
                if carried.is_none() {
                    return;
                }
            }
        };
        thread::scope(|threads| {
            (0..4).for_each(|_| drop(threads.spawn(sends_on)));
            started.wait();
            tokens.reject(&token);
            rejected.store(true, Ordering::SeqCst);
            let newcomer = threads.spawn(|| {
                let _in_the_runtime = runtime.enter();
                send(&layer, &key)
            });
            assert_eq!(newcomer.join().expect("no panic"), None, "round {round}");
        });
    }
}
