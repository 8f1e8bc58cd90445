//! What a file can say. The README.md of the scenarios explains it to those who write them.

use std::time::Duration;

use serde::Deserialize;

use super::words::{Count, OneOrMany, Step, Time, Times, TokenName};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) title: String,
    pub(super) why: String,
    /// How long the story is.
    pub(super) lasts: Time,
    /// So many processes with a cache of their own, each with all the callers.
    #[serde(default = "one")]
    pub(super) instances: u64,
    #[serde(default)]
    pub(super) settings: Settings,
    /// The last handle of every cache is dropped.
    pub(super) handles_dropped: Option<Time>,
    #[serde(default)]
    pub(super) server: Vec<Answer>,
    #[serde(default)]
    pub(super) revoke: Vec<Revoke>,
    #[serde(default)]
    pub(super) api: Vec<Api>,
    #[serde(default)]
    pub(super) callers: Vec<Callers>,
    #[serde(default)]
    pub(super) clock: Vec<ClockEvent>,
    #[serde(default)]
    pub(super) expect: Vec<Expect>,
}

/// What a user of the crate can set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default)]
    pub(super) keep_warm: bool,
    pub(super) renewal_share: Option<f64>,
    pub(super) assumed_lifetime: Option<Time>,
    /// Of one exchange.
    pub(super) timeout: Option<Time>,
    /// Of one caller.
    pub(super) wait_limit: Option<Time>,
    /// Where the tokens may go; without it, anywhere.
    pub(super) origin: Option<String>,
}

/// What the authorization server answers; of several that fit, the last one in the file counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) from: Time,
    pub(super) until: Option<Time>,
    /// Only so many token requests.
    pub(super) times: Option<u64>,
    /// Only token requests for these scopes.
    pub(super) scope: Option<OneOrMany<String>>,
    pub(super) answers: Option<toml::Value>,
    pub(super) takes: Option<Time>,
    pub(super) expires_in: Option<toml::Value>,
    pub(super) refresh_in: Option<toml::Value>,
    pub(super) token: Option<Handed>,
    pub(super) error: Option<String>,
    pub(super) body: Option<String>,
    pub(super) retry_after: Option<toml::Value>,
    /// As a date, so far ahead of the answer's own.
    pub(super) retry_after_date: Option<Time>,
    /// By how much the server's clock, which its dates come from, is ahead of ours.
    pub(super) clock_ahead: Option<Step>,
    #[serde(skip)]
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Token,
    Status(u16),
    Refused,
    Reset,
    NameNotFound,
    Never,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Handed {
    #[serde(rename = "new")]
    New,
    #[serde(rename = "same")]
    Same,
    #[serde(rename = "same until it expires")]
    SameUntilItExpires,
    #[serde(rename = "same even when it has expired")]
    SameEvenExpired,
}

/// From then on every API takes the tokens issued so far for dead.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    pub(super) at: Option<OneOrMany<Time>>,
    pub(super) from: Option<Time>,
    pub(super) until: Option<Time>,
    pub(super) every: Option<Time>,
    pub(super) scope: Option<String>,
}

/// What an API answers; of several that fit, the last one in the file counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    #[serde(default = "api")]
    pub(super) name: String,
    #[serde(default)]
    pub(super) from: Time,
    pub(super) until: Option<Time>,
    /// Without it: the expired and the revoked tokens.
    pub(super) rejects: Option<OneOrMany<Rejects>>,
    #[serde(default = "unauthorized")]
    pub(super) status: u16,
    #[serde(default = "invalid_token")]
    pub(super) challenge: String,
    pub(super) takes: Option<Time>,
    /// It rejects a token that is younger.
    pub(super) knows_tokens_after: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejects {
    Every,
    /// Not even expired and revoked ones.
    None,
    This(TokenName),
}

