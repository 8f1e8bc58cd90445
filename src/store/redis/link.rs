//! The current connection: made when it is needed, and again when it is broken.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use tokio::{runtime::Handle, sync::watch, task::AbortHandle, time::timeout};

use super::{
    LONGEST,
    connection::Connection,
    failure::Failure,
    operation::{Operation, Outcome},
};
use crate::{
    lock::lock,
    runtime::{Panicked, caught},
};

pub(super) type Connecting = Pin<Box<dyn Future<Output = Result<Connection, Failure>> + Send>>;

pub(super) struct Link {
    /// For logs and errors.
    pub server: String,
    connect: Arc<dyn Fn() -> Connecting + Send + Sync>,
    current: Mutex<Option<Attempt>>,
}

/// A connection, perhaps still being made. That outlasts the operation that needed it first, which may have less time.
#[derive(Clone)]
struct Attempt {
    started: Instant,
    made: watch::Receiver<Option<Result<Arc<Connection>, Failure>>>,
    _task: Arc<Task>,
}

/// Aborted when this is dropped.
struct Task(AbortHandle);

/// A connection in use by an operation.
struct InUse<'a> {
    link: &'a Link,
    connection: Arc<Connection>,
    is_alive: bool,
}

impl Link {
    pub(super) fn new(server: String, connect: impl Fn() -> Connecting + Send + Sync + 'static) -> Self {
        Self { server, connect: Arc::new(connect), current: Mutex::default() }
    }

    pub(super) async fn run(&self, operation: &Operation) -> Result<Outcome, Failure> {
        let outcome = self.connection().await?.run(operation).await;
        match outcome {
            Err(failure) if failure.is_of_the_connection() => self.connection().await?.run(operation).await,
            outcome => outcome,
        }
    }

    pub(super) async fn connect(&self) -> Result<(), Failure> {
        self.connection().await.map(|mut connection| connection.is_alive = true)
    }

    /// The current connection, or a new one.
    async fn connection(&self) -> Result<InUse<'_>, Failure> {
        // The first may be one whose runtime ended before it was made.
        for _ in 0..2 {
            let mut made = self.attempt()?.made;
            if let Ok(made) = made.wait_for(Option::is_some).await
                && let Some(made) = &*made
            {
                return made.clone().map(|connection| InUse { link: self, connection, is_alive: false });
            }
        }
        Err(Failure::new(format!("connecting to {} ended early: the tokio runtime ended", self.server)))
    }

    fn attempt(&self) -> Result<Attempt, Failure> {
        let mut current = self.current();
        if let Some(attempt) = current.as_ref().filter(|attempt| attempt.is_usable()) {
            return Ok(attempt.clone());
        }
        let runtime = Handle::try_current().map_err(|_| Failure::new("Redis needs a tokio runtime"))?;
        let (made, receiver) = watch::channel(None);
        let (connect, server) = (Arc::clone(&self.connect), self.server.clone());
        let task = runtime.spawn(async move {
            let outcome = match timeout(LONGEST, caught(|| connect())).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(Panicked)) => Err(Failure::panicked(&server)),
                Err(_) => Err(Failure::new(format!("cannot connect to {server}: it took more than {LONGEST:?}"))),
            };
            made.send_replace(Some(outcome.map(Arc::new)));
        });
        let task = Arc::new(Task(task.abort_handle()));
        Ok(current.insert(Attempt { started: Instant::now(), made: receiver, _task: task }).clone())
    }

    /// Lets no other operation use it.
    fn discard(&self, connection: &Arc<Connection>) {
        let mut current = self.current();
        let is_it = |attempt: &mut Attempt| attempt.is(connection);
        let discarded = current.take_if(is_it);
        drop(current);
        // Not under the lock: it may be the last handle of a task.
        drop(discarded);
    }

    fn current(&self) -> MutexGuard<'_, Option<Attempt>> {
        lock(&self.current)
    }
}

impl Attempt {
    fn is(&self, connection: &Arc<Connection>) -> bool {
        matches!(&*self.made.borrow(), Some(Ok(made)) if Arc::ptr_eq(made, connection))
    }

    fn is_usable(&self) -> bool {
        match &*self.made.borrow() {
            Some(made) => made.is_ok(),
            // Its runtime may have ended, or stand still.
            None => self.made.has_changed().is_ok() && self.started.elapsed() < LONGEST,
        }
    }
}

impl InUse<'_> {
    async fn run(mut self, operation: &Operation) -> Result<Outcome, Failure> {
        let outcome = operation.run(&self.connection).await;
        self.is_alive = !outcome.as_ref().is_err_and(Failure::is_of_the_connection);
        if outcome.as_ref().is_err_and(Failure::is_of_the_server) {
            self.connection.leave().await;
        }
        outcome
    }
}

impl Drop for InUse<'_> {
    /// Without a response (then the operation was dropped), it may be dead.
    fn drop(&mut self) {
        if !self.is_alive {
            self.link.discard(&self.connection);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
