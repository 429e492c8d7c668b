//! The one place atomics come from, so that loom can replace them when a protocol is model-checked.
//!
//! Every module that takes part in a protocol between processes imports from here and from nowhere else. An ordering
//! stronger than `Relaxed` carries a `// SYNC <name>` comment, and so does the operation it pairs with.

#[cfg(not(loom))]
pub(crate) mod seeded;
#[cfg(loom)]
pub mod seeded;

#[cfg(loom)]
pub use loom::sync::atomic;

#[cfg(not(loom))]
pub use std::sync::atomic;

/// Tells the processor (or loom's scheduler) that the caller spins.
#[inline]
pub fn spin_hint() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::hint::spin_loop();
}
