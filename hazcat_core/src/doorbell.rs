//! The bell a sleeper sleeps on, and the rules by which nobody's wake-up is lost.
//!
//! One bell is one 32-bit word. Sleeper: [`arm`] the bell (which changes it), remember the value, mark what it waits for,
//! full fence, look whether something is ready, sleep while the bell holds the remembered value. Ringer: make something
//! ready, full fence, see the mark, [`ring`]. Either the sleeper's look finds what the ringer made ready, or the ringer
//! sees the mark and changes the bell, which ends the sleep (or keeps it from beginning).
//!
//! A ringer that has rung completely and finds the bell unchanged since need not ring again: whoever slept was woken, and
//! nobody has armed the bell since, so whoever looks next looks after this publication too.

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::seeded::{planted, Fault};

/// Marks in a ringer's private memory that it has never rung.
pub const NEVER_RUNG: u64 = u64::MAX;

/// Announces a sleep and returns the value to sleep on. Must come before the marks are set and before the look.
#[inline]
pub fn arm(bell: &AtomicU32) -> u32 {
    if planted(Fault::ArmWithoutChange) {
        return bell.load(Ordering::Acquire);
    }
    // SYNC bell: AcqRel; a read-modify-write, so that it is ordered with every ring in one order of the word.
    bell.fetch_add(1, Ordering::AcqRel).wrapping_add(1)
}

/// Whether somebody has rung (or armed) since the bell had `value`.
#[inline]
pub fn rung_since(bell: &AtomicU32, value: u32) -> bool {
    // SYNC bell
    bell.load(Ordering::Acquire) != value
}

/// Rings, unless the bell still has the value that this ringer's own last finished ring left.
///
/// `last` is private to the ringer's process. `wake` wakes every sleeper on the word (a futex wake).
#[inline]
pub fn ring(bell: &AtomicU32, last: &AtomicU64, wake: impl FnOnce(&AtomicU32)) {
    // SYNC bell
    let now = bell.load(Ordering::Acquire);
    if last.load(Ordering::Relaxed) == u64::from(now) {
        return;
    }
    // SYNC bell: Release; what was made ready before is visible to who sees the new value.
    let left = bell.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
    fault_point!("ring.before-wake");
    if planted(Fault::RememberedBeforeWake) {
        last.store(u64::from(left), Ordering::Relaxed);
    }
    wake(bell);
    // Only now: a ringer that is stopped before the wake must not let another thread believe it has happened.
    last.store(u64::from(left), Ordering::Relaxed);
}

/// Rings whatever the bell's value is: for a ringer that does not know what it left there.
pub fn ring_always(bell: &AtomicU32, wake: impl FnOnce(&AtomicU32)) {
    // SYNC bell
    bell.fetch_add(1, Ordering::AcqRel);
    wake(bell);
}
