use std::cell::RefCell;

use aliri_clock::DurationSecs;
use aliri_reqwest::AccessTokenMiddleware;
use aliri_tokens::{TokenWatcher, backoff::ErrorBackoffConfig, jitter::NullJitter, sources::ConstTokenSource};
use async_trait::async_trait;
use http::{
    Extensions, HeaderValue,
    header::{AUTHORIZATION, InvalidHeaderValue},
};
use reqwest_0_12::{Request, Response};
use reqwest_middleware_0_4::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};

use super::{attaching, wait};
use crate::{
    rows::Row,
    send::{Sender, now},
};

pub const ROW: Row = Row::new("aliri", "none", "aliri_tokens", |token| {
    let watcher = watcher(token);
    Box::new(move || {
        let watcher = watcher.clone();
        attaching(move |mut request| {
            let value = HeaderValue::from_str(&format!("Bearer {}", watcher.token().access_token()));
            async move {
                let mut value = value?;
                value.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, value);
                Ok::<_, InvalidHeaderValue>(request)
            }
        })
    })
});

pub const CLIENT: Row =
    Row::new("aliri-client", "aliri-client", "reqwest-middleware 0.4, without a middleware", |_| {
        let client = ClientBuilder::new(reqwest_0_12::Client::new()).with(Echo).build();
        Box::new(move || sender(client.clone()))
    });

pub const MIDDLEWARE: Row =
    Row::new("aliri-reqwest", "aliri-client", "aliri_reqwest (looks at no response)", |token| {
        let client = ClientBuilder::new(reqwest_0_12::Client::new());
        let client = client.with(AccessTokenMiddleware::new(watcher(token))).with(Echo).build();
        Box::new(move || sender(client.clone()))
    });

fn watcher(token: usize) -> TokenWatcher {
    let source = ConstTokenSource::new("t".repeat(token)).with_token_valid_for(DurationSecs(24 * 3600));
    wait(TokenWatcher::spawn_from_token_source(source, NullJitter, ErrorBackoffConfig::default())).expect("a token")
}

thread_local! {
    /// The request that this thread sends again and again.
    static REQUEST: RefCell<Option<Request>> = const { RefCell::new(None) };
}

fn sender(client: ClientWithMiddleware) -> Sender {
    let mut request =
        Request::new(http::Method::POST, "https://api.example.com/v1/things?page=2".parse().expect("a URL"));
    *request.body_mut() = Some(r#"{"name":"a thing"}"#.into());
    REQUEST.set(Some(request));
    Box::new(move || {
        let mut request = REQUEST.take().expect("the one that was sent");
        request.headers_mut().remove(AUTHORIZATION);
        now(client.execute(request)).expect("a response");
    })
}

struct Echo;

#[async_trait]
impl Middleware for Echo {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> Result<Response> {
        REQUEST.set(Some(request));
        Ok(http::Response::new("").into())
    }
}
