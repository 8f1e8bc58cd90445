use std::{
    collections::HashMap,
    fmt,
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::{
    lock::lock,
    store::{BoxError, Entry, EntryName, TokenStore},
};

/// A [`TokenStore`] in memory, for tests: several caches that are built with clones of it share tokens as processes do.
///
/// Lives end by tokio's clock, so that a paused clock moves them.
///
/// This is a handle that is cheap to clone. All clones are one store.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<Contents>>,
}

/// An operation that a [`MemoryStore`] received, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOperation {
    /// [`TokenStore::load`] of these entries.
    Load(Vec<EntryName>),
    /// [`TokenStore::put`] of this entry.
    Put(EntryName),
    /// [`TokenStore::remove`] of this entry.
    Remove(EntryName),
}

#[derive(Default)]
struct Contents {
    entries: HashMap<EntryName, Stored>,
    condition: Condition,
    operations: Vec<StoreOperation>,
}

struct Stored {
    bytes: Vec<u8>,
    /// `None`: never.
    ends: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
enum Condition {
    #[default]
    Up,
    Slow(Duration),
    Down,
    Hanging,
    Silent,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, every operation fails.
    pub fn fail(&self) {
        self.state().condition = Condition::Down;
    }

    /// From now on, no operation has an effect or ends.
    pub fn hang(&self) {
        self.state().condition = Condition::Hanging;
    }

    /// From now on, operations have their effect, and no result of them arrives.
    pub fn lose_results(&self) {
        self.state().condition = Condition::Silent;
    }

    /// From now on, every operation takes that long, and has its effect at the end of it.
    pub fn delay(&self, delay: Duration) {
        self.state().condition = Condition::Slow(delay);
    }

    /// From now on, operations succeed at once. Those that hang continue to hang.
    pub fn restore(&self) {
        self.state().condition = Condition::Up;
    }

    /// Removes all entries, as a restart of a store without a disk does.
    pub fn clear(&self) {
        self.state().entries.clear();
    }

    /// Replaces the bytes of all entries, and not their lives.
    pub fn overwrite(&self, bytes: &[u8]) {
        self.state().entries.values_mut().for_each(|stored| stored.bytes = bytes.to_vec());
    }

    /// The living entries.
    #[must_use]
    pub fn entries(&self) -> HashMap<EntryName, Entry> {
        let state = self.state();
        state.entries.keys().filter_map(|name| Some((name.clone(), state.living(name)?))).collect()
    }

    /// The operations received so far.
    #[must_use]
    pub fn operations(&self) -> Vec<StoreOperation> {
        self.state().operations.clone()
    }

    /// Runs an operation as the store's condition at its beginning has it.
    async fn run<T>(
        &self,
        operation: StoreOperation,
        effect: impl FnOnce(&mut Contents) -> T + Send,
    ) -> Result<T, BoxError> {
        let condition = {
            let mut state = self.state();
            state.operations.push(operation);
            state.condition
        };
        match condition {
            Condition::Up => {}
            Condition::Slow(delay) => sleep(delay).await,
            Condition::Down => return Err("the store is down".into()),
            Condition::Hanging => pending().await,
            Condition::Silent => {
                drop(effect(&mut self.state()));
                return pending().await;
            }
        }
        Ok(effect(&mut self.state()))
    }

    fn state(&self) -> MutexGuard<'_, Contents> {
        lock(&self.state)
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
        let load = |state: &mut Contents| names.iter().map(|name| state.living(name)).collect();
        self.run(StoreOperation::Load(names.to_vec()), load).await
    }

    async fn put(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
        limit: Duration,
    ) -> Result<bool, BoxError> {
        let deadline = Instant::now().checked_add(limit);
        let put = |state: &mut Contents| {
            let replaces = state.living(name).as_ref().map(|entry| &entry.bytes[..]) == old;
            let stores = replaces && deadline.is_none_or(|deadline| Instant::now() < deadline);
            if stores {
                let stored = Stored { bytes: new.to_vec(), ends: Instant::now().checked_add(life) };
                state.entries.insert(name.clone(), stored);
            }
            stores
        };
        self.run(StoreOperation::Put(name.clone()), put).await
    }

    async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError> {
        let remove = |state: &mut Contents| {
            let removes = state.living(name).is_some_and(|entry| entry.bytes == old);
            if removes {
                state.entries.remove(name);
            }
            removes
        };
        self.run(StoreOperation::Remove(name.clone()), remove).await
    }

    fn name(&self) -> &str {
        "memory"
    }
}

impl Contents {
    fn living(&self, name: &EntryName) -> Option<Entry> {
        let stored = self.entries.get(name)?;
        let life = stored.ends.map_or(Duration::MAX, |ends| ends.saturating_duration_since(Instant::now()));
        Some(Entry { bytes: stored.bytes.clone(), life }).filter(|entry| !entry.life.is_zero())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("entries", &self.entries()).finish_non_exhaustive()
    }
}