impl TryFrom<String> for Rejects {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "every token" => Ok(Self::Every),
            "no token" => Ok(Self::None),
            _ => TokenName::try_from(text)
                .map(Self::This)
                .map_err(|what| format!("{what}; or write \"every token\" or \"no token\"")),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Callers {
    #[serde(default = "callers")]
    pub(super) name: String,
    pub(super) at: Option<OneOrMany<Time>>,
    pub(super) from: Option<Time>,
    pub(super) until: Option<Time>,
    pub(super) every: Option<Time>,
    /// So many at each of those times.
    #[serde(default = "one")]
    pub(super) count: u64,
    #[serde(default = "api")]
    pub(super) api: String,
    /// So many hosts of that API, to which they send in turn.
    #[serde(default = "one")]
    pub(super) hosts: u64,
    pub(super) scope: Option<String>,
    /// So many scopes besides, `key-1`, `key-2` ..., one for each of `count` callers in turn.
    pub(super) scopes: Option<u64>,
    /// Whether the layer sends a rejected request again.
    #[serde(default)]
    pub(super) replays: bool,
    /// They ask for the token themselves, and report a 401 that they get.
    #[serde(default)]
    pub(super) by_hand: bool,
    pub(super) gives_up_after: Option<Time>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClockEvent {
    pub(super) at: Time,
    /// The machine sleeps: nothing runs, the wall clock goes on, the monotonic one stands.
    pub(super) suspended_for: Option<Time>,
    /// The process stands still: nothing runs, both clocks go on.
    pub(super) frozen_for: Option<Time>,
    /// Somebody sets the wall clock.
    pub(super) wall_clock_steps: Option<Step>,
}

/// What must be seen, between `from` and `until` (or at one time).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) from: Option<Time>,
    pub(super) until: Option<Time>,
    pub(super) at: Option<Time>,
    pub(super) scope: Option<String>,

    /// How many token requests started.
    pub(super) token_requests: Option<Count>,
    /// In the worst window of that length.
    pub(super) in_any: Option<Time>,
    /// Only those that ended so.
    pub(super) that: Option<End>,
    /// When each of them started.
    pub(super) token_requests_at: Option<Vec<Times>>,
    /// From the end of each to the start of the next.
    pub(super) pauses: Option<Vec<Times>>,
    /// From the first to the last of them.
    pub(super) spread: Option<Times>,

    /// Those of this name, or `all`.
    pub(super) callers: Option<String>,
    pub(super) are: Option<Fate>,
    /// How many are so; without it, all of them, and there is at least one.
    pub(super) how_many: Option<Count>,
    pub(super) with: Option<OneOrMany<TokenName>>,
    pub(super) waited: Option<Times>,
    /// The API saw the request so often.
    pub(super) sent: Option<u64>,
    pub(super) kind: Option<String>,
    pub(super) error: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<Times>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum End {
    Succeeded,
    Failed,
    Abandoned,
    Unanswered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    /// The API took the request.
    Served,
    /// The API's refusal reached the caller.
    Rejected,
    /// There was no token.
    Failed,
    /// The caller went away.
    Gone,
    /// The scenario ended before the call.
    Waiting,
}

fn one() -> u64 {
    1
}

fn api() -> String {
    "api".to_owned()
}

fn callers() -> String {
    "callers".to_owned()
}

fn unauthorized() -> u16 {
    401
}

fn invalid_token() -> String {
    "Bearer error=\"invalid_token\"".to_owned()
}

impl Scenario {
    /// # Errors
    ///
    /// What the file says that cannot be meant.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let lasts = scenario.lasts;
        if scenario.instances == 0 {
            return Err("`instances` is 0; there is nobody to look at".into());
        }
        for (number, answer) in scenario.server.iter_mut().enumerate() {
            answer.check(lasts).map_err(|what| format!("[[server]] number {}: {what}", number + 1))?;
        }
        for (number, callers) in scenario.callers.iter().enumerate() {
            let last = callers.until.into_iter().chain(callers.at.iter().flat_map(|at| at.0.iter().copied())).max();
            if let (Some(dropped), Some(last)) = (scenario.handles_dropped, last)
                && last > dropped
            {
                return Err(format!(
                    "[[callers]] number {}: nobody can call after `handles_dropped`, {dropped}",
                    number + 1
                ));
            }
            callers
                .check(&scenario.clock, lasts)
                .map_err(|what| format!("[[callers]] number {}: {what}", number + 1))?;
        }
        for (number, api) in scenario.api.iter().enumerate() {
            let known = scenario.callers.iter().any(|callers| callers.api == api.name);
            if !known {
                return Err(format!("[[api]] number {}: nobody calls {:?}", number + 1, api.name));
            }
        }
        for (number, revoke) in scenario.revoke.iter().enumerate() {
            let known = revoke.rhythm().check(lasts);
            known.map_err(|what| format!("[[revoke]] number {}: {what}", number + 1))?;
        }
        for (number, event) in scenario.clock.iter().enumerate() {
            let said = [event.suspended_for.is_some(), event.frozen_for.is_some(), event.wall_clock_steps.is_some()];
            if said.into_iter().filter(|said| *said).count() != 1 {
                return Err(format!(
                    "[[clock]] number {}: say one of `suspended_for`, `frozen_for`, `wall_clock_steps`",
                    number + 1
                ));
            }
        }
        for (number, expect) in scenario.expect.iter().enumerate() {
            expect
                .check(&scenario.callers, lasts)
                .map_err(|what| format!("[[expect]] number {}: {what}", number + 1))?;
        }
        Ok(scenario)
    }
}

impl Answer {
    fn check(&mut self, lasts: Time) -> Result<(), String> {
        within("from", self.from, lasts)?;
        self.kind = match &self.answers {
            None => Kind::Token,
            Some(toml::Value::Integer(status)) => u16::try_from(*status)
                .ok()
                .filter(|status| http::StatusCode::from_u16(*status).is_ok())
                .map(Kind::Status)
                .ok_or_else(|| format!("`answers` is {status}, which is no HTTP status"))?,
            Some(value) => match value.as_str() {
                Some("token") => Kind::Token,
                Some("connection refused") => Kind::Refused,
                Some("connection reset") => Kind::Reset,
                Some("name not found") => Kind::NameNotFound,
                Some("never") => Kind::Never,
                Some("panic") => Kind::Panic,
                other => {
                    let other = other.unwrap_or("no text");
                    return Err(format!(
                        "`answers` is {other:?}; write \"token\", an HTTP status such as 503, \"connection refused\", \
                         \"connection reset\", \"name not found\", \"never\" or \"panic\""
                    ));
                }
            },
        };
        let token = self.kind == Kind::Token;
        let status = matches!(self.kind, Kind::Status(_));
        unused(&[
            ("expires_in", self.expires_in.is_some() && !token),
            ("refresh_in", self.refresh_in.is_some() && !token),
            ("token", self.token.is_some() && !token),
            ("error", self.error.is_some() && !status),
            ("body", self.body.is_some() && (!status || self.error.is_some())),
            ("retry_after", self.retry_after.is_some() && !status),
            ("retry_after_date", self.retry_after_date.is_some() && (!status || self.retry_after.is_some())),
            ("clock_ahead", self.clock_ahead.is_some() && self.retry_after_date.is_none()),
            ("takes", self.takes.is_some() && self.kind == Kind::Never),
        ])
    }
}

/// When something happens again and again.
pub(super) struct Rhythm<'a> {
    at: Option<&'a OneOrMany<Time>>,
    from: Option<Time>,
    until: Option<Time>,
    every: Option<Time>,
}

