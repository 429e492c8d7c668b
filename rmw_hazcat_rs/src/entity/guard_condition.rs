//! Guard conditions: flags that are triggered by hand and wake wait sets of their process.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::Arc;

use crate::allocator::Allocator;

/// The conditions whose handles were destroyed last. rclcpp's executors wait for those of their nodes and own none of them:
/// one may be destroyed after its pointer was written down for a wait and before that begins.
static RETIRED: [AtomicPtr<GuardCondition>; KEPT] = [const { AtomicPtr::new(std::ptr::null_mut()) }; KEPT];
/// How many of them are kept (about 100 bytes each): more than a thread destroys while another one is held up.
const KEPT: usize = 1024;
/// How many there have been.
static RETIREMENTS: AtomicUsize = AtomicUsize::new(0);

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

    /// Its handle is destroyed: ends the waits that still have it, and those that begin with it soon.
    pub fn retire(self: &Arc<Self>) {
        self.retired.store(true, Ordering::Release);
        self.core.trigger();
        let place = &RETIRED[RETIREMENTS.fetch_add(1, Ordering::Relaxed) % KEPT];
        let oldest = place.swap(Arc::into_raw(Arc::clone(self)).cast_mut(), Ordering::AcqRel);
        if !oldest.is_null() {
            // SAFETY: what a place holds is a reference count, which whoever takes it out gives up.
            drop(unsafe { Arc::from_raw(oldest) });
        }
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
