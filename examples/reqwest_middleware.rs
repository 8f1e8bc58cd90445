//! A reqwest client whose requests carry tokens: the order of the middleware, a token with another scope, and the error
//! if there is no token. On loopback: `cargo run --example reqwest_middleware`.

use client_credentials::{
    BearerAuthMiddleware, ClientCredentials, Error, TokenCache, TokenRequest,
    testing::{AuthorizationServer, MockResponse, ProtectedApi},
};
use reqwest_retry::{RetryTransientMiddleware, policies::ExponentialBackoff};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = AuthorizationServer::start().await;
    let api = ProtectedApi::start(&auth).await;
    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").scope("stats").origin(api.origin());
    let tokens = TokenCache::from(source.build()?);

    // The first is the outermost: each attempt uses the token that is current when it is sent.
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(RetryTransientMiddleware::new_with_policy(ExponentialBackoff::builder().build_with_max_retries(2)))
        .with(BearerAuthMiddleware::new(tokens.clone()))
        .build();
    let url = format!("{}/stats", api.origin());
    for _ in 0..10 {
        client.get(&url).send().await?.error_for_status()?;
    }
    println!("10 requests, {} token request", auth.token_requests().len());

    // One request needs another scope. Its token is cached beside the first.
    let admin = TokenRequest::builder().scope("admin").build()?;
    client.post(&url).with_extension(admin).body("{}").send().await?.error_for_status()?;
    println!("another scope: {} token requests", auth.token_requests().len());

    // No token can be obtained: the request is not sent, and `Error::find` finds the reason behind all layers.
    let token_requests = auth.token_requests().len();
    auth.respond_always(MockResponse::status(503));
    let unknown = TokenRequest::builder().scope("reports").build()?;
    let sent_before = api.requests().len();
    let Err(error) = client.get(&url).with_extension(unknown).send().await else {
        return Err("a request was sent without a token".into());
    };
    let error = Error::find(&error).ok_or("not an error of ours")?;
    println!("no token: {error} (transient: {})", error.is_transient());

    if (token_requests, api.requests().len()) != (2, sent_before) {
        return Err("not the expected number of requests".into());
    }
    Ok(())
}
