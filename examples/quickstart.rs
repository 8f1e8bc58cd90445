//! A token's life in fifteen seconds, with everything on loopback: `cargo run --example quickstart`.

use std::time::{Duration, Instant};

use client_credentials::{BearerAuthLayer, BearerAuthMiddleware, ClientCredentials, TokenCache, TryClone};
use support::AuthorizationServer;
use tower::{Service, ServiceExt};

mod support;

const LIFETIME: Duration = Duration::from_secs(8);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = AuthorizationServer::start(LIFETIME).await;
    let api = auth.protected_api().await;

    // One cache of tokens, for whoever sends requests.
    let tokens = TokenCache::from(
        ClientCredentials::builder(auth.token_url(), "abcde", "12345").scope("stats").origin(api.origin()).build()?,
    );
    let reqwest = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(BearerAuthMiddleware::new(tokens.clone()))
        .build();
    let tower = tower::ServiceBuilder::new()
        .layer(BearerAuthLayer::new(tokens.clone()).with_replay(TryClone))
        .service(support::hyper_client());

    println!("time     token requests   what happens");
    let mut show = Timeline { start: Instant::now(), requests: 0, answered: 0, longest_wait: Duration::ZERO };
    let both = Both { reqwest, tower, url: format!("{}/stats", api.origin()), tokens };

    show.say(&auth, "start: no token yet, so that the first request waits for one");
    both.send(1, &mut show).await;
    show.say(&auth, "first token");
    both.send(200, &mut show).await;
    show.say(&auth, "400 requests on that one token, half by reqwest, half by tower");
    both.send_until(|| auth.token_requests() == 2, &mut show).await;
    show.say(&auth, "the token aged and was renewed beside the traffic: nobody waited");
    auth.revoke_all();
    show.say(&auth, "the token is revoked: 401, renewed, sent again");
    both.send(20, &mut show).await;
    show.say(&auth, "nobody saw the 401");
    auth.set_down(true);
    show.say(&auth, "the authorization server goes down");
    both.send_until(|| auth.refused() >= 2, &mut show).await;
    show.say(&auth, "renewal fails, the old token serves on");
    auth.set_down(false);
    show.say(&auth, "the authorization server is back");
    let before = auth.token_requests();
    both.send_until(|| auth.token_requests() > before, &mut show).await;
    both.send(20, &mut show).await;
    show.say(&auth, "renewed; as if nothing had happened");

    println!("\nrequests                            {:>7}", show.requests);
    println!("answered                            {:>7}", show.answered);
    println!("token requests                      {:>7}", auth.token_requests());
    println!("longest wait caused by a token      {:>7.1?}", show.longest_wait);
    if show.answered != show.requests {
        return Err(format!("{} requests failed", show.requests - show.answered).into());
    }
    Ok(())
}

struct Both<T> {
    reqwest: reqwest_middleware::ClientWithMiddleware,
    tower: T,
    url: String,
    tokens: TokenCache,
}

impl<T, B> Both<T>
where
    T: Service<http::Request<http_body_util::Full<bytes::Bytes>>, Response = http::Response<B>> + Clone,
    T::Error: std::fmt::Display,
{
    async fn send(&self, each: usize, show: &mut Timeline) {
        for _ in 0..each {
            let waited = Instant::now();
            let token = self.tokens.token().await;
            show.longest_wait = show.longest_wait.max(waited.elapsed());
            drop(token);
            let answer = self.reqwest.get(&self.url).send().await;
            show.count(answer.map(|answer| answer.status().is_success()));
            let answer = self.tower.clone().oneshot(support::get(&self.url)).await;
            show.count(answer.map(|answer| answer.status().is_success()));
        }
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
    answered: usize,
    longest_wait: Duration,
}

impl Timeline {
    fn say(&self, auth: &AuthorizationServer, what: &str) {
        println!("{:>6.2} s {:>14}   {what}", self.start.elapsed().as_secs_f64(), auth.token_requests());
    }

    fn count<E: std::fmt::Display>(&mut self, answered: Result<bool, E>) {
        self.requests += 1;
        match answered {
            Ok(true) => self.answered += 1,
            Ok(false) => println!("         a request was not answered with success"),
            Err(error) => println!("         a request failed: {error}"),
        }
    }
}
