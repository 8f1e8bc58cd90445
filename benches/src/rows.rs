//! What is measured. For a token of a given size, each row makes a function that makes a sender for each thread. The
//! senders of a row share one token.

use std::time::Duration;

use bytes::Bytes;
use client_credentials::{AccessToken, BearerAuthLayer, TokenCache, TokenRequest, TryClone, token_fn};
use http::{HeaderValue, header::AUTHORIZATION};
use tower::{Layer, Service, retry::Retry};
use tower_http::set_header::SetRequestHeader;

use crate::send::{Echo, ORIGIN, Request, Response, Sender, request, through, through_clones};

pub struct Row {
    pub name: &'static str,
    /// The row that sends the same and attaches nothing.
    pub base: &'static str,
    pub what: &'static str,
    /// How many requests it sends in turn.
    pub requests: usize,
    make: fn(usize) -> Senders,
}

pub type Senders = Box<dyn Fn() -> Sender + Send + Sync>;

impl Row {
    pub const fn new(name: &'static str, base: &'static str, what: &'static str, make: fn(usize) -> Senders) -> Self {
        Self { name, base, what, requests: 1, make }
    }

    const fn sending(self, requests: usize) -> Self {
        Self { requests, ..self }
    }

    /// Makes its senders, for a token of so many bytes.
    pub fn senders(&self, token: usize) -> Senders {
        (self.make)(token)
    }
}

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Row> {
    let rows = ROWS.iter();
    #[cfg(feature = "reqwest")]
    let rows = rows.chain(crate::middleware::ROWS);
    #[cfg(feature = "peers")]
    let rows = rows.chain(crate::peers::ROWS.iter().copied());
    rows
}

/// As many as a cache holds by default.
const KEYS: usize = 1000;
const MANY_KEYS: usize = 10_000;

const ROWS: &[Row] = &[
    Row::new("none", "none", "no layer", |_| senders(|| through(Echo, vec![request()]))),
    Row::new("none-cloned", "none-cloned", "no layer, cloned for each call", |_| {
        senders(|| through_clones(Echo, vec![request()]))
    }),
    Row::new("none-keys", "none-keys", "no layer, 1 000 requests in turn", |_| senders(|| through(Echo, keyed(KEYS))))
        .sending(KEYS),
    Row::new("none-many-keys", "none-many-keys", "no layer, 10 000 requests in turn", |_| {
        senders(|| through(Echo, keyed(MANY_KEYS)))
    })
    .sending(MANY_KEYS),
    Row::new("insert", "none", "`HeaderMap::insert` by hand, a shared value", |token| {
        let service = Insert(shared(token));
        senders(move || through(service.clone(), vec![request()]))
    }),
    Row::new("set-static", "none", "`SetRequestHeader`, a `'static` value", |token| {
        let value = HeaderValue::from_static(text(token).leak());
        senders(move || through(set(value.clone()), vec![request()]))
    }),
    Row::new("set", "none", "`SetRequestHeader`, a shared value", |token| {
        let value = shared(token);
        senders(move || through(set(value.clone()), vec![request()]))
    }),
    Row::new("set-cloned", "none-cloned", "the same, cloned for each call", |token| {
        let value = shared(token);
        senders(move || through_clones(set(value.clone()), vec![request()]))
    }),
    Row::new("set-retry", "none", "the same in tower's `Retry`", |token| {
        let value = shared(token);
        senders(move || through(Retry::new(Once, set(value.clone())), vec![request()]))
    }),
    Row::new("layer", "none", "`BearerAuthLayer`", |token| {
        let layer = BearerAuthLayer::new(cache(token));
        senders(move || through(layer.layer(Echo), vec![request()]))
    }),
    Row::new("layer-cloned", "none-cloned", "the same, cloned for each call", |token| {
        let layer = BearerAuthLayer::new(cache(token));
        senders(move || through_clones(layer.layer(Echo), vec![request()]))
    }),
    Row::new("layer-key", "none", "a request that carries a key", |token| {
        let layer = BearerAuthLayer::new(cache(token));
        senders(move || through(layer.layer(Echo), keyed(1)))
    }),
    Row::new("layer-keys", "none-keys", "1 000 such requests in turn, each with a key of its own", |token| {
        let layer = BearerAuthLayer::new(cache(token));
        senders(move || through(layer.layer(Echo), keyed(KEYS)))
    })
    .sending(KEYS),
    Row::new("layer-many-keys", "none-many-keys", "10 000 such requests in turn", |token| {
        let layer = BearerAuthLayer::new(cache_of(token, MANY_KEYS));
        senders(move || through(layer.layer(Echo), keyed(MANY_KEYS)))
    })
    .sending(MANY_KEYS),
    Row::new("layer-replay", "none", "with replay (`TryClone`)", |token| {
        let layer = BearerAuthLayer::new(cache(token)).with_replay(TryClone);
        senders(move || through(layer.layer(Echo), vec![request()]))
    }),
];

fn senders(make: impl Fn() -> Sender + Send + Sync + 'static) -> Senders {
    Box::new(make)
}

/// `Bearer` and a token of so many bytes.
fn text(token: usize) -> String {
    format!("Bearer {}", "t".repeat(token))
}

/// A value whose clones share its bytes, like that of a fetched token.
fn shared(token: usize) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text(token))).expect("a header value")
}

fn set(value: HeaderValue) -> SetRequestHeader<Echo, HeaderValue> {
    SetRequestHeader::overriding(Echo, AUTHORIZATION, value)
}

/// A cache with the tokens of all keys that most rows use.
pub fn cache(token: usize) -> TokenCache {
    cache_of(token, KEYS)
}

fn cache_of(token: usize, keys: usize) -> TokenCache {
    let source = token_fn(move |_| async move {
        Ok(AccessToken::new("t".repeat(token))?.with_expires_in(Duration::from_secs(24 * 3600)))
    });
    let builder = TokenCache::builder(source).origin(ORIGIN).most_keys(keys);
    let cache = builder.build().expect("the settings are complete");
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(async {
        cache.token().await.expect("a token");
        for number in 0..keys {
            cache.token_for(&key(number)).await.expect("a token");
        }
    });
    cache
}

fn key(number: usize) -> TokenRequest {
    TokenRequest::builder().scope(format!("tenant-{number}")).build().expect("a token request")
}

fn keyed(count: usize) -> Vec<Request> {
    let with_key = |number| {
        let mut request = request();
        request.extensions_mut().insert(key(number));
        request
    };
    (0..count).map(with_key).collect()
}

#[derive(Clone)]
struct Insert(HeaderValue);

impl Service<Request> for Insert {
    type Response = Response;
    type Error = <Echo as Service<Request>>::Error;
    type Future = <Echo as Service<Request>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        Echo.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        request.headers_mut().insert(AUTHORIZATION, self.0.clone());
        Echo.call(request)
    }
}

/// Copies each request, and sends none again.
#[derive(Clone)]
struct Once;

impl<E> tower::retry::Policy<Request, Response, E> for Once {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _request: &mut Request, _result: &mut Result<Response, E>) -> Option<Self::Future> {
        None
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}
