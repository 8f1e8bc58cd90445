//! Time limit, retry and concurrency limit around hyper-util's client, and where the tokens go between them. On
//! loopback: `cargo run --example tower_stack`.

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
    // From the outside in.
    let client = ServiceBuilder::new()
        .timeout(Duration::from_secs(10)) // the whole call: waiting for a token and every attempt
        .retry(OnceMore) // each attempt has the token of its moment
        .layer(BearerAuthLayer::new(tokens).with_replay(TryClone))
        .concurrency_limit(8) // the connections of the API
        .timeout(Duration::from_secs(2)) // one attempt
        .service(Client::builder(TokioExecutor::new()).build_http());

    let url = format!("{}/stats", api.origin());
    for _ in 0..10 {
        api.respond_next(MockResponse::status(503)); // and the next attempt is answered as usual
        let answer = client.clone().oneshot(Request::get(&url).body(String::new())?).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("answered {}", answer.status()).into());
        }
    }
    println!("10 calls, {} attempts, {} token request", api.requests().len(), auth.token_requests().len());
    if (api.requests().len(), auth.token_requests().len()) != (20, 1) {
        return Err("not what was expected".into());
    }
    Ok(())
}

/// Sends a request that was answered with 503 once more.
#[derive(Clone)]
struct OnceMore;

impl<B: Clone, T, E> tower::retry::Policy<Request<B>, Response<T>, E> for OnceMore {
    type Future = future::Ready<()>;

    fn retry(&mut self, _: &mut Request<B>, outcome: &mut Result<Response<T>, E>) -> Option<Self::Future> {
        let busy = outcome.as_ref().is_ok_and(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE);
        busy.then(|| future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}
