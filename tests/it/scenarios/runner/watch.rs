//! What the log and the metrics say of a scenario, against what was seen in it.

use std::collections::BTreeMap;

use metrics_exporter_prometheus::PrometheusBuilder;
use prometheus_parse::{Scrape, Value};
use tracing::Level;

use super::{
    format::Scenario,
    play::SECRET,
    seen::{Call, Outcome, Seen},
};
use crate::support::log::Log;

/// Plays, with a subscriber at its finest and a recorder, and counts as mistakes what they say otherwise than it was.
pub(super) fn over(play: impl FnOnce() -> Result<(Scenario, Seen), String>) -> Result<(Scenario, Seen), String> {
    let recorder = PrometheusBuilder::new().set_buckets(&[1.0]).expect("buckets").build_recorder();
    let handle = recorder.handle();
    let (log, guard) = Log::start();
    let (scenario, mut seen) = metrics::with_local_recorder(&recorder, play)?;
    drop(guard);
    let events = log.drain();
    let said: Vec<_> = events.iter().map(|(_, line)| line.as_str()).collect();
    let said = said.join("\n");
    let mistakes = mistakes(&seen, &said, &handle.render());
    seen.mistakes.extend(mistakes);
    seen.warnings = events.into_iter().filter(|(level, _)| *level <= Level::WARN).map(|(_, line)| line).collect();
    Ok((scenario, seen))
}

fn mistakes(seen: &Seen, log: &str, exposition: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut expect = |what: &str, said: u64, counted: u64| {
        if said != counted {
            mistakes.push(format!("{what}: {said}, but it was {counted}"));
        }
    };
    let lines = |start: &str| log.lines().filter(|line| line.starts_with(start)).count() as u64;
    let requests = seen.requests.len() as u64;
    let counted = count(exposition);
    let total = |metric: &str| counted.iter().filter(|((of, _), _)| of == metric).map(|(_, number)| number).sum();
    let token_requests = "client_credentials_token_requests_total";
    expect("spans of token requests", lines("open token_request: "), requests);
    expect("spans with an outcome", lines("record token_request: outcome="), requests);
    expect("token requests counted", total(token_requests), requests);
    expect("durations recorded", total("client_credentials_token_request_duration_seconds"), requests);
    let ok = lines("record token_request: outcome=\"ok\"");
    let counted_ok = counted.get(&(token_requests.to_owned(), "ok".to_owned())).copied().unwrap_or_default();
    expect("token requests counted as ok", counted_ok, ok);

    let waited = seen.calls.iter().filter(|call| !call.waited.is_zero() && !matches!(call.outcome, Outcome::Waiting));
    let (waited, waits) = (waited.count() as u64, total("client_credentials_wait_duration_seconds"));
    if waits < waited {
        mistakes.push(format!("{waits} waits were counted, but {waited} callers waited"));
    }
    // Nothing is said of a request whose token is cached.
    let served = |call: &&Call| matches!(call.outcome, Outcome::Response(200..300)) && call.sent == 1;
    let others = (seen.calls.len() - seen.calls.iter().filter(served).count()) as u64;
    let events = log.lines().count() as u64 - lines("open ") - lines("record ") - lines("token_request follows ");
    if events > 2 * (requests + others + seen.store_operations) {
        mistakes.push(format!(
            "{events} events were logged of {requests} token requests and {others} calls that did not go smoothly"
        ));
    }
    for (what, text) in [("log", log), ("metrics", exposition)] {
        let token =
            (0..seen.tokens.len()).map(|token| format!("token-{}", token + 1)).find(|token| text.contains(token));
        if let Some(token) = token.or_else(|| text.contains(SECRET).then(|| "the secret".to_owned())) {
            mistakes.push(format!("{token} is in the {what}"));
        }
    }
    if exposition.contains("key-") {
        mistakes.push("a scope became a label".to_owned());
    }
    mistakes
}

/// By metric and outcome; of a histogram its observations.
fn count(exposition: &str) -> BTreeMap<(String, String), u64> {
    let samples =
        Scrape::parse(exposition.lines().map(|line| Ok(line.to_owned()))).expect("Prometheus' format").samples;
    let mut counted = BTreeMap::new();
    for sample in samples {
        let number = match &sample.value {
            Value::Counter(value) => *value as u64,
            Value::Histogram(buckets) => buckets.last().expect("the bucket of all").count as u64,
            _ => continue,
        };
        let outcome = sample.labels.get("outcome").unwrap_or_default().to_owned();
        *counted.entry((sample.metric, outcome)).or_default() += number;
    }
    counted
}
