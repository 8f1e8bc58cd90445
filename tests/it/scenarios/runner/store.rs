//! The store in which the instances share their tokens.

use std::time::Duration;

use client_credentials::testing::MemoryStore;
use serde::Deserialize;

use super::{
    format::Scenario,
    sense::{unused, within},
    words::Time,
};

/// What becomes of the store's operations; of several that fit, the last one in the file counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    #[serde(default)]
    from: Time,
    until: Option<Time>,
    #[serde(default)]
    operations: Operations,
    takes: Option<Time>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Operations {
    #[default]
    Succeed,
    Fail,
    Hang,
}

impl Store {
    pub(super) fn check(&self, lasts: Time) -> Result<(), String> {
        within("from", self.from, lasts)?;
        if let Some(until) = self.until {
            within("until", until, lasts)?;
        }
        unused(&[("takes", self.takes.is_some() && self.operations != Operations::Succeed)])
    }

    /// When it begins to count, and when it ends.
    pub(super) fn changes(&self) -> impl Iterator<Item = Duration> + use<> {
        [Some(self.from), self.until].into_iter().flatten().map(|time| time.0)
    }
}

impl Scenario {
    /// Brings the store into the condition that it has at `now`.
    pub(super) fn set(&self, store: &MemoryStore, now: Duration) {
        let fits = |rule: &&Store| rule.from.0 <= now && rule.until.is_none_or(|until| now < until.0);
        let rule = self.store.iter().rfind(fits);
        match rule.map_or((Operations::Succeed, None), |rule| (rule.operations, rule.takes)) {
            (Operations::Fail, _) => store.fail(),
            (Operations::Hang, _) => store.hang(),
            (Operations::Succeed, Some(takes)) => store.delay(takes.0),
            (Operations::Succeed, None) => store.restore(),
        }
    }

    /// Whether there is a store, and it never fails.
    pub(super) fn shares_at_all_times(&self) -> bool {
        !self.store.is_empty() && self.store.iter().all(|rule| rule.operations == Operations::Succeed)
    }
}
