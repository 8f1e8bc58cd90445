//! What the log and the metrics say of shared tokens.

use client_credentials::testing::MockResponse;
use tokio::time::sleep;
use tracing::Level;

use crate::support::{
    instances::{Fleet, Instance, together},
    log::Log,
    source::{millis, minutes, seconds},
};

const OF_SOURCE: &str = r#"source="https://auth.example.com/token""#;

#[tokio::test(start_paused = true)]
async fn the_log_says_where_a_token_came_from() {
    let (log, _guard) = Log::start();
    let fleet = Fleet::of(2);
    fleet.instances[0].token().await;
    let told = log.take(Level::DEBUG);
    let stored = format!(r#"access token stored for other instances: {OF_SOURCE} store="memory""#);
    assert!(told.contains(&stored), "{told:?}");
    sleep(minutes(10)).await;
    fleet.instances[1].token().await;
    let taken = format!(r#"access token taken from the store: {OF_SOURCE} store="memory" expires_in=3600 age=600"#);
    assert_eq!(log.take(Level::INFO), [taken]);
}

#[tokio::test(start_paused = true)]
async fn the_log_says_who_waited_for_another_instance() {
    let (log, _guard) = Log::start();
    let fleet = Fleet::of(2);
    fleet.auth.respond_next(MockResponse::usual().with_delay(seconds(2)));
    together(fleet.instances.iter().map(Instance::token)).await;
    let told = log.take(Level::DEBUG);
    let waits = format!(r#"waiting for the token request of another instance: {OF_SOURCE} store="memory""#);
    assert_eq!(told.iter().filter(|line| **line == waits).count(), 1, "{told:?}");
    assert!(
        told.iter().any(|line| line.starts_with("access token taken from the store") && line.contains("waited_for=2."))
    );
}

#[tokio::test(start_paused = true)]
async fn the_log_says_who_is_held_back_by_another_instances_failure() {
    let (log, _guard) = Log::start();
    let fleet = Fleet::of(2);
    fleet.auth.respond_always(MockResponse::status(503));
    fleet.instances[0].tokens.token().await.expect_err("down");
    log.all();
    fleet.instances[1].tokens.token().await.expect_err("held back");
    let told = log.take(Level::INFO);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("another instance's token request failed; token requests are held back for "));
    sleep(millis(1)).await;
}

#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn shared_tokens_and_the_state_of_the_store_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let fleet = Fleet::of(3);
    fleet.auth.respond_next(MockResponse::usual().with_delay(seconds(2)));
    together(fleet.instances[..2].iter().map(Instance::token)).await;
    fleet.instances[2].token().await;
    let has = |name: &str, labels: &str, value: &str| {
        let of_it = |line: &&str| line.starts_with(&format!("client_credentials_{name}{{")) && line.contains(labels);
        let rendered = handle.render();
        assert!(rendered.lines().find(of_it).is_some_and(|line| line.ends_with(value)), "{name} {labels}: {rendered}");
    };
    for outcome in ["fetched", "waited", "taken"] {
        has("shared_tokens_total", &format!("outcome=\"{outcome}\""), " 1");
    }
    has("token_store_up", "", " 1");
    fleet.store.fail();
    sleep(minutes(50)).await;
    fleet.tokens().await;
    sleep(seconds(1)).await;
    has("token_store_up", "", " 0");
}
