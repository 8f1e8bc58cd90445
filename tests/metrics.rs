//! What is counted, as Prometheus reads it; and that the dashboard and the alerts in `docs/` ask for what there is.
#![cfg(all(feature = "metrics", feature = "test-util"))]

#[path = "support/source.rs"]
mod source;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use client_credentials::{BearerAuthLayer, Error, TokenCache, TokenRequest, TryClone};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use prometheus_parse::{Sample, Scrape, Value};
use source::{Answer, Source, down, hours, millis, minutes, seconds};
use support::fake::Api;
use tokio::time::{advance, sleep};
use tower::ServiceExt;

/// Every label but these has few values by its kind; `le` is Prometheus' own.
const LABELS: [&str; 6] = ["source", "outcome", "cause", "reason", "kind", "le"];

struct Metrics(PrometheusHandle);

impl Metrics {
    fn start(recorder: &PrometheusRecorder) -> (Self, metrics::LocalRecorderGuard<'_>) {
        (Self(recorder.handle()), metrics::set_default_local_recorder(recorder))
    }

    fn scrape(&self) -> Vec<Sample> {
        let text = self.0.render();
        Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("Prometheus' text format").samples
    }

    /// The values of a counter or gauge, by its labels without `source`, joined by spaces; of a histogram the number of observations.
    fn values(&self, name: &str) -> BTreeMap<String, u64> {
        let number = |value: &Value| match value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value as u64,
            Value::Histogram(buckets) => buckets.last().expect("the bucket of all").count as u64,
            Value::Summary(_) => unreachable!("no summaries"),
        };
        self.scrape()
            .iter()
            .filter(|sample| sample.metric == format!("client_credentials_{name}"))
            .map(|sample| {
                let labels: BTreeMap<_, _> = sample.labels.iter().filter(|(name, _)| *name != "source").collect();
                (labels.into_values().cloned().collect::<Vec<_>>().join(" "), number(&sample.value))
            })
            .filter(|(_, number)| *number > 0)
            .collect()
    }
}

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().set_buckets(&[0.01, 0.1, 1.0, 10.0]).expect("buckets").build_recorder()
}

fn counted<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected.into_iter().map(|(labels, number)| (labels.to_owned(), number)).collect()
}

async fn send(tokens: &TokenCache, api: &Api) {
    let layer = BearerAuthLayer::new(tokens.clone()).with_replay(TryClone);
    let service = tower::ServiceBuilder::new().layer(layer).service(api.clone());
    let request =
        http::Request::get("https://api.example.com/").body(support::fake::Body::default()).expect("a request");
    let _ = service.oneshot(request).await;
}

/// Everything that can be counted, on one cache.
async fn a_life(source: &Source, tokens: &TokenCache) {
    source.takes(millis(50));
    let mut herd = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let tokens = tokens.clone();
        herd.spawn(async move { tokens.token().await });
    }
    herd.join_all().await;
    for _ in 0..100 {
        tokens.token().await.expect("the token at hand");
    }
    sleep(seconds(60)).await;
    let second_token = Api::accepting("token-2", Some("Bearer error=\"invalid_token\""));
    send(tokens, &second_token).await;
    sleep(seconds(60)).await;
    send(tokens, &Api::accepting("no token at all", None)).await;
    sleep(seconds(2)).await;
    tokens.reject(&tokens.token().await.expect("a token"));
    sleep(seconds(1)).await;
    source.answer(Answer::Fails(Error::transient("busy").with_retry_after(seconds(7))));
    sleep(minutes(50)).await;
    tokens.token().await.expect("the old token");
    sleep(seconds(60)).await;
    source.answer(Answer::Fails(Error::permanent("refused")));
    advance(hours(1)).await;
    tokens.token().await.expect_err("refused");
    tokens.token().await.expect_err("held back");
}

