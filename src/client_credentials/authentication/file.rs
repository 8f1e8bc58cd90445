//! A secret in a file, read outside the runtime's worker threads.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
};

use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::{
    error::{Error, ErrorKind},
    lock::lock,
    secret_file::{read, shown_path},
};

/// A file that is read by only one thread at a time: a mount that hangs blocks that thread, and no other.
pub(super) struct SecretFile {
    pub path: PathBuf,
    reading: OneAtATime<Result<Zeroizing<String>, Error>>,
}

impl SecretFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, reading: OneAtATime(Mutex::default()) }
    }

    /// `field` is the name of this secret in errors.
    pub(super) async fn read(&self, field: &str) -> Result<Zeroizing<String>, Error> {
        let (path, subject) = (self.path.clone(), format!("{field}: the file {}", shown_path(&self.path)));
        let shutting_down = Error::new(ErrorKind::Credentials, format!("{subject} cannot be read"));
        let reading = self.reading.join(move || read(&path, &subject, ErrorKind::Credentials));
        reading.await.unwrap_or(Err(shutting_down))
    }
}

/// Runs blocking work once for all callers that arrive while it runs. Its outcome is not kept.
struct OneAtATime<T>(Mutex<Weak<watch::Sender<Option<T>>>>);

impl<T: Clone + Send + Sync + 'static> OneAtATime<T> {
    /// `None`: the runtime shut down before the work started.
    async fn join(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let mut outcome = self.running_or(work);
        // Until the sender is dropped, so that whoever saw the outcome can start the work again.
        while outcome.changed().await.is_ok() {}
        outcome.borrow().clone()
    }

    fn running_or(&self, work: impl FnOnce() -> T + Send + 'static) -> watch::Receiver<Option<T>> {
        let mut running = lock(&self.0);
        if let Some(sender) = running.upgrade() {
            return sender.subscribe();
        }
        let sender = Arc::new(watch::Sender::new(None));
        *running = Arc::downgrade(&sender);
        let outcome = sender.subscribe();
        tokio::task::spawn_blocking(move || sender.send_replace(Some(work())));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use super::OneAtATime;

    /// With a mount that hangs, later attempts start no thread of their own. After it, the file is read again.
    #[tokio::test]
    async fn attempts_share_the_thread_that_hangs() {
        let (reading, begun) = (OneAtATime(Mutex::default()), Arc::new(AtomicUsize::new(0)));
        let (release, held) = mpsc::channel::<()>();
        let mut held = Some(held);
        for _ in 0..5 {
            let (begun, held) = (Arc::clone(&begun), held.take());
            let attempt = reading.join(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                held.map(|held| held.recv())
            });
            tokio::time::timeout(Duration::from_millis(1), attempt).await.expect_err("it hangs");
        }
        release.send(()).expect("the first is there");
        // Either ends with the first, or begins another.
        let _ = reading.join(|| None).await;
        let again = reading.join(|| Some(Ok(()))).await.expect("it ran");
        assert!(again.is_some());
        assert_eq!(begun.load(Ordering::SeqCst), 1);
    }
}
