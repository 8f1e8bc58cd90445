//! The two clocks that a token's life is measured on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// A point in time on both clocks. The monotonic one stands still while a machine sleeps; the wall clock is set by people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    mono: Instant,
    wall: SystemTime,
}

impl Moment {
    /// Whether `at` has come, on whichever clock says so first.
    #[inline]
    pub(crate) fn reached(self, at: Self) -> bool {
        self.mono >= at.mono || self.wall >= at.wall
    }

    /// How long until `at`, by the clock that gets there first.
    pub(crate) fn until(self, at: Self) -> Duration {
        let wall = at.wall.duration_since(self.wall).unwrap_or_default();
        at.mono.saturating_duration_since(self.mono).min(wall)
    }

    pub(crate) fn wall(self) -> SystemTime {
        self.wall
    }

    pub(crate) fn after(self, wait: Duration) -> Self {
        Self {
            mono: self.mono.checked_add(wait).unwrap_or(self.mono),
            wall: self.wall.checked_add(wait).unwrap_or(self.wall),
        }
    }

    /// Which of two comes first.
    pub(crate) fn min(self, other: Self) -> Self {
        Self { mono: self.mono.min(other.mono), wall: self.wall.min(other.wall) }
    }
}

/// Where a cache reads the time. The system's clocks, unless a test says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    manual: Option<Arc<Manual>>,
}

#[derive(Debug)]
struct Manual {
    start: Moment,
    tokio_start: tokio::time::Instant,
    /// Milliseconds that the wall clock is ahead of the monotonic one.
    wall_ahead: AtomicI64,
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Self {
        Self::default()
    }

    /// For tests: both clocks follow tokio's, so that `tokio::time::pause` and `advance` move them, and the wall clock jumps with
    /// [`jump_wall_clock`](Self::jump_wall_clock).
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn tokio() -> Self {
        let manual = Manual {
            start: Moment { mono: Instant::now(), wall: SystemTime::now() },
            tokio_start: tokio::time::Instant::now(),
            wall_ahead: AtomicI64::new(0),
        };
        Self { manual: Some(Arc::new(manual)) }
    }

    /// For tests: moves the wall clock alone by so many milliseconds, ahead (as after a suspend) or back. Does nothing to the
    /// system's clock.
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn jump_wall_clock(&self, milliseconds: i64) {
        if let Some(manual) = &self.manual {
            manual.wall_ahead.fetch_add(milliseconds, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        match &self.manual {
            None => Moment { mono: Instant::now(), wall: SystemTime::now() },
            Some(manual) => manual.now(),
        }
    }
}

impl Manual {
    fn now(&self) -> Moment {
        let mut now = self.start.after(self.tokio_start.elapsed());
        let ahead = self.wall_ahead.load(Ordering::Relaxed);
        let jump = Duration::from_millis(ahead.unsigned_abs());
        let wall = if ahead < 0 { now.wall.checked_sub(jump) } else { now.wall.checked_add(jump) };
        now.wall = wall.unwrap_or(now.wall);
        now
    }
}