impl Rhythm<'_> {
    fn check(&self, lasts: Time) -> Result<(), String> {
        match (self.at, [self.from.is_some(), self.until.is_some(), self.every.is_some()]) {
            (Some(_), [false, false, false]) | (None, [true, true, true]) => {}
            _ => return Err("say `at`, or `from`, `until` and `every`".into()),
        }
        for at in self.at.iter().flat_map(|at| &at.0) {
            within("at", *at, lasts)?;
        }
        if let Some(until) = self.until {
            within("until", until, lasts)?;
        }
        if self.every.is_some_and(|every| every.0.is_zero()) {
            return Err("`every` is 0 s; many at once are a `count`".into());
        }
        Ok(())
    }

    /// The `index`th time.
    pub(super) fn time(&self, index: u32) -> Option<Duration> {
        match (self.at, self.from, self.until, self.every) {
            (Some(at), ..) => at.0.get(index as usize).map(|at| at.0),
            (_, Some(from), Some(until), Some(every)) => Some(from.0 + every.0 * index).filter(|time| *time < until.0),
            _ => None,
        }
    }
}

impl Revoke {
    pub(super) fn rhythm(&self) -> Rhythm<'_> {
        Rhythm { at: self.at.as_ref(), from: self.from, until: self.until, every: self.every }
    }
}

