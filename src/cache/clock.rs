//! The two clocks that a token's life is measured on.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// A point in time on both clocks. The monotonic clock stops while a machine sleeps; people can set the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Nanoseconds since some point. Negative for a stored token that was requested before it.
    mono: i64,
    /// Nanoseconds since 1970.
    wall: i64,
}

impl Moment {
    /// Whether either clock has reached `at`.
    #[inline]
    pub(crate) fn reached(self, at: Self) -> bool {
        self.mono >= at.mono || self.wall >= at.wall
    }

    /// How long until the first of the clocks reaches `at`.
    pub(crate) fn until(self, at: Self) -> Duration {
        duration(at.mono.saturating_sub(self.mono).min(at.wall.saturating_sub(self.wall)))
    }

    pub(crate) fn wall(self) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(duration(self.wall)).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    pub(crate) fn after(self, wait: Duration) -> Self {
        let wait = nanoseconds(wait);
        Self { mono: self.mono.saturating_add(wait), wall: self.wall.saturating_add(wait) }
    }

    /// How long ago `earlier` was, on the clock that says more.
    #[cfg(feature = "store")]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        duration(self.mono.saturating_sub(earlier.mono).max(self.wall.saturating_sub(earlier.wall)))
    }

    #[cfg(feature = "store")]
    pub(crate) fn before(self, time: Duration) -> Self {
        let time = nanoseconds(time);
        Self { mono: self.mono.saturating_sub(time), wall: self.wall.saturating_sub(time) }
    }

    /// The later of two moments.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { mono: self.mono.max(other.mono), wall: self.wall.max(other.wall) }
    }

    /// The earlier of two moments.
    pub(crate) fn min(self, other: Self) -> Self {
        Self { mono: self.mono.min(other.mono), wall: self.wall.min(other.wall) }
    }
}

/// The clocks that a cache reads: the system's, or a test's.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    manual: Option<Arc<Manual>>,
}

#[derive(Debug)]
struct Manual {
    start: Moment,
    tokio_start: tokio::time::Instant,
    /// How many nanoseconds the wall clock is ahead of the monotonic one.
    wall_ahead: AtomicI64,
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Self {
        Self::default()
    }

    /// For tests: both clocks follow tokio's, so that `tokio::time::pause` and `advance` move them, and the wall clock
    /// jumps with [`jump_wall_clock`](Self::jump_wall_clock).
    #[cfg(feature = "test-util")]
    pub fn tokio() -> Self {
        let (start, tokio_start) = (Self::system().now(), tokio::time::Instant::now());
        Self { manual: Some(Arc::new(Manual { start, tokio_start, wall_ahead: AtomicI64::new(0) })) }
    }

    /// For tests: moves only the wall clock by that many milliseconds, forward (as after a suspend) or back. Does not
    /// change the system's clock.
    #[cfg(feature = "test-util")]
    pub fn jump_wall_clock(&self, milliseconds: i64) {
        if let Some(manual) = &self.manual {
            manual.wall_ahead.fetch_add(milliseconds.saturating_mul(1_000_000), Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        match &self.manual {
            None => last_tick().unwrap_or_else(exact),
            Some(manual) => manual.now(),
        }
    }
}

impl Manual {
    fn now(&self) -> Moment {
        let mut now = self.start.after(self.tokio_start.elapsed());
        now.wall = now.wall.saturating_add(self.wall_ahead.load(Ordering::Relaxed));
        now
    }
}

#[cold]
fn exact() -> Moment {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment { mono: nanoseconds(START.elapsed()), wall: nanoseconds(wall) }
}

/// Three centuries at most.
fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Zero for what is negative.
fn duration(nanoseconds: i64) -> Duration {
    Duration::from_nanos(nanoseconds.max(0).cast_unsigned())
}

/// The longest time between two ticks.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Both clocks as of the kernel's last tick. That is exact enough for tokens. Every request reads them, and reading the
/// exact time takes three times as long.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn last_tick() -> Option<Moment> {
    use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};

    // Unlike `clock_gettime`, this function does not panic if a kernel lacks the clock.
    let read = |clock| {
        let time = clock_gettime_dynamic(DynamicClockId::Known(clock)).ok()?;
        Some((time.tv_sec as i64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as i64))
    };
    Some(Moment { mono: read(ClockId::MonotonicCoarse)?, wall: read(ClockId::RealtimeCoarse)? })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn last_tick() -> Option<Moment> {
    None
}
