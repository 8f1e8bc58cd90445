//! A token's life in fifteen seconds, with everything on loopback: `cargo run --example quickstart`.

use std::time::{Duration, Instant};

use client_credentials::{
    BearerAuthLayer, BearerAuthMiddleware, ClientCredentials, TokenCache, TryClone,
    testing::{AuthorizationServer, MockResponse, ProtectedApi},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceExt};

const LIFETIME: Duration = Duration::from_secs(8);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = AuthorizationServer::start().await;
    auth.set_lifetime(LIFETIME);
    let api = ProtectedApi::start(&auth).await;

    // One token cache for all clients.
    let tokens = TokenCache::from(
        ClientCredentials::builder(auth.token_url(), "abcde", "12345").scope("stats").origin(api.origin()).build()?,
    );
    let reqwest = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(BearerAuthMiddleware::new(tokens.clone()))
        .build();
    let tower = tower::ServiceBuilder::new()
        .layer(BearerAuthLayer::new(tokens).with_replay(TryClone))
        .service(Client::builder(TokioExecutor::new()).build_http());

    println!("time     token requests   what happens");
    let mut show = Timeline { start: Instant::now(), requests: 0, successful: 0, longest_wait: Duration::ZERO };
    let both = Both { reqwest, tower, url: format!("{}/stats", api.origin()) };

    show.say(&auth, "start: there is no token yet, so the first request waits for one");
    both.send(1, &mut show).await;
    show.say(&auth, "first token");
    both.send(200, &mut show).await;
    show.say(&auth, "400 requests with that token, half by reqwest, half by tower");
    both.send_until(|| token_requests(&auth) == 2, &mut show).await;
    show.say(&auth, "the token was renewed before it expired: no request waited");
    both.send_for(Duration::from_millis(1200), &mut show).await;
    auth.revoke_all();
    show.say(&auth, "the token is revoked: after a 401 it is renewed, and the request is sent again");
    both.send(20, &mut show).await;
    show.say(&auth, "no caller saw the 401");
    let before = token_requests(&auth);
    auth.respond_always(MockResponse::status(503));
    show.say(&auth, "the authorization server goes down");
    both.send_until(|| token_requests(&auth) >= before + 2, &mut show).await;
    show.say(&auth, "renewal fails, and the old token stays in use");
    auth.respond_always(MockResponse::usual());
    show.say(&auth, "the authorization server is back");
    let before = token_requests(&auth);
    both.send_until(|| token_requests(&auth) > before, &mut show).await;
    both.send(20, &mut show).await;
    show.say(&auth, "the token is renewed, as if nothing had happened");

    println!("\nrequests                            {:>7}", show.requests);
    println!("successful                          {:>7}", show.successful);
    println!("token requests                      {:>7}", token_requests(&auth));
    println!("longest wait caused by a token      {:>7.1?}", show.longest_wait);
    if show.successful != show.requests {
        return Err(format!("{} requests failed", show.requests - show.successful).into());
    }
    Ok(())
}

fn token_requests(auth: &AuthorizationServer) -> usize {
    auth.token_requests().len()
}

struct Both<T> {
    reqwest: reqwest_middleware::ClientWithMiddleware,
    tower: T,
    url: String,
}

impl<T, B> Both<T>
where
    T: Service<http::Request<String>, Response = http::Response<B>> + Clone,
    T::Error: std::fmt::Display,
{
    async fn send(&self, each: usize, show: &mut Timeline) {
        for _ in 0..each {
            let sent = Instant::now();
            let response = self.reqwest.get(&self.url).send().await;
            show.count(sent, response.map(|response| response.status().is_success()));
            let sent = Instant::now();
            let request = http::Request::get(&self.url).body(String::new()).expect("a URL");
            let response = self.tower.clone().oneshot(request).await;
            show.count(sent, response.map(|response| response.status().is_success()));
        }
    }

    async fn send_for(&self, time: Duration, show: &mut Timeline) {
        let end = Instant::now() + time;
        self.send_until(|| Instant::now() >= end, show).await;
    }

    async fn send_until(&self, done: impl Fn() -> bool, show: &mut Timeline) {
        let give_up = Instant::now() + 2 * LIFETIME;
        while !done() && Instant::now() < give_up {
            self.send(1, show).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

struct Timeline {
    start: Instant,
    requests: usize,
    successful: usize,
    longest_wait: Duration,
}

impl Timeline {
    fn say(&self, auth: &AuthorizationServer, what: &str) {
        println!("{:>6.2} s {:>14}   {what}", self.start.elapsed().as_secs_f64(), token_requests(auth));
    }

    fn count<E: std::fmt::Display>(&mut self, sent: Instant, outcome: Result<bool, E>) {
        // The API responds at once, so a long wait is a wait for a token.
        self.longest_wait = self.longest_wait.max(sent.elapsed());
        self.requests += 1;
        match outcome {
            Ok(true) => self.successful += 1,
            Ok(false) => println!("         a response was not a success"),
            Err(error) => println!("         a request failed: {error}"),
        }
    }
}
