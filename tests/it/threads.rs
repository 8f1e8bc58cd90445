//! Each thread has copies of the tokens that it attaches: none outlives a rejection or a renewal.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::pin,
    sync::mpsc::{Receiver, Sender, channel},
    task::{Context, Poll, Waker},
    thread,
};

use crate::support::source::Source;
use client_credentials::{BearerAuthLayer, TokenCache, TokenRequest};
use tower::{Layer, Service, service_fn};

const THREADS: usize = 40;

/// What one request carries if it is sent at once; `None`: it waits.
type Carried = Option<String>;

/// A thread that sends a request whenever it is told to.
fn sender(tokens: &TokenCache, key: &TokenRequest) -> (Sender<()>, Receiver<Carried>) {
    let (go, told) = channel();
    let (tell, carried) = channel();
    let inner = service_fn(|request: http::Request<()>| {
        let token = request.headers()["authorization"].to_str().expect("visible ASCII").to_owned();
        ready(Ok::<_, Infallible>(http::Response::new(token)))
    });
    let (layer, key) = (BearerAuthLayer::new(tokens.clone()), key.clone());
    let runtime = tokio::runtime::Handle::current();
    thread::spawn(move || {
        let _in_the_runtime = runtime.enter();
        let mut service = layer.layer(inner);
        while told.recv().is_ok() {
            let mut request = http::Request::get("https://api.example.com").body(()).expect("a request");
            request.extensions_mut().insert(key.clone());
            let sent = match pin!(service.call(request)).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(response) => Some(response.expect("a response").into_body()),
                Poll::Pending => None,
            };
            tell.send(sent).expect("the test waits for it");
        }
    });
    (go, carried)
}

fn send_all(threads: &[(Sender<()>, Receiver<Carried>)]) -> Vec<Carried> {
    threads.iter().for_each(|(go, _)| go.send(()).expect("the thread waits"));
    threads.iter().map(|(_, carried)| carried.recv().expect("the thread sends")).collect()
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
