//! What the store is asked for, as calls of scripts.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use ::redis::Value;

use super::{
    super::{Entry, EntryName},
    connection::Connection,
    failure::Failure,
    script::Script,
};

static LOAD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/load.lua")));
static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/put.lua")));
static REMOVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/remove.lua")));

/// What is stored begins with a mark, by which a write that is sent again, because its response was lost, is known.
const MARK: usize = 16;

/// Redis refuses lives that end in a year it cannot count.
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// An operation on the entries of one token.
pub(super) struct Operation {
    /// The first is what they have in common; nothing is stored under it. Then those of the entries.
    keys: Vec<String>,
    /// Of the one entry; without it, all are loaded.
    change: Option<Change>,
}

struct Change {
    script: &'static Script,
    arguments: Vec<Vec<u8>>,
    /// `None`: whenever it arrives.
    until: Option<Instant>,
}

pub(super) enum Outcome {
    Loaded(Vec<Option<Entry>>),
    Changed(bool),
}

impl Operation {
    pub(super) fn load(prefix: &str, token: &str, names: &[EntryName]) -> Self {
        // What is in braces decides the slot.
        let slot = format!("{prefix}:{{{token}}}");
        let keys = names.iter().map(|name| format!("{slot}{}", &name.as_str()[token.len()..])).collect();
        Self { keys: [vec![slot.clone()], keys].concat(), change: None }
    }

    pub(super) fn put(self, old: Option<&[u8]>, new: &[u8], life: Duration, limit: Duration) -> Self {
        let life = life.min(LONGEST_LIFE).as_millis().max(1).to_string();
        let old = old.map_or_else(Vec::new, present);
        let mark = fastrand::u128(..).to_be_bytes()[..MARK].to_vec();
        self.change(&PUT, vec![old, mark, new.to_vec(), life.into_bytes()], limit)
    }

    pub(super) fn remove(self, old: &[u8], limit: Duration) -> Self {
        self.change(&REMOVE, vec![present(old)], limit)
    }

    fn change(self, script: &'static Script, arguments: Vec<Vec<u8>>, limit: Duration) -> Self {
        let until = Instant::now().checked_add(limit);
        Self { change: Some(Change { script, arguments, until }), ..self }
    }

    pub(super) async fn run(&self, connection: &Connection) -> Result<Outcome, Failure> {
        match &self.change {
            None => self.entries(connection).await.map(Outcome::Loaded),
            Some(change) => self.apply(change, connection).await.map(Outcome::Changed),
        }
    }

    async fn entries(&self, connection: &Connection) -> Result<Vec<Option<Entry>>, Failure> {
        let found = connection.call(&LOAD, &self.keys, &[]).await?;
        found.chunks(2).map(entry).collect::<Option<_>>().ok_or_else(Failure::unreadable)
    }

    async fn apply(&self, change: &Change, connection: &Connection) -> Result<bool, Failure> {
        if !connection.clock.knows(&self.keys[0]) {
            self.entries(connection).await?;
        }
        // The second time by the server's time from the first: its clock may have been set.
        for _ in 0..2 {
            let deadline = connection.clock.at(&self.keys[0], change.until).to_string();
            let arguments = change.arguments.iter().map(Vec::as_slice);
            let arguments: Vec<_> = [deadline.as_bytes()].into_iter().chain(arguments).collect();
            match &connection.call(change.script, &self.keys, &arguments).await?[..] {
                [Value::BulkString(outcome)] if outcome == b"done" => return Ok(true),
                [Value::BulkString(outcome)] if outcome == b"other" => return Ok(false),
                [Value::BulkString(outcome)] if outcome == b"late" => {}
                _ => return Err(Failure::unreadable()),
            }
            if change.until.is_some_and(|until| until <= Instant::now()) {
                break;
            }
        }
        Ok(false)
    }
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
