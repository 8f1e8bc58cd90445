//! A reqwest client whose requests carry tokens: the order of middleware, a token with another scope, and what comes
//! back when there is no token. On loopback: `cargo run --example reqwest_middleware`.

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

    // The first is the outermost: each attempt of the retry asks for the current token.
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(RetryTransientMiddleware::new_with_policy(ExponentialBackoff::builder().build_with_max_retries(2)))
        .with(BearerAuthMiddleware::new(tokens.clone()))
        .build();
    let url = format!("{}/stats", api.origin());
    for _ in 0..10 {
        client.get(&url).send().await?.error_for_status()?;
    }
    println!("10 requests, {} token request", auth.token_requests().len());

    // One request that needs another scope; its token is cached beside the first.
    let admin = TokenRequest::builder().scope("admin").build()?;
    client.post(&url).with_extension(admin).body("{}").send().await?.error_for_status()?;
    println!("another scope: {} token requests", auth.token_requests().len());

    // No token to be had: the request is not sent, and the reason is found through all layers.
    let asked_before = auth.token_requests().len();
    auth.respond_always(MockResponse::status(503));
    let unknown = TokenRequest::builder().scope("reports").build()?;
    let sent_before = api.requests().len();
    let Err(error) = client.get(&url).with_extension(unknown).send().await else {
        return Err("a request went out without a token".into());
    };
    let error = Error::find(&error).ok_or("not an error of ours")?;
    println!("no token: {error} (may pass: {})", error.is_transient());

    if (asked_before, api.requests().len()) != (2, sent_before) {
        return Err("not what was expected".into());
    }
    Ok(())
}
