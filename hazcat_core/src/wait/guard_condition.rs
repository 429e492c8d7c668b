//! A flag that one thread sets and a wait set of the same process wakes up from.

use super::local_bell::{Attached, LocalBell};
use super::Waitable;
use crate::ring::full_fence;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// A condition that is triggered by hand. Stays triggered until [`GuardCondition::take`].
#[derive(Default)]
pub struct GuardCondition {
    triggered: AtomicBool,
    attached: Attached,
    /// Whether `attached` may have something: saves the lock where nobody sleeps.
    has_attached: AtomicBool,
}

impl GuardCondition {
    /// A condition that is not triggered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Triggers it and wakes whoever waits for it.
    pub fn trigger(&self) {
        self.triggered.store(true, Ordering::Release);
        // SYNC guard: the sleeper attaches its bell, fences, and looks at the flag.
        full_fence();
        if self.has_attached.load(Ordering::Relaxed) {
            self.attached.ring();
        }
    }

    /// Whether it is triggered.
    pub fn is_triggered(&self) -> bool {
        // SYNC guard
        self.triggered.load(Ordering::Acquire)
    }

    /// Whether it was triggered; it is not any more.
    pub fn take(&self) -> bool {
        // SYNC guard
        self.triggered.swap(false, Ordering::AcqRel)
    }
}

impl Waitable for GuardCondition {
    fn is_ready(&self) -> bool {
        self.is_triggered()
    }

    fn arm(&self, bell: &Arc<LocalBell>) {
        // SYNC guard: the wait set's fence comes after this.
        self.attached.add(bell, || self.has_attached.store(true, Ordering::Release));
    }

    fn disarm(&self, bell: &Arc<LocalBell>) {
        self.attached.remove(bell, |other| self.has_attached.store(other.is_some(), Ordering::Release));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_triggered_until_taken() {
        let condition = GuardCondition::new();
        assert!(!condition.is_ready());
        condition.trigger();
        condition.trigger();
        assert!(condition.is_ready() && condition.is_ready());
        assert!(condition.take());
        assert!(!condition.take() && !condition.is_ready());
    }
}
