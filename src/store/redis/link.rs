//! The current connection: made when it is needed, and again when it is broken.
//!
//! The `ConnectionManager` of the `redis` crate does not do: it belongs to one runtime, stays with a primary that was
//! demoted, and keeps a connection on which an operation got no response.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Instant,
};

use ::redis::FromRedisValue;
use tokio::{runtime::Handle, sync::watch, time::timeout};

use super::{LONGEST, connection::Connection, failure::Failure, operation::Operation};
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
}

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

    /// Returns what the operation's script returns. Tries once more if that may help.
    pub(super) async fn run<T: FromRedisValue>(&self, operation: &Operation) -> Result<T, Failure> {
        match self.run_once(operation).await {
            Err(failure) if failure.is_of_the_connection() => self.run_once(operation).await,
            outcome => outcome,
        }
    }

    async fn run_once<T: FromRedisValue>(&self, operation: &Operation) -> Result<T, Failure> {
        let mut used = InUse { link: self, connection: self.connect().await?, is_alive: false };
        let outcome = operation.run(&used.connection).await;
        used.is_alive = !outcome.as_ref().is_err_and(Failure::is_of_the_connection);
        if outcome.as_ref().is_err_and(Failure::is_of_the_server) {
            used.connection.leave().await;
        }
        outcome
    }

    /// The current connection, or a new one.
    pub(super) async fn connect(&self) -> Result<Arc<Connection>, Failure> {
        // The first may be one whose runtime ended before it was made.
        for _ in 0..2 {
            let mut made = self.attempt()?.made;
            if let Ok(made) = made.wait_for(Option::is_some).await
                && let Some(made) = &*made
            {
                return made.clone();
            }
        }
        Err(Failure::new(format!("connecting to {} ended early: the tokio runtime ended", self.server)))
    }

    fn attempt(&self) -> Result<Attempt, Failure> {
        let mut current = lock(&self.current);
        if let Some(attempt) = current.as_ref().filter(|attempt| attempt.is_usable()) {
            return Ok(attempt.clone());
        }
        let runtime = Handle::try_current().map_err(|_| Failure::new("Redis needs a tokio runtime"))?;
        let (made, receiver) = watch::channel(None);
        let (connect, server) = (Arc::clone(&self.connect), self.server.clone());
        runtime.spawn(async move {
            let outcome = match timeout(LONGEST, caught(|| connect())).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(Panicked)) => Err(Failure::panicked(&server)),
                Err(_) => Err(Failure::new(format!("cannot connect to {server}: it took more than {LONGEST:?}"))),
            };
            made.send_replace(Some(outcome.map(Arc::new)));
        });
        Ok(current.insert(Attempt { started: Instant::now(), made: receiver }).clone())
    }
}

impl Attempt {
    fn has_made(&self, connection: &Arc<Connection>) -> bool {
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

impl Drop for InUse<'_> {
    /// Without a response (then the operation was dropped), it may be dead: no other operation uses it.
    fn drop(&mut self) {
        if !self.is_alive {
            lock(&self.link.current).take_if(|attempt| attempt.has_made(&self.connection));
        }
    }
}
