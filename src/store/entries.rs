//! What is stored of one token: the token, the lease of the instance that requests the next one, and the failure that
//! holds it back.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    availability::{Bounded, Down, Urgency},
    contract::{Entry, EntryName},
    names::Names,
    record::Record,
    seal::{Opened, Seal},
    stored_failure::StoredFailure,
    stored_token::StoredToken,
};
use crate::report::{Reporter, store as report};

/// What all tokens of a cache share.
pub(super) struct Shelf {
    pub store: Bounded,
    pub seal: Seal,
    pub report: Reporter,
    /// Which cache wrote an entry.
    pub instance: u64,
    /// Whether the log has mentioned entries that this instance cannot open.
    pub mentioned: AtomicBool,
}

/// One entry, as it was seen.
pub(super) enum Found<T> {
    /// Nothing that counts. With the bytes of garbage, which a new entry replaces.
    Free(Option<Zeroizing<Vec<u8>>>),
    Read {
        value: T,
        bytes: Zeroizing<Vec<u8>>,
        life: Duration,
    },
    /// Written with another key or by a later version. Left alone while it lives.
    Foreign,
}

/// The entries of a token, as they were seen.
pub(super) struct Seen {
    pub token: Found<StoredToken>,
    pub lease: Found<()>,
    pub failure: Found<StoredFailure>,
    /// How long the look took: what is left of the lives may be less by that.
    pub took: Duration,
}

impl<T> Found<T> {
    /// What a new entry replaces.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Free(bytes) => bytes.as_ref().map(|bytes| &bytes[..]),
            Self::Read { bytes, .. } => Some(bytes),
            Self::Foreign => None,
        }
    }

    pub(super) fn value(&self) -> Option<&T> {
        match self {
            Self::Read { value, .. } => Some(value),
            _ => None,
        }
    }
}

impl Shelf {
    /// Loads the entries. The log mentions garbage if it `mentions` it.
    pub(super) async fn look(&self, names: &Names, urgency: Urgency, mentions: bool) -> Result<Seen, Down> {
        let began = Instant::now();
        let all = [names.token.clone(), names.lease.clone(), names.failure.clone()];
        let mut entries = self.store.load(&all, urgency).await?.into_iter();
        let mut next = || entries.next().flatten();
        Ok(Seen {
            token: self.open(&names.token, next(), mentions, |plain, _| StoredToken::read(plain)),
            lease: self.open(&names.lease, next(), mentions, |plain, _| Record::read(plain).map(drop)),
            failure: self.open(&names.failure, next(), mentions, StoredFailure::read),
            took: began.elapsed(),
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
        let why = match self.seal.open(name, &bytes) {
            Opened::Plain(plain) => match read(&plain, life) {
                Some(value) => return Found::Read { value, bytes, life },
                None => "not what it should be",
            },
            Opened::Garbage(why) => why,
            Opened::Foreign(why) => {
                if !self.mentioned.swap(true, Ordering::Relaxed) {
                    report::foreign(&self.report, self.store.name(), &why);
                }
                return Found::Foreign;
            }
        };
        if mentions {
            report::garbage(&self.report, self.store.name(), why);
        }
        Found::Free(Some(bytes))
    }
}
