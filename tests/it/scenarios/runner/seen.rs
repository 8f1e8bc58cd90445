//! What happened, and how it is told.

use std::{fmt::Write as _, time::Duration};

use client_credentials::Error;

use super::{
    format::{Fate, Scenario},
    words::{TokenName, clock_face},
};

#[derive(Default)]
pub(super) struct Seen {
    pub(super) requests: Vec<TokenRequestSeen>,
    pub(super) tokens: Vec<Issued>,
    pub(super) calls: Vec<Call>,
    /// Warnings and errors in the log.
    pub(super) warnings: Vec<String>,
    /// Operations of the store that the instances share.
    pub(super) store_operations: u64,
    /// What must never happen, whatever a scenario expects.
    pub(super) mistakes: Vec<String>,
}

pub(super) struct TokenRequestSeen {
    pub(super) instance: u64,
    pub(super) scope: String,
    pub(super) started: Duration,
    pub(super) ended: Option<(Duration, Ended)>,
}

pub(super) enum Ended {
    Token(usize, String),
    Failed(String),
    Abandoned,
}

pub(super) struct Issued {
    pub(super) scope: String,
    pub(super) responded: Duration,
    pub(super) dies_at: Option<Duration>,
    pub(super) revoked: bool,
}

pub(super) struct Call {
    /// Which `[[callers]]`.
    pub(super) group: usize,
    pub(super) scope: String,
    pub(super) at: Duration,
    /// Not counting the API's own time.
    pub(super) waited: Duration,
    pub(super) sent: u64,
    pub(super) token: Option<usize>,
    pub(super) outcome: Outcome,
}

pub(super) enum Outcome {
    Response(u16),
    Failed(Error),
    Gone,
    Waiting,
}

impl Call {
    pub(super) fn fate(&self) -> Fate {
        match &self.outcome {
            Outcome::Response(200..300) => Fate::Served,
            Outcome::Response(_) => Fate::Rejected,
            Outcome::Failed(_) => Fate::Failed,
            Outcome::Gone => Fate::Gone,
            Outcome::Waiting => Fate::Waiting,
        }
    }

    pub(super) fn tell(&self) -> String {
        let with = self.token.map_or("no token".to_owned(), |token| TokenName(token).to_string());
        let twice = if self.sent > 1 { ", sent twice" } else { "" };
        match &self.outcome {
            Outcome::Response(200..300) => format!("served with {with}{twice}"),
            Outcome::Response(status) => format!("rejected ({status}) with {with}{twice}"),
            Outcome::Failed(error) => {
                let mut text = format!("failed ({:?}", error.kind());
                if let Some(status) = error.status() {
                    let _ = write!(text, ", {}", status.as_u16());
                }
                if let Some(response) = error.response() {
                    let _ = write!(text, ", {}", response.error);
                }
                text + ")"
            }
            Outcome::Gone => "gone".into(),
            Outcome::Waiting => "still waiting at the end".into(),
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match &self.outcome {
            Outcome::Failed(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// Calls of one group that came out alike, one after the other.
struct Run<'a> {
    first: &'a Call,
    last: &'a Call,
    count: usize,
    told: String,
    waited: (Duration, Duration),
    retry_after: Option<(Duration, Duration)>,
}

const MOST_LINES: usize = 60;

/// The time line of what was seen, one line for what is alike.
pub(super) fn time_line(scenario: &Scenario, seen: &Seen) -> String {
    let mut lines: Vec<(Duration, String)> = Vec::new();
    for (number, request) in seen.requests.iter().enumerate() {
        lines.push((request.started, tell(scenario, number, request)));
    }
    for (group, callers) in scenario.callers.iter().enumerate() {
        let mut run: Option<Run<'_>> = None;
        let calls = seen.calls.iter().filter(|call| call.group == group);
        for call in calls {
            let told = call.tell();
            match &mut run {
                Some(run) if run.told == told => run.add(call),
                _ => lines.extend(run.replace(Run::new(call, told)).map(|run| run.tell(&callers.name))),
            }
        }
        lines.extend(run.map(|run| run.tell(&callers.name)));
    }
    for event in &scenario.clock {
        let what = match (event.suspended_for, event.frozen_for, event.wall_clock_steps) {
            (Some(time), ..) => format!("the machine sleeps for {time}"),
            (_, Some(time), _) => format!("the process stands still for {time}"),
            (.., Some(step)) => format!("the wall clock is set, by {} ms", step.milliseconds),
            _ => continue,
        };
        lines.push((event.at.0, what));
    }
    lines.sort_by_key(|(time, _)| *time);
    let mut text = String::new();
    let skipped = lines.len().saturating_sub(MOST_LINES);
    for (number, (time, line)) in lines.iter().enumerate() {
        if number == MOST_LINES / 2 && skipped > 0 {
            let _ = writeln!(text, "     ... {skipped} more lines ...");
        }
        if number < MOST_LINES / 2 || number >= MOST_LINES / 2 + skipped {
            let _ = writeln!(text, "    {:>11}  {line}", clock_face(*time));
        }
    }
    text
}

fn tell(scenario: &Scenario, number: usize, request: &TokenRequestSeen) -> String {
    let mut text = format!("token request {}", number + 1);
    if !request.scope.is_empty() {
        let _ = write!(text, " for {}", request.scope);
    }
    if scenario.instances > 1 {
        let _ = write!(text, " by instance {}", request.instance + 1);
    }
    match &request.ended {
        Some((_, Ended::Token(token, life))) => {
            let _ = write!(text, ": {} for {life}", TokenName(*token));
        }
        Some((_, Ended::Failed(what))) => {
            let _ = write!(text, ": {what}");
        }
        Some((_, Ended::Abandoned)) => text.push_str(": given up"),
        None => text.push_str(": no response yet"),
    }
    if let Some((ended, _)) = &request.ended
        && *ended > request.started
    {
        let _ = write!(text, " at {}", clock_face(*ended));
    }
    text
}

impl<'a> Run<'a> {
    fn new(call: &'a Call, told: String) -> Self {
        let retry_after = call.retry_after().map(|time| (time, time));
        Self { first: call, last: call, count: 1, told, waited: (call.waited, call.waited), retry_after }
    }

    fn add(&mut self, call: &'a Call) {
        self.last = call;
        self.count += 1;
        self.waited = (self.waited.0.min(call.waited), self.waited.1.max(call.waited));
        if let (Some((least, most)), Some(time)) = (self.retry_after, call.retry_after()) {
            self.retry_after = Some((least.min(time), most.max(time)));
        }
    }

    fn tell(&self, name: &str) -> (Duration, String) {
        let mut text = format!("{name}: ");
        if self.count > 1 {
            let _ = write!(text, "{} until {}, ", self.count, clock_face(self.last.at));
        }
        text.push_str(&self.told);
        if !self.waited.1.is_zero() {
            let _ = write!(text, ", waited {}", between(self.waited));
        }
        if let Some(retry_after) = self.retry_after {
            let _ = write!(text, ", to come back in {}", between(retry_after));
        }
        (self.first.at, text)
    }
}

fn between((least, most): (Duration, Duration)) -> String {
    if least == most { format!("{most:.1?}") } else { format!("{least:.1?} to {most:.1?}") }
}
