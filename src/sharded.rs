//! What threads would contend for, in copies.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

const COPIES: usize = 16;

/// Copies of a value for the threads that use it, made when a thread first needs one.
///
/// A request counts references to its token and to the cache. Where two threads count the same reference, that alone takes longer than all the
/// rest of attaching a token (benches/RESULTS.md).
pub(crate) struct Sharded<T>([OnceLock<T>; COPIES]);

impl<T> Sharded<T> {
    pub(crate) fn new() -> Self {
        Self([const { OnceLock::new() }; COPIES])
    }

    /// This thread's copy.
    #[inline]
    pub(crate) fn get(&self, copy: impl FnOnce() -> T) -> &T {
        self.0[own()].get_or_init(copy)
    }
}

/// Threads take turns: those of a small pool have a copy each, more than there are copies share them.
#[inline]
fn own() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed) % COPIES);
    OWN.with(|own| *own)
}
