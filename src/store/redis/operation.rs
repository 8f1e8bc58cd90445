//! The operations of the store, as calls of scripts.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use ::redis::Value;

use super::{
    super::{Entry, EntryName},
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
    /// The first is what they have in common; nothing is stored under it. Then those of the entries.
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
    /// Of a change: afterwards, it has no effect.
    deadline: Option<Instant>,
}

impl Operation {
    pub(super) fn load(prefix: &str, token: &str, names: &[EntryName]) -> Self {
        // What is in braces decides the slot.
        let slot = format!("{prefix}:{{{token}}}");
        let keys = names.iter().map(|name| format!("{slot}{}", &name.as_str()[token.len()..])).collect();
        Self { script: &LOAD, keys: [vec![slot.clone()], keys].concat(), arguments: Vec::new(), deadline: None }
    }

    pub(super) fn put(self, old: Option<&[u8]>, new: &[u8], life: Duration, limit: Duration) -> Self {
        let life = life.min(CENTURY).as_millis().max(1).to_string();
        let old = old.map_or_else(Vec::new, present);
        let mark = fastrand::u128(..).to_be_bytes()[..MARK].to_vec();
        self.change(&PUT, vec![old, mark, new.to_vec(), life.into_bytes()], limit)
    }

    pub(super) fn remove(self, old: &[u8], limit: Duration) -> Self {
        self.change(&REMOVE, vec![present(old)], limit)
    }

    fn change(self, script: &'static Script, arguments: Vec<Vec<u8>>, limit: Duration) -> Self {
        Self { script, arguments, deadline: Some(Instant::now() + limit.min(CENTURY)), ..self }
    }

    /// Returns what the script returns.
    pub(super) async fn run(&self, connection: &Connection) -> Result<Vec<Value>, Failure> {
        let Some(deadline) = self.deadline else { return connection.call(self.script, &self.keys, &[]).await };
        if !connection.clock.knows(&self.keys[0]) {
            connection.call(&LOAD, &self.keys, &[]).await?;
        }
        let mut found = self.run_until(deadline, connection).await?;
        if is_late(&found) && Instant::now() < deadline {
            // Now by the server's time from the first call: its clock may have been set.
            found = self.run_until(deadline, connection).await?;
        }
        Ok(found)
    }

    async fn run_until(&self, deadline: Instant, connection: &Connection) -> Result<Vec<Value>, Failure> {
        let deadline = connection.clock.at(&self.keys[0], deadline).to_string();
        let arguments = [&[deadline.into_bytes()], &self.arguments[..]].concat();
        connection.call(self.script, &self.keys, &arguments).await
    }
}

/// What a load has found.
pub(super) fn entries(found: &[Value]) -> Result<Vec<Option<Entry>>, Failure> {
    found.chunks(2).map(entry).collect::<Option<_>>().ok_or_else(Failure::unreadable)
}

/// Whether a change was made.
pub(super) fn is_done(found: &[Value]) -> Result<bool, Failure> {
    match found {
        [Value::BulkString(outcome)] if outcome == b"done" => Ok(true),
        [Value::BulkString(outcome)] if outcome == b"other" => Ok(false),
        found if is_late(found) => Ok(false),
        _ => Err(Failure::unreadable()),
    }
}

fn is_late(found: &[Value]) -> bool {
    matches!(found, [Value::BulkString(outcome)] if outcome == b"late")
}

/// Told apart from what is absent, even if it is empty.
fn present(entry: &[u8]) -> Vec<u8> {
    [b"=", entry].concat()
}

/// `None`: not what the script returns.
fn entry(found: &[Value]) -> Option<Option<Entry>> {
    match found {
        [Value::BulkString(bytes), Value::Int(life)] => {
            // Without a life, or in its last millisecond.
            let life = u64::try_from(*life).ok().filter(|life| *life > 0).map(Duration::from_millis);
            Some(life.map(|life| Entry { bytes: bytes.get(MARK..).unwrap_or_default().to_vec(), life }))
        }
        [Value::Nil, Value::Int(_)] => Some(None),
        _ => None,
    }
}
