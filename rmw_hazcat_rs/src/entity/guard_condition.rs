//! Guard conditions: flags that are triggered by hand and wake wait sets of their process.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crate::allocator::Allocator;

/// A guard condition. It needs no context; it only remembers what its handle was allocated with.
pub struct GuardCondition {
    core: hazcat_core::GuardCondition,
    allocator: Allocator,
    retired: AtomicBool,
}

impl GuardCondition {
    /// A condition that is not triggered.
    pub fn new(allocator: &Allocator) -> Arc<Self> {
        Arc::new(Self {
            core: hazcat_core::GuardCondition::new(),
            allocator: *allocator,
            retired: AtomicBool::new(false),
        })
    }

    /// Its handle is destroyed: ends the waits that still have it.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.core.trigger();
    }

    /// Whether its handle was destroyed.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// What its handle was allocated with.
    pub fn allocator(&self) -> &Allocator {
        &self.allocator
    }
}

impl Deref for GuardCondition {
    type Target = hazcat_core::GuardCondition;

    fn deref(&self) -> &Self::Target {
        &self.core
    }
}
