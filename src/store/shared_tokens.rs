//! The tokens that a cache shares with other instances: of each, the store has the token, the lease of the instance
//! that requests the next one, and the failure that holds it back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    availability::{Bounded, Down, Urgency},
    contract::{Entry, EntryName, TokenStore},
    names::Names,
    record::Record,
    seal::{Seal, Unusable},
    stored_failure::StoredFailure,
    stored_token::StoredToken,
};
use crate::report::{Reporter, store as report};

/// The tokens that a cache shares with other instances.
pub(crate) struct SharedTokens {
    pub(crate) store: Bounded,
    pub(super) seal: Seal,
    /// Which cache wrote an entry.
    pub(super) instance: u64,
    /// What the user calls the tokens.
    pub(super) namespace: String,
    /// Whether the log has mentioned entries that this instance cannot open.
    mentioned: AtomicBool,
}

/// The entries of a token, as they were seen.
pub(super) struct Seen {
    pub token: Found<StoredToken>,
    pub lease: Found<()>,
    pub failure: Found<StoredFailure>,
}

/// One entry, as it was seen.
pub(super) enum Found<T> {
    /// Nothing that counts. With the bytes of garbage, which a new entry replaces.
    Free(Option<Zeroizing<Vec<u8>>>),
    /// With its bytes.
    Read(T, Zeroizing<Vec<u8>>),
    /// Written with another key or by a later version. Left alone while it lives.
    Foreign,
}

impl SharedTokens {
    pub(crate) fn new(store: Arc<dyn TokenStore>, seal: Seal, namespace: String, report: Reporter) -> Self {
        report::is_up(&report, true);
        let store = Bounded::new(store, report);
        Self { store, seal, instance: fastrand::u64(..), namespace, mentioned: AtomicBool::new(false) }
    }

    /// Loads the entries. The log mentions garbage if it `mentions` it.
    pub(super) async fn look(&self, names: &Names, urgency: Urgency, mentions: bool) -> Result<Seen, Down> {
        let began = Instant::now();
        let all = [names.token.clone(), names.lease.clone(), names.failure.clone()];
        let mut entries = self.store.load(&all, urgency).await?.into_iter();
        let mut next = || entries.next().flatten();
        // The store may have counted what is left when the look began.
        let read_token = |plain: &_, life: Duration| StoredToken::read(plain, life.saturating_sub(began.elapsed()));
        Ok(Seen {
            token: self.open(&names.token, next(), mentions, read_token),
            lease: self.open(&names.lease, next(), mentions, |plain, _| Record::read(plain).map(drop)),
            failure: self.open(&names.failure, next(), mentions, StoredFailure::read),
        })
    }

    fn open<T>(
        &self,
        name: &EntryName,
        entry: Option<Entry>,
        mentions: bool,
        read: impl FnOnce(&[u8], Duration) -> Option<T>,
    ) -> Found<T> {
        let Some(Entry { bytes, life }) = entry.filter(|entry| !entry.life.is_zero()) else { return Found::Free(None) };
        let bytes = Zeroizing::new(bytes);
        let opened = self.seal.open(name, &bytes);
        let read = opened.and_then(|plain| read(&plain, life).ok_or(Unusable::Garbage("not what it should be")));
        match read {
            Ok(value) => Found::Read(value, bytes),
            Err(Unusable::Foreign(why)) => {
                if !self.mentioned.swap(true, Ordering::Relaxed) {
                    report::foreign(&self.store.report, self.store.name(), &why);
                }
                Found::Foreign
            }
            Err(Unusable::Garbage(why)) => {
                if mentions {
                    report::garbage(&self.store.report, self.store.name(), why);
                }
                Found::Free(Some(bytes))
            }
        }
    }
}

impl<T> Found<T> {
    /// What a new entry replaces.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Free(garbage) => garbage.as_deref().map(Vec::as_slice),
            Self::Read(_, bytes) => Some(bytes),
            Self::Foreign => None,
        }
    }

    pub(super) fn value(&self) -> Option<&T> {
        match self {
            Self::Read(value, _) => Some(value),
            _ => None,
        }
    }
}
