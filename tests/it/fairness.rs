//! Nobody pays for another's failure: of many tokens and instances, in figures.

use std::time::Duration;

use client_credentials::{BearerAuthLayer, TryClone};
use http::{Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use crate::support::{
    api::{Api, bearer, rejection},
    get,
    source::{millis, minutes, seconds},
    tenants::{Asked, Call, Reply, Tenants, call, call_once, call_steadily, tenant},
};

#[tokio::test(start_paused = true)]
async fn a_token_request_that_fails_or_hangs_costs_no_other_cold_token() {
    cold(200, |of| of == 7, Reply::Status(503), 50).await;
    cold(2_000, |of| of % 10 == 7, Reply::Status(500), 10).await;
    cold(2_000, |of| of % 100 == 7, Reply::Hangs, 10).await;
    cold(200, |of| of % 10 < 3, Reply::Status(503), 2_000).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_tokens_are_all_obtained() {
    cold(10_000, |of| of % 100 == 7, Reply::Status(500), 10).await;
    cold(10_000, |_| false, Reply::Hangs, 50).await;
}

#[tokio::test(start_paused = true)]
async fn failing_tokens_cost_the_others_hardly_a_request() {
    steady(51, |of| of == 0, Reply::RetryAfter(429, 600), minutes(10)).await;
    steady(41, |of| of == 0, Reply::OAuth("invalid_client"), minutes(10)).await;
    steady(70, |of| of < 20, Reply::Hangs, minutes(10)).await;
    steady(50, |of| of < 15, Reply::Status(500), minutes(10)).await;
    // Now and then, so many fail in a row that it looks like an outage for a second. An hour shows how often.
    steady(50, |of| of < 30, Reply::Status(500), minutes(60)).await;
}

#[tokio::test(start_paused = true)]
async fn cold_tokens_are_requested_in_the_order_in_which_their_callers_came() {
    let endpoint = Tenants::new(|_| (Reply::Token, millis(10)));
    call_once(&endpoint, &endpoint.cache(), (0..200).map(|tenant| (tenant, Duration::ZERO))).await;
    let order: Vec<_> = endpoint.asked().iter().map(|asked| asked.tenant).collect();
    assert!(order.is_sorted(), "{order:?}");
}

/// All the while, the first of them is requested again and again. No other token is due.
#[tokio::test(start_paused = true)]
async fn three_tokens_that_begin_to_fail_ten_minutes_apart_are_no_outage() {
    let endpoint = Tenants::new(|Asked { tenant, .. }| match tenant {
        0..3 => (Reply::RetryAfter(429, 20), millis(10)),
        _ => (Reply::Token, millis(10)),
    });
    let tokens = endpoint.cache();
    let calls =
        (0..3).flat_map(|number| (0..300).map(move |second| (number, seconds(600 * number as u64 + 5 * second))));
    let good = call(&endpoint, &tokens, 3);
    let (calls, good) = tokio::join!(call_once(&endpoint, &tokens, calls), async {
        sleep(seconds(1203)).await;
        good.await
    });
    assert!(calls.iter().all(|call| call.outcome.is_err()));
    assert!(good.outcome.is_ok(), "{good:?}");
}

#[tokio::test(start_paused = true)]
async fn instances_are_served_by_a_server_whose_new_token_ends_the_one_before() {
    one_at_a_time(2).await;
    one_at_a_time(8).await;
}

/// Of the calls for good tokens: how many were served, and how many there were.
fn served(calls: &[Call], bad: fn(usize) -> bool) -> (usize, usize) {
    let good = calls.iter().filter(|call| !bad(call.tenant));
    let served = good.clone().filter(|call| call.outcome.is_ok());
    (served.count(), good.count())
}

async fn cold(tokens: usize, bad: fn(usize) -> bool, fails: Reply, takes: u64) {
    let endpoint = Tenants::new(move |Asked { tenant, .. }| match bad(tenant) {
        true => (fails, millis(10)),
        false => (Reply::Token, millis(takes)),
    });
    let calls = (0..tokens).map(|tenant| (tenant, Duration::ZERO));
    let calls = call_once(&endpoint, &endpoint.cache(), calls).await;
    let (served, good) = served(&calls, bad);
    assert!(served * 100 >= good * 99, "{served} of {good} served");
    let own = calls.iter().filter(|call| bad(call.tenant)).all(|call| call.outcome.is_err());
    assert!(own, "a failure is that of its own token");
}

/// With a call a second for each token, which lives for half a minute.
async fn steady(tokens: usize, bad: fn(usize) -> bool, fails: Reply, time: Duration) {
    let endpoint = Tenants::new(move |Asked { tenant, .. }| match bad(tenant) {
        true => (fails, millis(10)),
        false => (Reply::Token, millis(20)),
    });
    let endpoint = endpoint.with_expires_in(30);
    let calls = call_steadily(&endpoint, &endpoint.cache(), tokens, seconds(1), time).await;
    let (served, good) = served(&calls, bad);
    assert!(served * 100 >= good * 99, "{served} of {good} served");
}

/// As Zoom does: a new token ends the others.
async fn one_at_a_time(instances: usize) {
    let endpoint = Tenants::new(|_| (Reply::Token, Duration::ZERO));
    let newest = endpoint.clone();
    let api = Api::new(move |request| {
        let token = bearer(request).expect("a token").trim_start_matches('t').split_once('-');
        let (tenant, times) = token.expect("a name");
        let newest = newest.asked().last().map(|asked| (asked.tenant.to_string(), asked.times.to_string()));
        let is_newest = newest == Some((tenant.to_owned(), times.to_owned()));
        if is_newest { Response::default() } else { rejection(Some("Bearer error=\"invalid_token\"")) }
    });
    let callers: Vec<_> = (0..instances)
        .map(|instance| {
            let tokens = endpoint.cache().with_request(&tenant(instance));
            let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api.clone());
            tokio::spawn(async move {
                sleep(millis(7 * instance as u64)).await;
                let (mut served, start) = ((0, 0), Instant::now());
                while start.elapsed() < minutes(2) {
                    let response = service.clone().oneshot(get("https://api.example.com/")).await;
                    served.0 += u32::from(response.expect("a response").status() == StatusCode::OK);
                    served.1 += 1;
                    sleep(millis(100)).await;
                }
                served
            })
        })
        .collect();
    let mut all = (0, 0);
    for caller in callers {
        let served = caller.await.expect("no panic");
        all = (all.0 + served.0, all.1 + served.1);
    }
    for instance in 0..instances {
        let asked: Vec<_> = endpoint.asked().into_iter().filter(|asked| asked.tenant == instance).collect();
        let least = asked.windows(2).map(|pair| pair[1].at - pair[0].at).min();
        assert!(least.is_none_or(|least| least >= seconds(1)), "{least:?} between two token requests");
    }
    assert!(f64::from(all.0) >= 0.99 * f64::from(all.1), "{all:?}");
}
