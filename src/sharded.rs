//! Copies of values that threads would contend for.

use std::{
    array,
    cell::Cell,
    ops::Deref,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
};

/// A power of two, so that finding a thread's copy takes no division.
const PLACES: usize = 32;

/// How many of the places have a copy of their own. Several for each processor, so that two threads that run at the
/// same time seldom share one.
static COPIES: LazyLock<usize> = LazyLock::new(|| PLACES.min(4 * available_parallelism().map_or(PLACES, usize::from)));

/// A value in copies, of which each thread uses one. Each has a reference count of its own.
///
/// A request counts references to its token and to the settings of its adapter. If two threads count the same
/// reference, that alone takes longer than the rest of attaching a token (`scripts/bench` shows it). Alternatives that
/// were tried: an arc-swap in front of copies that threads make at first use costs about 50 more instructions per
/// request, and some requests allocate; copies in thread-local memory would outlive their cache.
pub(crate) struct Sharded<T>(Arc<Apart<[Arc<Apart<T>>; PLACES]>>);

/// Far enough apart that no processor loads a neighbour along with it.
#[repr(align(128))]
pub(crate) struct Apart<T>(T);

impl<T> Sharded<T> {
    pub(crate) fn new(copy: impl Fn() -> T) -> Self {
        Self::of((0..*COPIES).map(|_| copy()))
    }

    /// What is made from each copy, for the same threads.
    pub(crate) fn map<U>(&self, make: impl Fn(&Arc<Apart<T>>) -> U) -> Sharded<U> {
        Sharded::of(self.0.iter().take(*COPIES).map(make))
    }

    fn of(copies: impl Iterator<Item = T>) -> Self {
        let copies: Vec<_> = copies.map(|copy| Arc::new(Apart(copy))).collect();
        Self(Arc::new(Apart(array::from_fn(|place| Arc::clone(&copies[place % copies.len()])))))
    }

    /// This thread's copy.
    #[inline]
    pub(crate) fn get(&self) -> &Arc<Apart<T>> {
        &self.0[place()]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().take(*COPIES).map(|copy| &copy.0)
    }
}

impl<T> Clone for Sharded<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// This thread's place. Threads take them in turn.
#[inline]
fn place() -> usize {
    thread_local!(static PLACE: Cell<usize> = const { Cell::new(PLACES) });
    #[cold]
    fn take() -> usize {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        let place = THREADS.fetch_add(1, Ordering::Relaxed) % PLACES;
        PLACE.set(place);
        place
    }
    let place = PLACE.get();
    if place < PLACES { place } else { take() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_threads_copy_is_visited_once() {
        let counts = Sharded::new(AtomicUsize::default);
        for _ in 0..2 * PLACES {
            let counts = counts.clone();
            let counted = std::thread::spawn(move || counts.get().fetch_add(1, Ordering::Relaxed)).join();
            assert!(counted.is_ok());
        }
        let all: usize = counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert_eq!(all, 2 * PLACES);
    }

    #[test]
    fn what_is_made_from_a_copy_is_for_the_same_threads() {
        let copies = Sharded::new(AtomicUsize::default);
        let made = copies.map(Arc::clone);
        std::thread::scope(|threads| {
            for _ in 0..2 * PLACES {
                threads.spawn(|| assert!(Arc::ptr_eq(copies.get(), made.get())));
            }
        });
    }
}
