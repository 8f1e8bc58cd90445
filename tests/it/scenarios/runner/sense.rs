//! What a file says that cannot be meant.

use super::{
    format::{Callers, ClockEvent, Expect, Kind, Scenario, Server},
    words::Time,
};

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
        for (number, rule) in scenario.server.iter_mut().enumerate() {
            rule.check(lasts).map_err(|what| format!("[[server]] number {}: {what}", number + 1))?;
        }
        for (number, store) in scenario.store.iter().enumerate() {
            store.check(lasts).map_err(|what| format!("[[store]] number {}: {what}", number + 1))?;
        }
        let servers = scenario.server.iter().map(|server| ("server", server.instance));
        let callers = scenario.callers.iter().map(|callers| ("callers", callers.instance));
        if let Some((table, _)) =
            servers.chain(callers).find(|(_, of)| of.is_some_and(|of| !(1..=scenario.instances).contains(&of)))
        {
            return Err(format!("[[{table}]]: `instance` is a number from 1 to {}", scenario.instances));
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

impl Server {
    fn check(&mut self, lasts: Time) -> Result<(), String> {
        within("from", self.from, lasts)?;
        self.kind = match &self.responds {
            None => Kind::Token,
            Some(toml::Value::Integer(status)) => u16::try_from(*status)
                .ok()
                .filter(|status| http::StatusCode::from_u16(*status).is_ok())
                .map(Kind::Status)
                .ok_or_else(|| format!("`responds` is {status}, which is no HTTP status"))?,
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
                        "`responds` is {other:?}; write \"token\", an HTTP status such as 503, \"connection refused\", \
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
            self.warnings.is_some(),
            self.callers.is_some(),
        ];
        if subjects.into_iter().filter(|said| *said).count() != 1 {
            return Err(
                "say one of `token_requests`, `token_requests_at`, `pauses`, `spread`, `warnings`, `callers`".into()
            );
        }
        if let Some(name) = self.callers.as_ref().filter(|name| *name != "all")
            && !callers.iter().any(|callers| callers.name == *name)
        {
            return Err(format!("no [[callers]] have the name {name:?}"));
        }
        let of_callers = self.callers.is_some();
        let is_timed = self.from.is_some() || self.until.is_some() || self.at.is_some();
        unused(&[
            ("from, until or at", self.warnings.is_some() && is_timed),
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
}

pub(super) fn within(key: &str, time: Time, lasts: Time) -> Result<(), String> {
    if time > lasts {
        return Err(format!("`{key}` is {time}, but the scenario lasts {lasts}"));
    }
    Ok(())
}

/// What would be ignored is refused.
pub(super) fn unused(keys: &[(&str, bool)]) -> Result<(), String> {
    match keys.iter().find(|(_, said)| *said) {
        Some((key, _)) => Err(format!("`{key}` says nothing here")),
        None => Ok(()),
    }
}
