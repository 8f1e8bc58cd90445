//! Compares what was seen with what a scenario expects, and with what must hold in every one.

use std::{collections::BTreeMap, time::Duration};

use super::{
    format::{End, Expect, Scenario},
    seen::{Call, Ended, Outcome, Seen, TokenRequestSeen},
    words::{TokenName, clock_face},
};

/// Each expectation as its file writes it.
pub(super) fn quotes(text: &str) -> Vec<String> {
    let Ok(table) = text.parse::<toml::Table>() else { return Vec::new() };
    let expectations = table.get("expect").and_then(toml::Value::as_array);
    expectations.into_iter().flatten().map(quote).collect()
}

fn quote(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) => {
            table.iter().map(|(key, value)| format!("{key} = {}", quote(value))).collect::<Vec<_>>().join(", ")
        }
        toml::Value::Array(values) => format!("[{}]", values.iter().map(quote).collect::<Vec<_>>().join(", ")),
        toml::Value::String(text) => format!("{text:?}"),
        other => other.as_integer().map_or_else(|| format!("{other:?}"), |number| number.to_string()),
    }
}

/// What did not come out.
pub(super) fn check(scenario: &Scenario, seen: &Seen, quotes: &[String]) -> Vec<String> {
    let mut failures: Vec<_> = seen.mistakes.iter().take(5).map(|mistake| format!("never: {mistake}")).collect();
    failures.extend(always(scenario, seen).into_iter().take(5).map(|mistake| format!("never: {mistake}")));
    for (number, expect) in scenario.expect.iter().enumerate() {
        if let Err(what) = expect.hold(scenario, seen) {
            let quote = quotes.get(number).map_or("", String::as_str);
            failures.push(format!("[[expect]] number {}: {quote}\n      seen: {what}", number + 1));
        }
    }
    failures
}

/// For one token, never two token requests at once, and never two starts within a second, but for the two quick retries
/// after a failure. The token is that of one instance, or of all that share it in a store that works.
fn always(scenario: &Scenario, seen: &Seen) -> Vec<String> {
    let is_shared = scenario.shares_at_all_times();
    let mut by_token: BTreeMap<_, Vec<&TokenRequestSeen>> = BTreeMap::new();
    for request in &seen.requests {
        let instance = (!is_shared).then_some(request.instance);
        by_token.entry((instance, &request.scope)).or_default().push(request);
    }
    let mut mistakes = Vec::new();
    for requests in by_token.values() {
        let mut quick = 0;
        for pair in requests.windows(2) {
            let [before, after] = pair else { continue };
            let at = clock_face(after.started);
            if before.ended.as_ref().is_none_or(|(ended, _)| *ended > after.started) {
                mistakes.push(format!("two token requests at once for one token, at {at}"));
            }
            if after.started - before.started >= Duration::from_secs(1) {
                quick = 0;
                continue;
            }
            quick += 1;
            if quick > 2 || !matches!(before.ended, Some((_, Ended::Failed(_)))) {
                mistakes.push(format!("token requests for one token within a second, at {at}"));
            }
        }
    }
    mistakes
}

impl Expect {
    fn hold(&self, scenario: &Scenario, seen: &Seen) -> Result<(), String> {
        if let Some(callers) = &self.callers {
            return self.hold_for_callers(callers, scenario, seen);
        }
        if let Some(count) = &self.warnings {
            let found = seen.warnings.len() as u64;
            let first = seen.warnings.first().map_or("", String::as_str);
            return if count.0.contains(found) { Ok(()) } else { Err(format!("{found}, first {first}")) };
        }
        let requests: Vec<_> = seen.requests.iter().filter(|request| self.is_about(request)).collect();
        let starts: Vec<_> = requests.iter().map(|request| request.started).collect();
        if let Some(count) = &self.token_requests {
            let found = match self.in_any {
                Some(window) => most_in_any(window.0, &starts),
                None => starts.len() as u64,
            };
            return if count.0.contains(found) { Ok(()) } else { Err(found.to_string()) };
        }
        if let Some(expected) = &self.token_requests_at {
            let fits = starts.len() == expected.len()
                && expected.iter().zip(&starts).all(|(expected, start)| expected.0.contains(*start));
            return if fits { Ok(()) } else { Err(format!("at {}", listed(&starts))) };
        }
        if let Some(expected) = &self.pauses {
            let pauses: Vec<_> = requests
                .windows(2)
                .filter_map(|pair| Some(pair[1].started.saturating_sub(pair[0].ended.as_ref()?.0)))
                .collect();
            // Only the first so many are meant.
            let fits = pauses.len() >= expected.len()
                && expected.iter().zip(&pauses).all(|(expected, pause)| expected.0.contains(*pause));
            return if fits { Ok(()) } else { Err(format!("pauses of {}", listed(&pauses))) };
        }
        if let Some(expected) = &self.spread {
            let (Some(first), Some(last)) = (starts.first(), starts.last()) else {
                return Err("no token request".into());
            };
            let spread = *last - *first;
            return if expected.0.contains(spread) { Ok(()) } else { Err(format!("{spread:.1?}")) };
        }
        Ok(())
    }

