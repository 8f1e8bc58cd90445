//! When something happens again and again.

use std::time::Duration;

use super::{
    format::{Callers, Revoke},
    sense::within,
    words::{OneOrMany, Time},
};

/// At these times, or at this pace.
pub(super) struct Rhythm<'a> {
    at: Option<&'a OneOrMany<Time>>,
    from: Option<Time>,
    until: Option<Time>,
    every: Option<Time>,
}

impl Rhythm<'_> {
    pub(super) fn check(&self, lasts: Time) -> Result<(), String> {
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
    pub(super) fn rhythm(&self) -> Rhythm<'_> {
        Rhythm { at: self.at.as_ref(), from: self.from, until: self.until, every: self.every }
    }
}
