//! Time limits, retry and a concurrency limit around hyper-util's client, and the place of the token layer among them.
//! On loopback: `cargo run --example tower_stack`.

use std::{future, time::Duration};

use client_credentials::{
    BearerAuthLayer, ClientCredentials, TokenCache, TryClone,
    testing::{AuthorizationServer, MockResponse, ProtectedApi},
};
use http::{Request, Response, StatusCode};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{BoxError, ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let auth = AuthorizationServer::start().await;
    let api = ProtectedApi::start(&auth).await;
    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").origin(api.origin()).build()?;
    let tokens = TokenCache::from(source);
    // The outermost layer comes first.
    let client = ServiceBuilder::new()
        .timeout(Duration::from_secs(10)) // the whole call: the wait for a token and every attempt
        .retry(OnceMore) // each attempt uses the token that is current when it is sent
        .layer(BearerAuthLayer::new(tokens).with_replay(TryClone))
        .concurrency_limit(8) // connections to the API
        .timeout(Duration::from_secs(2)) // one attempt
        .service(Client::builder(TokioExecutor::new()).build_http());

    let url = format!("{}/stats", api.origin());
    for _ in 0..10 {
        api.respond_next(MockResponse::status(503)); // the next attempt gets the usual response
        let response = client.clone().oneshot(Request::get(&url).body(String::new())?).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("the API returned {}", response.status()).into());
        }
    }
    println!("10 calls, {} attempts, {} token request", api.requests().len(), auth.token_requests().len());
    if (api.requests().len(), auth.token_requests().len()) != (20, 1) {
        return Err("not the expected number of requests".into());
    }
    Ok(())
}

/// Sends a request again, once, after a 503.
#[derive(Clone)]
struct OnceMore;

impl<B: Clone, T, E> tower::retry::Policy<Request<B>, Response<T>, E> for OnceMore {
    type Future = future::Ready<()>;

    fn retry(&mut self, _: &mut Request<B>, outcome: &mut Result<Response<T>, E>) -> Option<Self::Future> {
        let busy = outcome.as_ref().is_ok_and(|response| response.status() == StatusCode::SERVICE_UNAVAILABLE);
        busy.then(|| future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}