impl Callers {
    fn check(&self, clock: &[ClockEvent], lasts: Time) -> Result<(), String> {
        self.rhythm().check(lasts)?;
        for at in self.at.iter().flat_map(|at| &at.0) {
            if let Some(event) = clock.iter().find(|event| event.covers(at.0)) {
                return Err(format!("`at` is {at}, when nothing runs: see [[clock]] at {}", event.at));
            }
        }
        if !self.api.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) || self.api.is_empty() {
            return Err(format!("`api` is {:?}; write a name in lower case, such as \"orders\"", self.api));
        }
        if self.hosts == 0 {
            return Err("`hosts` is 0; the API has one at least".into());
        }
        unused(&[("scopes", self.scopes.is_some() && self.scope.is_some()), ("replays", self.replays && self.by_hand)])
    }

    pub(super) fn rhythm(&self) -> Rhythm<'_> {
        Rhythm { at: self.at.as_ref(), from: self.from, until: self.until, every: self.every }
    }
}

impl ClockEvent {
    /// How long nothing runs.
    pub(super) fn pause(&self) -> Duration {
        self.suspended_for.or(self.frozen_for).unwrap_or_default().0
    }

    pub(super) fn covers(&self, time: Duration) -> bool {
        (self.at.0..self.at.0 + self.pause()).contains(&time)
    }
}

impl Expect {
    fn check(&self, callers: &[Callers], lasts: Time) -> Result<(), String> {
        for (key, time) in [("from", self.from), ("until", self.until), ("at", self.at)] {
            if let Some(time) = time {
                within(key, time, lasts)?;
            }
        }
        unused(&[
            ("from", self.at.is_some() && self.from.is_some()),
            ("until", self.at.is_some() && self.until.is_some()),
        ])?;
        let subjects = [
            self.token_requests.is_some(),
            self.token_requests_at.is_some(),
            self.pauses.is_some(),
            self.spread.is_some(),
            self.callers.is_some(),
        ];
        if subjects.into_iter().filter(|said| *said).count() != 1 {
            return Err("say one of `token_requests`, `token_requests_at`, `pauses`, `spread`, `callers`".into());
        }
        if let Some(name) = self.callers.as_ref().filter(|name| *name != "all")
            && !callers.iter().any(|callers| callers.name == *name)
        {
            return Err(format!("no [[callers]] have the name {name:?}"));
        }
        let of_callers = self.callers.is_some();
        unused(&[
            ("in_any", self.in_any.is_some() && self.token_requests.is_none()),
            ("that", self.that.is_some() && of_callers),
            ("are", self.are.is_some() && !of_callers),
            ("how_many", self.how_many.is_some() && !of_callers),
            ("with", self.with.is_some() && !of_callers),
            ("waited", self.waited.is_some() && !of_callers),
            ("sent", self.sent.is_some() && !of_callers),
            ("kind", self.kind.is_some() && !of_callers),
            ("error", self.error.is_some() && !of_callers),
            ("status", self.status.is_some() && !of_callers),
            ("retry_after", self.retry_after.is_some() && !of_callers),
        ])
    }

    pub(super) fn covers(&self, time: Duration) -> bool {
        match self.at {
            Some(at) => time == at.0,
            None => self.from.is_none_or(|from| from.0 <= time) && self.until.is_none_or(|until| time < until.0),
        }
    }
}

fn within(key: &str, time: Time, lasts: Time) -> Result<(), String> {
    if time > lasts {
        return Err(format!("`{key}` is {time}, but the scenario lasts {lasts}"));
    }
    Ok(())
}

/// What would be ignored is refused.
fn unused(keys: &[(&str, bool)]) -> Result<(), String> {
    match keys.iter().find(|(_, said)| *said) {
        Some((key, _)) => Err(format!("`{key}` says nothing here")),
        None => Ok(()),
    }
}
