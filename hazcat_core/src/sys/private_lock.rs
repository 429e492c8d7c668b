//! A lock between the threads of one process, for a few dozen nanoseconds.
//!
//! Each publisher and each subscription has one, because threads may share them; it is hardly ever contended. Releasing it
//! is a plain store, which is worth ten nanoseconds per message against `std::sync::Mutex`. A waiter spins shortly and
//! then sleeps in growing steps, so that a holder of lower real-time priority on the same processor gets to run.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Turns before the first sleep.
const SPINS: u32 = 200;
/// Longest sleep between two tries.
const MAX_SLEEP: Duration = Duration::from_millis(1);

/// Data that one thread at a time may use.
pub struct PrivateLock<T> {
    locked: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: the lock hands out the data to one thread at a time, so it moves between threads as a `T` would.
unsafe impl<T: Send> Send for PrivateLock<T> {}
// SAFETY: as for Send; `&PrivateLock` gives access to the data only through the lock.
unsafe impl<T: Send> Sync for PrivateLock<T> {}

/// The right to use the data; given back on drop.
pub struct PrivateGuard<'a, T>(&'a PrivateLock<T>);

impl<T> PrivateLock<T> {
    /// An unlocked lock around `data`.
    pub const fn new(data: T) -> Self {
        Self { locked: AtomicBool::new(false), data: UnsafeCell::new(data) }
    }

    /// Waits for the lock.
    #[inline]
    pub fn lock(&self) -> PrivateGuard<'_, T> {
        // SYNC private-lock
        if self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_contended();
        }
        PrivateGuard(self)
    }

    #[cold]
    fn lock_contended(&self) {
        let mut turn = 0;
        let mut sleep = Duration::from_micros(10);
        loop {
            // SYNC private-lock
            if !self.locked.load(Ordering::Relaxed)
                && self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
            turn += 1;
            if turn < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(sleep);
                sleep = (sleep * 2).min(MAX_SLEEP);
            }
        }
    }
}

impl<T> Deref for PrivateGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while its thread holds the lock.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> DerefMut for PrivateGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists only while its thread holds the lock, and `&mut self` makes this the only reference.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T> Drop for PrivateGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SYNC private-lock
        self.0.locked.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_exclude_each_other() {
        let lock = PrivateLock::new((0u64, 0u64));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        let mut guard = lock.lock();
                        let pair = &mut *guard;
                        pair.0 += 1;
                        pair.1 = pair.0;
                    }
                });
            }
        });
        let pair = lock.lock();
        assert_eq!(*pair, (200_000, 200_000));
    }
}
