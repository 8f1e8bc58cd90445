//! Copies of values that threads would contend for.

use std::{
    cell::Cell,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
};

/// A value in as many copies as threads can use at the same time.
///
/// A request counts references to its token and to the settings of its adapter. If two threads count the same
/// reference, that alone takes longer than the rest of attaching a token (`scripts/bench` shows it). Alternatives that
/// were tried: an arc-swap in front of copies that threads make at first use costs about 50 more instructions per
/// request, and some requests allocate; copies in thread-local memory would outlive their cache.
#[derive(Clone)]
pub(crate) struct Sharded<T>(Arc<[Apart<T>]>);

/// Far enough apart that no processor loads a neighbour along with it.
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Sharded<T> {
    /// `copy` makes the copy of the threads with this number.
    pub(crate) fn new(mut copy: impl FnMut(usize) -> T) -> Self {
        Self((0..*COPIES).map(|at| Apart(copy(at))).collect())
    }

    /// This thread's copy.
    #[inline]
    pub(crate) fn get(&self) -> &T {
        &self.0[thread() & (self.0.len() - 1)].0
    }

    pub(crate) fn at(&self, thread: usize) -> &T {
        &self.0[thread].0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|copy| &copy.0)
    }
}

/// A power of two: at least twice the number of processors, so that two busy threads seldom share a copy.
static COPIES: LazyLock<usize> =
    LazyLock::new(|| (2 * available_parallelism().map_or(8, usize::from)).next_power_of_two().clamp(8, 64));

static THREADS: AtomicUsize = AtomicUsize::new(0);
thread_local!(static THREAD: Cell<usize> = const { Cell::new(UNNUMBERED) });
const UNNUMBERED: usize = usize::MAX;

/// This thread's number.
#[inline]
fn thread() -> usize {
    match THREAD.get() {
        UNNUMBERED => number_this_thread(),
        thread => thread,
    }
}

#[cold]
fn number_this_thread() -> usize {
    let thread = THREADS.fetch_add(1, Ordering::Relaxed);
    THREAD.set(thread);
    thread
}
