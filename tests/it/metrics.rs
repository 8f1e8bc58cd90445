//! What is counted, as Prometheus reads it; and that the dashboard and the alerts in `docs/` ask for what there is.

use crate::{alerts::promtool, support};
use std::collections::{BTreeMap, BTreeSet};

use crate::support::api::Api;
use crate::support::source::{Outcome, Source, down, hours, millis, minutes, seconds};
use client_credentials::{BearerAuthLayer, Error, TokenCache, TokenRequest, TryClone};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use prometheus_parse::{Sample, Scrape, Value};
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

    /// The values of a counter or gauge, by its labels without `source`, joined by spaces; of a histogram the number of
    /// observations.
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
        http::Request::get("https://api.example.com/").body(support::api::Body::default()).expect("a request");
    let _ = service.oneshot(request).await;
}

/// Everything that can be counted, on one cache.
async fn a_life(source: &Source, tokens: &TokenCache) {
    source.delay(millis(50));
    let mut herd = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let tokens = tokens.clone();
        herd.spawn(async move { tokens.token().await });
    }
    herd.join_all().await;
    for _ in 0..100 {
        tokens.token().await.expect("the cached token");
    }
    sleep(seconds(60)).await;
    let second_token = Api::accepting("token-2", Some("Bearer error=\"invalid_token\""));
    send(tokens, &second_token).await;
    sleep(seconds(60)).await;
    send(tokens, &Api::accepting("no token at all", None)).await;
    sleep(seconds(2)).await;
    tokens.reject(&tokens.token().await.expect("a token"));
    sleep(seconds(1)).await;
    source.respond(Outcome::Fails(Error::transient("busy").with_retry_after(seconds(7))));
    sleep(minutes(50)).await;
    tokens.token().await.expect("the old token");
    sleep(seconds(60)).await;
    source.respond(Outcome::Fails(Error::permanent("refused")));
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
    // Ten at the start, and one for each of the two responses that rejected a token; nobody who was served at once.
    assert_eq!(metrics.values("wait_duration_seconds"), counted([("error", 2), ("ok", 12)]));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_no_other_token_follows_is_no_request_without_a_token() {
    let recorder = recorder();
    let (metrics, _guard) = Metrics::start(&recorder);
    let source = Source::new();
    let tokens = source.cache();
    tokens.token().await.expect("a token");
    source.respond(Outcome::Fails(Error::permanent("refused")));
    send(&tokens, &Api::accepting("no token at all", Some("Bearer error=\"invalid_token\""))).await;
    assert_eq!(metrics.values("wait_duration_seconds"), counted([("ok", 1), ("rejected", 1)]));
}

#[tokio::test(start_paused = true)]
async fn callers_that_do_not_wait_for_the_end_are_counted_with_how_long_they_waited() {
    let recorder = recorder();
    let (metrics, _guard) = Metrics::start(&recorder);
    let source = Source::new();
    source.respond(Outcome::Hangs);
    let tokens = source.cache();
    for _ in 0..5 {
        tokio::time::timeout(seconds(2), tokens.token()).await.expect_err("a time limit of the caller's own");
    }
    assert_eq!(metrics.values("wait_duration_seconds"), counted([("gone", 5)]));
    let sum: f64 = metrics
        .scrape()
        .iter()
        .filter(|sample| sample.metric == "client_credentials_wait_duration_seconds_sum")
        .map(|sample| match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => value,
            _ => 0.0,
        })
        .sum();
    assert!((9.9..10.1).contains(&sum), "{sum}");
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
    source.respond(down());
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
async fn every_metric_has_a_description_and_promtool_finds_no_fault() {
    let recorder = recorder();
    let (metrics, _guard) = Metrics::start(&recorder);
    let source = Source::new();
    a_life(&source, &source.cache()).await;
    #[cfg(feature = "store")]
    support::instances::Fleet::of(2).tokens().await;
    let text = metrics.0.render();
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let help = text.lines().find_map(|line| line.strip_prefix(&format!("# HELP {name} ")));
        assert!(help.is_some_and(|help| help.len() > 10), "{name} has no description");
    }
    promtool(&["check", "metrics"], &text);
}

