//! The store under test, with operations that say what went wrong.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use super::Checked;
use crate::{
    lock::lock,
    store::{Entry, EntryName, TokenStore},
};

/// Longer than any rule takes.
pub(super) const LIFE: Duration = Duration::from_secs(120);
/// Longer than any operation takes.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(super) struct Bench {
    pub store: Arc<dyn TokenStore>,
    used: Arc<Mutex<Vec<EntryName>>>,
}

impl Bench {
    pub(super) fn new(store: Arc<dyn TokenStore>) -> Self {
        Self { store, used: Arc::default() }
    }

    /// The names of entries of one token that was never used before.
    pub(super) fn names<const N: usize>(&self, what: [&str; N]) -> [EntryName; N] {
        let token: String = (0..4).map(|_| format!("{:016x}", fastrand::u64(..))).collect();
        let names = what.map(|what| EntryName::new(&token, what));
        self.used().extend(names.clone());
        names
    }

    pub(super) fn name(&self) -> EntryName {
        let [name] = self.names(["token"]);
        name
    }

    pub(super) async fn load(&self, name: &EntryName) -> Checked<Option<Entry>> {
        let mut entries = self.load_all(std::slice::from_ref(name)).await?;
        Ok(entries.pop().flatten())
    }

    pub(super) async fn load_all(&self, names: &[EntryName]) -> Checked<Vec<Option<Entry>>> {
        let entries = self.store.load(names).await.map_err(|error| format!("load failed: {error}"))?;
        let (found, expected) = (entries.len(), names.len());
        if found == expected { Ok(entries) } else { Err(format!("load returned {found} entries for {expected} names")) }
    }

    pub(super) async fn bytes(&self, name: &EntryName) -> Checked<Option<Vec<u8>>> {
        Ok(self.load(name).await?.map(|entry| entry.bytes.clone()))
    }

    pub(super) async fn put(&self, name: &EntryName, old: Option<&[u8]>, new: &[u8]) -> Checked<bool> {
        self.put_for(name, old, new, LIFE).await
    }

    pub(super) async fn put_for(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
    ) -> Checked<bool> {
        self.store.put(name, old, new, life, LIMIT).await.map_err(|error| format!("put failed: {error}"))
    }

    pub(super) async fn remove(&self, name: &EntryName, old: &[u8]) -> Checked<bool> {
        self.store.remove(name, old).await.map_err(|error| format!("remove failed: {error}"))
    }

    /// Stores where nothing is.
    pub(super) async fn store(&self, name: &EntryName, new: &[u8], life: Duration) -> Checked {
        let stored = self.put_for(name, None, new, life).await?;
        expect(stored, "put returned false although nothing was stored")
    }

    pub(super) async fn expect_stored(&self, name: &EntryName, expected: Option<&[u8]>, when: &str) -> Checked {
        let found = self.bytes(name).await?;
        let what = format!("{when}, load returned {} instead of {}", shown(found.as_deref()), shown(expected));
        expect(found.as_deref() == expected, what)
    }

    pub(super) async fn clean_up(&self) {
        let names = std::mem::take(&mut *self.used());
        for name in names {
            if let Ok(Some(entry)) = self.load(&name).await {
                let _ = self.remove(&name, &entry.bytes).await;
            }
        }
    }

    fn used(&self) -> MutexGuard<'_, Vec<EntryName>> {
        lock(&self.used)
    }
}

pub(super) fn expect(holds: bool, otherwise: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn shown(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "nothing".into(),
        Some(bytes) if bytes.len() <= 32 => format!("\"{}\"", bytes.escape_ascii()),
        Some(bytes) => format!("{} bytes that begin with \"{}\"", bytes.len(), bytes[..16].escape_ascii()),
    }
}