    fn is_about(&self, request: &TokenRequestSeen) -> bool {
        let end = match &request.ended {
            None => End::Pending,
            Some((_, Ended::Token(..))) => End::Succeeded,
            Some((_, Ended::Failed(_))) => End::Failed,
            Some((_, Ended::Abandoned)) => End::Abandoned,
        };
        self.covers(request.started)
            && self.scope.as_ref().is_none_or(|scope| *scope == request.scope)
            && self.that.is_none_or(|that| that == end)
    }

    fn hold_for_callers(&self, name: &str, scenario: &Scenario, seen: &Seen) -> Result<(), String> {
        let named = |call: &Call| name == "all" || scenario.callers[call.group].name == name;
        let calls: Vec<_> = seen
            .calls
            .iter()
            .filter(|call| named(call) && self.covers(call.at))
            .filter(|call| self.scope.as_ref().is_none_or(|scope| *scope == call.scope))
            .collect();
        let so = calls.iter().filter(|call| self.is_so(call)).count();
        if let Some(count) = &self.how_many {
            return if count.0.contains(so as u64) { Ok(()) } else { Err(format!("{so} of {}", calls.len())) };
        }
        match calls.iter().find(|call| !self.is_so(call)) {
            _ if calls.is_empty() => Err("no call".into()),
            None => Ok(()),
            Some(call) => {
                let mut told = call.tell();
                if !call.waited.is_zero() {
                    told = format!("{told}, waited {:.3?}", call.waited);
                }
                if let Some(retry_after) = call.retry_after() {
                    told = format!("{told}, to come back in {retry_after:.3?}");
                }
                let (others, all) = (calls.len() - so, calls.len());
                Err(format!("{others} of {all} otherwise, first at {}: {told}", clock_face(call.at)))
            }
        }
    }

    fn is_so(&self, call: &Call) -> bool {
        let error = match &call.outcome {
            Outcome::Failed(error) => Some(error),
            _ => None,
        };
        let status = match &call.outcome {
            Outcome::Response(status) => Some(*status),
            _ => error.and_then(|error| Some(error.status()?.as_u16())),
        };
        let token = call.token.map(TokenName);
        self.are.is_none_or(|are| are == call.fate())
            && self.with.as_ref().is_none_or(|with| token.is_some_and(|token| with.0.contains(&token)))
            && self.waited.as_ref().is_none_or(|waited| waited.0.contains(call.waited))
            && self.sent.is_none_or(|sent| sent == call.sent)
            && self.kind.as_ref().is_none_or(|kind| error.is_some_and(|error| format!("{:?}", error.kind()) == *kind))
            && self.error.as_ref().is_none_or(|code| {
                error.and_then(|error| error.response()).is_some_and(|response| response.error == *code)
            })
            && self.status.is_none_or(|expected| status == Some(expected))
            && self
                .retry_after
                .as_ref()
                .is_none_or(|range| call.retry_after().is_some_and(|time| range.0.contains(time)))
    }
}

/// In the worst window of that length.
fn most_in_any(window: Duration, starts: &[Duration]) -> u64 {
    let in_window = |first: &Duration| starts.iter().filter(|start| (*first..*first + window).contains(*start)).count();
    starts.iter().map(in_window).max().unwrap_or_default() as u64
}

fn listed(times: &[Duration]) -> String {
    let mut listed: Vec<_> = times.iter().take(30).map(|time| clock_face(*time)).collect();
    if times.len() > listed.len() {
        listed.push(format!("... {} in all", times.len()));
    }
    if listed.is_empty() { "no time".into() } else { listed.join(", ") }
}
