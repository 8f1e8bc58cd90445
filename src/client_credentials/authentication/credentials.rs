//! The current and the previous id and secret.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::lock::lock;

/// How long after a change the previous secret is still tried: the server may not know the new one yet.
const PREVIOUS_FOR: Duration = Duration::from_secs(10 * 60);

/// The id of a client, and its secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub client_id: Zeroizing<String>,
    /// Empty if the method has none.
    pub client_secret: Zeroizing<String>,
}

#[derive(Default)]
pub(crate) struct History(Mutex<Versions>);

#[derive(Default)]
struct Versions {
    current: Option<Credentials>,
    /// And when they were replaced.
    previous: Option<(Credentials, Instant)>,
}

impl History {
    /// Records the credentials that were just read.
    pub(crate) fn note(&self, read: &Credentials) {
        let mut versions = lock(&self.0);
        if versions.current.as_ref() == Some(read) {
            return;
        }
        if let Some(previous) = versions.current.replace(read.clone()) {
            versions.previous = Some((previous, Instant::now()));
        }
    }

    pub(crate) fn current(&self) -> Option<Credentials> {
        lock(&self.0).current.clone()
    }

    /// The previous credentials, for ten minutes after a change.
    pub(crate) fn previous(&self) -> Option<Credentials> {
        let mut versions = lock(&self.0);
        versions.previous.take_if(|(_, changed_at)| changed_at.elapsed() >= PREVIOUS_FOR);
        versions.previous.as_ref().map(|(credentials, _)| credentials.clone())
    }
}
