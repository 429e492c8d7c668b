//! A doorbell of this process, and who of this process is to be rung by it.

use crate::doorbell;
use crate::participant::OwnBell;
use crate::sys::fork::ForkMark;
use crate::sys::futex;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bell of a wait set of this process. Peers reach it by its index in this participant's bell page.
pub struct LocalBell {
    bell: OwnBell,
    /// The bell's page does not exist in a forked child.
    mark: ForkMark,
}

impl LocalBell {
    pub(super) fn new(bell: OwnBell) -> Self {
        Self { bell, mark: ForkMark::here() }
    }

    /// Its index in the participant's bell page.
    pub fn index(&self) -> u32 {
        self.bell.index()
    }

    /// The word that its wait set sleeps on.
    pub(super) fn word(&self) -> &crate::sync::atomic::AtomicU32 {
        self.bell.word()
    }

    /// Wakes its wait set. Nothing happens in a forked child: nobody waits there.
    pub fn ring(&self) {
        if self.mark.check().is_ok() {
            doorbell::ring_always(self.word(), futex::wake_all);
        }
    }
}

/// The bells that are to be rung for one thing; usually none or one.
#[derive(Default)]
pub struct Attached(Mutex<Vec<Arc<LocalBell>>>);

impl Attached {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<LocalBell>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a bell; `mark` is done under the same lock, so that a concurrent removal cannot undo it.
    pub(crate) fn add(&self, bell: &Arc<LocalBell>, mark: impl FnOnce()) {
        let mut bells = self.lock();
        if !bells.iter().any(|other| Arc::ptr_eq(other, bell)) {
            bells.push(Arc::clone(bell));
        }
        mark();
    }

    /// Takes a bell away; `unmark` gets one that remains, under the same lock.
    pub(crate) fn remove(&self, bell: &Arc<LocalBell>, unmark: impl FnOnce(Option<&Arc<LocalBell>>)) {
        let mut bells = self.lock();
        bells.retain(|other| !Arc::ptr_eq(other, bell));
        unmark(bells.last());
    }

    /// Rings all of them.
    pub(crate) fn ring(&self) {
        for bell in self.lock().iter() {
            bell.ring();
        }
    }
}