/// What there is to ask for: each metric's labels and their values.
async fn all_there_is() -> Vec<Sample> {
    let recorder = recorder();
    let (metrics, _guard) = Metrics::start(&recorder);
    let source = Source::new();
    a_life(&source, &source.cache()).await;
    let hanging = Source::new();
    hanging.respond(Outcome::Hangs);
    let _ = tokio::time::timeout(seconds(1), hanging.cache().token()).await;
    #[cfg(feature = "store")]
    {
        let fleet = support::instances::Fleet::of(3);
        fleet.auth.respond_always(client_credentials::testing::MockResponse::usual().with_delay(millis(50)));
        tokio::join!(fleet.instances[0].token(), fleet.instances[1].token());
        fleet.tokens().await;
    }
    metrics.scrape()
}

#[tokio::test(start_paused = true)]
async fn the_table_in_the_docs_has_each_metric_with_its_labels_and_no_other() {
    let table: BTreeMap<_, _> = include_str!("../../docs/in-production.md")
        .lines()
        .filter_map(|line| Some((line.strip_prefix("| `client_credentials_")?.split_once('`')?.0, line)))
        .collect();
    let mut documented: BTreeSet<_> = table.keys().map(|name| format!("client_credentials_{name}")).collect();
    for sample in all_there_is().await {
        let name =
            sample.metric.strip_suffix("_sum").or(sample.metric.strip_suffix("_count")).unwrap_or(&sample.metric);
        documented.remove(name);
        let row = table.get(name.trim_start_matches("client_credentials_"));
        let row = row.unwrap_or_else(|| panic!("{name} is not in the table of docs/in-production.md"));
        for (label, value) in sample.labels.iter().filter(|(label, _)| *label != "source" && *label != "le") {
            assert!(LABELS.contains(&label.as_str()), "{name} has a label {label}, whose values nobody bounds");
            assert!(row.contains(&format!("`{label}`")), "{label} in {row}");
            let value_is_there = ["error.type", "likewise", value.as_str()].iter().any(|word| row.contains(word));
            assert!(value_is_there, "{label}={value} in {row}");
        }
    }
    assert!(documented.is_empty(), "documented, but never counted: {documented:?}");
}

#[tokio::test(start_paused = true)]
async fn dashboard_and_alerts_ask_for_metrics_labels_and_values_that_there_are() {
    let mut there: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for sample in all_there_is().await {
        let (name, histogram) = (sample.metric, matches!(sample.value, Value::Histogram(_)));
        let names = if histogram { vec![format!("{name}_bucket")] } else { vec![name] };
        for name in names {
            let labels = there.entry(name).or_default();
            for (label, value) in sample.labels.iter() {
                labels.entry(label.clone()).or_default().insert(value.clone());
            }
            if histogram {
                labels.entry("le".into()).or_default();
            }
        }
    }
    let dashboard = serde_json::from_str(include_str!("../../docs/grafana-dashboard.json")).expect("JSON");
    let mut queries = Vec::new();
    collect_queries(&dashboard, &mut queries);
    assert!(queries.len() > 8, "{queries:?}");
    queries.push(include_str!("../../docs/prometheus-alerts.yml").to_owned());
    for query in queries {
        for (at, _) in query.match_indices("client_credentials_") {
            let rest = &query[at..];
            let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
            let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
            let labels = there.get(name).unwrap_or_else(|| panic!("no {name} is counted: {query}"));
            let Some(matchers) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { continue };
            for matcher in matchers.0.split(',') {
                let (label, value) = matcher.split_once(['=', '!']).expect("a label and a value");
                let values = labels.get(label.trim()).unwrap_or_else(|| panic!("{name} has no label {label}: {query}"));
                let value = value.trim_matches(['=', '~', '"']);
                assert!(value == "$source" || values.contains(value), "{label} of {name} is never {value}: {query}");
            }
        }
        for labels in query.split("by (").skip(1).filter_map(|rest| rest.split_once(')')) {
            for label in labels.0.split(',').map(str::trim) {
                let known = ["job", "instance"].iter().chain(&LABELS).any(|known| *known == label);
                assert!(known, "there is no label {label}: {query}");
            }
        }
    }
}

/// What the panels and the variables of a dashboard ask for.
fn collect_queries(value: &serde_json::Value, queries: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == "expr" || name == "query" => queries.push(text.to_owned()),
                    _ => collect_queries(value, queries),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect_queries(value, queries)),
        _ => {}
    }
}
