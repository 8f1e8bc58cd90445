//! A store is an optimisation: every operation has a limit, and a store that fails is left alone for a while.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::contract::{BoxError, Entry, EntryName, TokenStore};
use crate::{
    lock::lock,
    report::{Reporter, store as report},
    runtime::{Panicked, caught},
};

/// The limit of an operation that callers wait for, and of one beside the traffic.
const WAITED_FOR: Duration = Duration::from_millis(250);
const BESIDE_TRAFFIC: Duration = Duration::from_secs(2);
const CONNECTING: Duration = Duration::from_secs(2);
/// One beside the traffic, with connecting, ends within this time.
pub(crate) const LONGEST_OPERATION: Duration = CONNECTING.saturating_add(BESIDE_TRAFFIC);
/// Limits are counted in steps of this length.
const STEP: Duration = Duration::from_millis(10);
/// How long a store that failed is left alone.
const LEAST_ALONE: Duration = Duration::from_secs(5);
const MOST_ALONE: Duration = Duration::from_secs(60);

/// Whether a caller waits for an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    WaitedFor,
    BesideTraffic,
}

impl Urgency {
    fn limit(self) -> Duration {
        match self {
            Self::WaitedFor => WAITED_FOR,
            Self::BesideTraffic => BESIDE_TRAFFIC,
        }
    }
}

type Outcome<T> = Result<T, BoxError>;

/// The store is down: instances request tokens themselves.
#[derive(Debug)]
pub(crate) struct Down;

/// A store with limits.
pub(crate) struct Bounded {
    store: Arc<dyn TokenStore>,
    pub(super) report: Reporter,
    /// `None`: it is up.
    outage: Mutex<Option<Outage>>,
}

struct Outage {
    since: Instant,
    /// When it is tried again.
    until: Instant,
    /// Whether a put failed last. A store that is full still loads: it is not back before something is stored.
    is_of_puts: bool,
}

impl Bounded {
    pub(super) fn new(store: Arc<dyn TokenStore>, report: Reporter) -> Self {
        Self { store, report, outage: Mutex::new(None) }
    }

    /// In logs.
    pub(crate) fn name(&self) -> &str {
        self.store.name()
    }

    /// Whether an operation would be tried now.
    pub(crate) fn is_up(&self) -> bool {
        self.outage().as_ref().is_none_or(|outage| Instant::now() >= outage.until)
    }

    pub(super) async fn load(&self, names: &[EntryName], urgency: Urgency) -> Result<Vec<Option<Entry>>, Down> {
        self.run(false, urgency, || self.store.load(names)).await
    }

    /// Has an effect within the limit or none, except that its result may be lost.
    pub(super) async fn put(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
        urgency: Urgency,
    ) -> Result<bool, Down> {
        self.run(true, urgency, || self.store.put(name, old, new, life, urgency.limit())).await
    }

    pub(super) async fn remove(&self, name: &EntryName, old: &[u8], urgency: Urgency) -> Result<bool, Down> {
        self.run(false, urgency, || self.store.remove(name, old)).await
    }

    /// Removes what an operation may have stored that failed, whether the store is up or not.
    pub(super) async fn retract(&self, name: &EntryName, old: &[u8]) {
        let _ = timeout(BESIDE_TRAFFIC, tried(|| self.store.remove(name, old))).await;
    }

    /// Tries once more on a failure, since that may have been about a single connection.
    async fn run<T, F>(&self, is_put: bool, urgency: Urgency, operation: impl Fn() -> F) -> Result<T, Down>
    where
        F: Future<Output = Outcome<T>>,
    {
        let (began, limit) = (Instant::now(), urgency.limit());
        if !self.may_try(began, CONNECTING + limit) {
            return Err(Down);
        }
        if let Err(error) = within(CONNECTING, "no connection", tried(|| self.store.connect())).await {
            return Err(self.failed(false, began, &error));
        }
        let twice = async {
            match tried(&operation).await {
                Ok(output) => Ok(output),
                Err(_) => tried(&operation).await,
            }
        };
        match within(limit, "no result", twice).await {
            Ok(output) => {
                self.succeeded(is_put, began);
                Ok(output)
            }
            Err(error) => Err(self.failed(is_put, began, &error)),
        }
    }

    /// After an outage, one operation tries, and no other until that has ended.
    fn may_try(&self, now: Instant, limit: Duration) -> bool {
        let mut outage = self.outage();
        let Some(outage) = outage.as_mut() else { return true };
        let is_due = now >= outage.until;
        if is_due {
            outage.until = now + limit;
        }
        is_due
    }

    fn succeeded(&self, is_put: bool, began: Instant) {
        let mut outage = self.outage();
        let ended = outage.take_if(|outage| outage.since < began && (is_put || !outage.is_of_puts));
        if let Some(outage) = outage.as_mut().filter(|outage| outage.since < began) {
            // A put may be tried.
            outage.until = Instant::now();
        }
        drop(outage);
        self.is_back(ended);
    }

    /// Another instance stored what was made so long ago.
    pub(super) fn was_stored(&self, ago: Duration) {
        let ended = self.outage().take_if(|outage| outage.is_of_puts && ago < outage.since.elapsed());
        self.is_back(ended);
    }

    fn is_back(&self, ended: Option<Outage>) {
        if let Some(outage) = ended {
            report::is_back(&self.report, self.name(), outage.since.elapsed());
        }
    }

    fn failed(&self, is_put: bool, began: Instant, error: &BoxError) -> Down {
        let mut outage = self.outage();
        if outage.as_ref().is_some_and(|outage| outage.since >= began) {
            // It was under way when another one failed.
            return Down;
        }
        let (now, was_down) = (Instant::now(), outage.is_some());
        let since = outage.as_ref().map_or(now, |outage| outage.since);
        // The longer the outage, the longer.
        let most = (2 * LEAST_ALONE + (now - since)).min(MOST_ALONE);
        let wait = LEAST_ALONE.max(most.mul_f64(0.5 + fastrand::f64() / 2.0));
        *outage = Some(Outage { since, until: now + wait, is_of_puts: is_put });
        drop(outage);
        if !was_down {
            report::is_down(&self.report, self.name(), &error.to_string(), wait);
        }
        Down
    }

    fn outage(&self) -> MutexGuard<'_, Option<Outage>> {
        lock(&self.outage)
    }
}

/// A panic is a failure like others.
async fn tried<T, F: Future<Output = Outcome<T>>>(operation: impl FnOnce() -> F) -> Outcome<T> {
    caught(operation).await.unwrap_or_else(|Panicked| Err("it panicked".into()))
}

/// Like `timeout`, except that a step which takes longer counts as one: where a process gets no processor, or stood
/// still, its store is not what is late.
async fn within<T>(limit: Duration, late: &str, operation: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let mut operation = pin!(operation);
    let mut left = limit;
    while !left.is_zero() {
        let step = left.min(STEP);
        if let Ok(outcome) = timeout(step, &mut operation).await {
            return outcome;
        }
        left -= step;
    }
    Err(format!("{late} within {limit:?}").into())
}
