//! A secret in a file, read outside the runtime's worker threads.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
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
        Self { path, reading: OneAtATime(Arc::default()) }
    }

    /// `field` is the name of this secret in errors.
    pub(super) async fn read(&self, field: &str) -> Result<Zeroizing<String>, Error> {
        let (path, subject) = (self.path.clone(), format!("{field}: the file {}", shown_path(&self.path)));
        let shutting_down = Error::new(ErrorKind::Credentials, format!("{subject} cannot be read"));
        let reading = self.reading.join(move || read(&path, &subject, ErrorKind::Credentials));
        reading.await.unwrap_or(Err(shutting_down))
    }
}

/// Runs blocking work once for all callers that arrive while it runs.
struct OneAtATime<T>(Arc<Mutex<Option<watch::Receiver<Option<T>>>>>);

impl<T: Clone + Send + Sync + 'static> OneAtATime<T> {
    /// `None`: the runtime shut down before the work started.
    async fn join(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let mut outcome = self.running_or(work);
        outcome.wait_for(Option::is_some).await.ok()?.clone()
    }

    fn running_or(&self, work: impl FnOnce() -> T + Send + 'static) -> watch::Receiver<Option<T>> {
        let mut running = lock(&self.0);
        // An error means that the sender was dropped, so there will be no outcome.
        if let Some(running) = running.as_ref().filter(|running| running.has_changed().is_ok()) {
            return running.clone();
        }
        let (sender, receiver) = watch::channel(None);
        *running = Some(receiver.clone());
        let slot = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            let outcome = work();
            // Later callers start again, and the outcome is not kept.
            lock(&slot).take();
            sender.send_replace(Some(outcome));
        });
        receiver
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use super::OneAtATime;

    /// With a mount that hangs, later attempts start no thread of their own. After it, the file is read again.
    #[tokio::test]
    async fn attempts_share_the_thread_that_hangs() {
        let (reading, begun) = (OneAtATime(Arc::default()), Arc::new(AtomicUsize::new(0)));
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