#[tokio::test(start_paused = true)]
async fn a_life_is_counted_as_it_went() {
    let recorder = recorder();
    let (metrics, _guard) = Metrics::start(&recorder);
    let source = Source::new();
    let tokens = source.cache();
    a_life(&source, &tokens).await;

    let requests = metrics.values("token_requests_total");
    assert_eq!(requests.get("ok"), Some(&4), "{requests:?}");
    assert_eq!(requests.values().sum::<u64>(), source.count() as u64, "every exchange is counted: {requests:?}");
    assert_eq!(metrics.values("token_request_duration_seconds"), requests);
    let renewals = counted([("aging error", 1), ("cold ok", 1), ("expired error", 1), ("rejected ok", 3)]);
    assert_eq!(metrics.values("renewals_total"), renewals);
    assert_eq!(metrics.values("hold_backs_total"), counted([("retry_after", 1), ("verdict", 1)]));
    assert_eq!(metrics.values("rejections_total"), counted([("bare", 1), ("invalid_token", 1), ("reported", 1)]));
    assert_eq!(metrics.values("replays_total"), counted([("answered", 1), ("rejected", 1)]));
    // Ten at the start, and one for each of the two answers that rejected a token; nobody who was served at once.
    assert_eq!(metrics.values("wait_duration_seconds"), counted([("error", 2), ("ok", 12)]));
}

#[tokio::test(start_paused = true)]
async fn the_expiry_is_the_end_of_the_sources_own_token_on_the_wall_clock() {
    let recorder = recorder();
    let (metrics, _guard) = Metrics::start(&recorder);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    let tokens = Source::new().cache();
    tokens.token().await.expect("a token");
    let other = TokenRequest::builder().scope("other").build().expect("a scope");
    advance(minutes(10)).await;
    tokens.token_for(&other).await.expect("a token");
    let until = metrics.values("token_expiry_timestamp_seconds")[""];
    assert!((now + 3590..now + 3650).contains(&until), "{until}, now {now}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_keys_make_no_more_series_than_one() {
    let recorder = recorder();
    let (metrics, _guard) = Metrics::start(&recorder);
    let source = Source::new();
    let tokens = source.cache();
    let ask = async |key: usize| {
        let request = TokenRequest::builder().scope(format!("key-{key}")).build().expect("a scope");
        let _ = tokens.token_for(&request).await;
    };
    let series = |samples: Vec<Sample>| samples.len();
    ask(0).await;
    source.answer(down());
    ask(1).await;
    let before = series(metrics.scrape());
    for key in 2..1000 {
        sleep(seconds(1)).await;
        ask(key).await;
    }
    assert_eq!(series(metrics.scrape()), before);
    assert!(!metrics.0.render().contains("key-"));
}

#[tokio::test(start_paused = true)]
async fn dashboard_and_alerts_ask_for_what_is_counted() {
    let recorder = recorder();
    let (metrics, _guard) = Metrics::start(&recorder);
    let source = Source::new();
    a_life(&source, &source.cache()).await;
    let mut there = BTreeSet::new();
    for sample in metrics.scrape() {
        assert!(sample.labels.keys().all(|label| LABELS.contains(&label.as_str())), "{sample:?}");
        if matches!(sample.value, Value::Histogram(_)) {
            there.extend(["bucket", "sum", "count"].map(|part| format!("{}_{part}", sample.metric)));
        } else {
            there.insert(sample.metric.clone());
        }
    }
    let names = |text: &str| {
        let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        text.split(|character| !word(character))
            .filter(|name| name.starts_with("client_credentials_"))
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let dashboard = include_str!("../docs/grafana-dashboard.json");
    serde_json::from_str::<serde_json::Value>(dashboard).expect("JSON");
    let alerts = include_str!("../docs/prometheus-alerts.yml");
    for (file, text) in [("dashboard", dashboard), ("alerts", alerts)] {
        let unknown: Vec<_> = names(text).difference(&there).cloned().collect();
        assert!(unknown.is_empty(), "the {file} asks for {unknown:?}; there is {there:?}");
    }
    let parts: BTreeSet<_> = there.iter().filter(|name| name.ends_with("_bucket")).cloned().collect();
    let plain = metrics.scrape().into_iter().map(|sample| sample.metric);
    let plain: BTreeSet<_> = plain
        .filter(|name| {
            !["_sum", "_count"]
                .iter()
                .any(|part| name.strip_suffix(part).is_some_and(|name| parts.contains(&format!("{name}_bucket"))))
        })
        .collect();
    let documented = names(include_str!("../docs/in-production.md"));
    assert_eq!(plain, documented, "the table in docs/in-production.md names each metric, and no other");
}
