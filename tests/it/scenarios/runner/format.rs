//! What a file can say. The README.md of the scenarios explains it to those who write them.

use std::time::Duration;

use serde::Deserialize;

use super::{
    store::Store,
    words::{Count, OneOrMany, Step, Time, Times, TokenName},
};

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
    pub(super) server: Vec<Server>,
    /// With one, the instances share their tokens.
    #[serde(default)]
    pub(super) store: Vec<Store>,
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

/// What the authorization server responds; of several that fit, the last one in the file counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    #[serde(default)]
    pub(super) from: Time,
    pub(super) until: Option<Time>,
    /// Only so many token requests.
    pub(super) times: Option<u64>,
    /// Only token requests for these scopes.
    pub(super) scope: Option<OneOrMany<String>>,
    /// Only token requests of this instance.
    pub(super) instance: Option<u64>,
    pub(super) responds: Option<toml::Value>,
    pub(super) takes: Option<Time>,
    pub(super) expires_in: Option<toml::Value>,
    pub(super) refresh_in: Option<toml::Value>,
    pub(super) token: Option<Handed>,
    pub(super) error: Option<String>,
    pub(super) body: Option<String>,
    pub(super) retry_after: Option<toml::Value>,
    /// As a date, so far ahead of the response's own.
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

/// From then on every API treats the tokens issued so far as dead.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    pub(super) at: Option<OneOrMany<Time>>,
    pub(super) from: Option<Time>,
    pub(super) until: Option<Time>,
    pub(super) every: Option<Time>,
    pub(super) scope: Option<String>,
}

/// What an API responds; of several that fit, the last one in the file counts.
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
    /// Only those of this instance.
    pub(super) instance: Option<u64>,
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
    /// The machine sleeps: nothing runs, the wall clock continues, the monotonic one stops.
    pub(super) suspended_for: Option<Time>,
    /// The process stands still: nothing runs, both clocks continue.
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

    /// How many warnings and errors are in the log.
    pub(super) warnings: Option<Count>,

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
    Pending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    /// The API accepted the request.
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
    pub(super) fn covers(&self, time: Duration) -> bool {
        match self.at {
            Some(at) => time == at.0,
            None => self.from.is_none_or(|from| from.0 <= time) && self.until.is_none_or(|until| time < until.0),
        }
    }
}
