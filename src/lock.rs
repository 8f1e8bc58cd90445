use std::sync::{Mutex, MutexGuard, PoisonError};

/// No code that can panic runs under the locks of this crate; a poisoned one would still hold a consistent state.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
