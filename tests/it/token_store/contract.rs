//! The contract of a token store finds what is wrong with one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use client_credentials::{
    async_trait,
    store::{BoxError, Entry, EntryName, TokenStore},
    testing::{MemoryStore, check_token_store},
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::yield_now,
    time::Instant,
};

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_keeps_the_contract() {
    let store = MemoryStore::new();
    check_token_store(store.clone()).await.expect("the contract");
    assert_eq!(store.entries().len(), 0, "the names of the test are left behind");
    check_token_store(Flawed::new(Flaw::None)).await.expect("the contract, or each test below proves nothing");
}

#[tokio::test(start_paused = true)]
async fn each_flaw_breaks_its_rule() {
    for (flaw, rule) in [
        (Flaw::WrongOrder, "load returns what was put, in the order of the names"),
        (Flaw::TooFew, "load returns what was put, in the order of the names"),
        (Flaw::OneNameForAToken, "entries with different names are kept apart"),
        (Flaw::PutsOverAnything, "put without an old value stores only where nothing is stored"),
        (Flaw::ReplacesAnything, "put replaces only what equals the old value"),
        (Flaw::ComparesThePrefix, "put replaces only what equals the old value"),
        (Flaw::RemovesAnything, "remove removes only what equals the old value"),
        (Flaw::Text, "an entry is arbitrary bytes"),
        (Flaw::Trimmed, "an entry is arbitrary bytes"),
        (Flaw::Cut, "an entry may have 256 KiB"),
        (Flaw::Immortal, "an entry is absent once its life has ended"),
        (Flaw::DeadEntriesAreOld, "an entry is absent once its life has ended"),
        (Flaw::WholeLife, "load returns what is left of a life"),
        (Flaw::KeepsItsLife, "a put replaces the life"),
        (Flaw::RefusedPutProlongs, "what is refused makes no life longer"),
        (Flaw::ShortLives, "a life may have 400 days"),
        (Flaw::NotAtomic, "one of simultaneous operations wins"),
        (Flaw::NotAtomic, "no put is lost"),
        (Flaw::Late, "a put that arrives after its limit changes nothing"),
        (Flaw::StaysLocked, "an operation that is dropped is done or not, and blocks no other"),
        (Flaw::Panics, "load returns what was put, in the order of the names: task"),
        (Flaw::Fails, "load returns what was put, in the order of the names: put failed: refused"),
        (Flaw::Hangs, "load returns what was put, in the order of the names: not done after 60s"),
    ] {
        let broken = check_token_store(Flawed::new(flaw)).await.expect_err("a flaw").to_string();
        assert!(broken.lines().any(|line| line.starts_with(rule)), "{flaw:?}: {rule:?} is not among these:\n{broken}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    WrongOrder,
    TooFew,
    OneNameForAToken,
    PutsOverAnything,
    ReplacesAnything,
    ComparesThePrefix,
    RemovesAnything,
    Text,
    Trimmed,
    Cut,
    Immortal,
    DeadEntriesAreOld,
    WholeLife,
    KeepsItsLife,
    RefusedPutProlongs,
    ShortLives,
    NotAtomic,
    Late,
    StaysLocked,
    Panics,
    Fails,
    Hangs,
}

/// A store as somebody might write it, with a mistake.
struct Flawed {
    flaw: Flaw,
    entries: Arc<Mutex<HashMap<String, Stored>>>,
}

#[derive(Clone)]
struct Stored {
    bytes: Vec<u8>,
    ends: Instant,
    life: Duration,
}

impl Flawed {
    fn new(flaw: Flaw) -> Self {
        Self { flaw, entries: Arc::default() }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn key(&self, name: &EntryName) -> String {
        if self.is(Flaw::OneNameForAToken) { name.token() } else { name.as_str() }.to_owned()
    }

    async fn lock(&self) -> OwnedMutexGuard<HashMap<String, Stored>> {
        let guard = Arc::clone(&self.entries).lock_owned().await;
        if self.is(Flaw::StaysLocked) {
            // As a lock that is a row in a table stays locked.
            let locked = Locked(Some(guard));
            yield_now().await;
            return locked.unlock();
        }
        guard
    }

    fn living(&self, entries: &HashMap<String, Stored>, name: &EntryName) -> Option<Stored> {
        let stored = entries.get(&self.key(name))?;
        let lives = stored.ends > Instant::now() || self.is(Flaw::Immortal);
        lives.then(|| stored.clone())
    }

    fn equals(&self, stored: Option<&Stored>, old: Option<&[u8]>) -> bool {
        match (stored, old) {
            (Some(_), None) => self.is(Flaw::PutsOverAnything),
            (Some(_), Some(_)) if self.is(Flaw::ReplacesAnything) => true,
            (Some(stored), Some(old)) if self.is(Flaw::ComparesThePrefix) => old.starts_with(&stored.bytes),
            (stored, old) => stored.map(|stored| &stored.bytes[..]) == old,
        }
    }

    fn written(&self, new: &[u8]) -> Vec<u8> {
        match self.flaw {
            Flaw::Text => String::from_utf8_lossy(new).into_owned().into_bytes(),
            Flaw::Trimmed => new.trim_ascii().to_vec(),
            Flaw::Cut => new[..new.len().min(4096)].to_vec(),
            _ => new.to_vec(),
        }
    }
}

#[async_trait]
impl TokenStore for Flawed {
    async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
        let entries = self.lock().await;
        let loaded = names.iter().map(|name| {
            let stored = self.living(&entries, name)?;
            let left = stored.ends.saturating_duration_since(Instant::now());
            Some(Entry { bytes: stored.bytes, life: if self.is(Flaw::WholeLife) { stored.life } else { left } })
        });
        Ok(match self.flaw {
            Flaw::WrongOrder => loaded.rev().collect(),
            Flaw::TooFew => loaded.filter(Option::is_some).collect(),
            _ => loaded.collect(),
        })
    }

    async fn put(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
        limit: Duration,
    ) -> Result<bool, BoxError> {
        match self.flaw {
            Flaw::Panics => panic!("a mistake"),
            Flaw::Fails => return Err("refused".into()),
            Flaw::Hangs => std::future::pending().await,
            _ => {}
        }
        let start = Instant::now();
        let mut entries = self.lock().await;
        let dead = entries.get(&self.key(name)).cloned().filter(|_| self.is(Flaw::DeadEntriesAreOld) && old.is_some());
        let stored = self.living(&entries, name).or(dead);
        if self.is(Flaw::NotAtomic) {
            drop(entries);
            yield_now().await;
            entries = self.lock().await;
        }
        if !self.equals(stored.as_ref(), old) {
            if let Some(stored) = entries.get_mut(&self.key(name)).filter(|_| self.is(Flaw::RefusedPutProlongs)) {
                stored.ends = Instant::now() + life;
            }
            return Ok(false);
        }
        if start.elapsed() >= limit && !self.is(Flaw::Late) {
            return Ok(false);
        }
        let life = if self.is(Flaw::ShortLives) { life.min(Duration::from_secs(24 * 60 * 60)) } else { life };
        let ends = stored.map(|stored| stored.ends).filter(|_| self.is(Flaw::KeepsItsLife));
        let ends = ends.unwrap_or(Instant::now() + life);
        entries.insert(self.key(name), Stored { bytes: self.written(new), ends, life });
        Ok(true)
    }

    async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError> {
        let mut entries = self.lock().await;
        let stored = self.living(&entries, name);
        let removes = stored.is_some_and(|stored| stored.bytes == old || self.is(Flaw::RemovesAnything));
        if removes {
            entries.remove(&self.key(name));
        }
        Ok(removes)
    }
}

/// A lock that whoever is dropped does not unlock.
struct Locked(Option<OwnedMutexGuard<HashMap<String, Stored>>>);

impl Locked {
    fn unlock(mut self) -> OwnedMutexGuard<HashMap<String, Stored>> {
        self.0.take().expect("locked")
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        std::mem::forget(self.0.take());
    }
}
