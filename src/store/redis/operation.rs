//! The operations of the store, as calls of scripts.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use ::redis::{FromRedisValue, Value};

use super::{
    super::Entry,
    connection::{Connection, Script},
    failure::Failure,
};

static LOAD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/load.lua")));
static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/put.lua")));
static REMOVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/remove.lua")));

/// What is stored begins with a mark, by which a write that is sent again, because its response was lost, is known.
const MARK: usize = 16;

/// Redis refuses lives that end in a year it cannot count, and Lua's numbers are exact to a deadline at the end of it.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// An operation on the entries of one token.
pub(super) struct Operation {
    script: &'static Script,
    /// The first is what the entries have in common; nothing is stored under it. Then those of the entries.
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
    /// Of a change: afterwards, it has no effect.
    deadline: Option<Instant>,
}

/// What a load finds of an entry: its bytes, and what is left of its life in milliseconds.
pub(super) type Found = (Option<Vec<u8>>, i64);

impl Operation {
    pub(super) fn load(keys: Vec<String>) -> Self {
        Self { script: &LOAD, keys, arguments: Vec::new(), deadline: None }
    }

    pub(super) fn put(keys: Vec<String>, old: Option<&[u8]>, new: &[u8], life: Duration, limit: Duration) -> Self {
        let life = life.min(CENTURY).as_millis().max(1).to_string();
        let mark: [u8; MARK] = fastrand::u128(..).to_be_bytes();
        let arguments = vec![old.map_or_else(Vec::new, present), mark.to_vec(), new.to_vec(), life.into_bytes()];
        Self { script: &PUT, keys, arguments, deadline: Some(deadline(limit)) }
    }

    pub(super) fn remove(keys: Vec<String>, old: &[u8], limit: Duration) -> Self {
        Self { script: &REMOVE, keys, arguments: vec![present(old)], deadline: Some(deadline(limit)) }
    }

    /// Returns what the script does: what a load has found, or whether a change was made.
    pub(super) async fn run<T: FromRedisValue>(&self, connection: &Connection) -> Result<T, Failure> {
        let slot = &self.keys[0];
        let by_server = |deadline| connection.clock.at(slot, deadline);
        if self.deadline.is_some_and(|deadline| by_server(deadline).is_none()) {
            connection.call::<Value>(&LOAD, &self.keys, None, &[]).await?;
        }
        let deadline = self.deadline.map(|deadline| by_server(deadline).unwrap_or_default());
        connection.call(self.script, &self.keys, deadline, &self.arguments).await
    }
}

/// `None`: there is none, or it is in its last millisecond, or has no life and is not ours.
pub(super) fn entry((bytes, life): Found) -> Option<Entry> {
    let life = u64::try_from(life).ok().filter(|life| *life > 0).map(Duration::from_millis)?;
    Some(Entry { bytes: bytes?.get(MARK..).unwrap_or_default().to_vec(), life })
}

fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit.min(CENTURY)
}

/// Told apart from what is absent, even if it is empty.
fn present(entry: &[u8]) -> Vec<u8> {
    [b"=", entry].concat()
}
