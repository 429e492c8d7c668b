//! What surrounds the doorbell: a futex, a ring, one armed bit, a sleeper and publishers that may stop anywhere.

use crate::harness::{first, message, seen, Ring};
use hazcat_core::doorbell;
use hazcat_core::ids::Sequence;
use hazcat_core::ring::word::MessageRef;
use hazcat_core::ring::{full_fence, full_fence_after_rmw, Peek, RingView};
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::sync::{Condvar, Mutex};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// The sleeper's bit in `armed`.
const BIT: u64 = 1;

/// Bugs in what surrounds the doorbell.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Twin {
    None,
    /// The sleeper looks without a fence behind its marks.
    NoSleeperFence,
    /// The publisher looks at the marks without a fence.
    NoPublisherFence,
    /// The sleeper reads the bell's value when it has looked.
    LateValue,
    /// The publisher takes the marks, then rings.
    TakesMarksFirst,
    /// The publisher rings, then takes the marks.
    TakesMarksLast,
    /// Nobody rings when a publisher has died.
    NoNews,
    /// News ring only if the bell has changed since this process' last ring.
    NewsWithShortcut,
}

/// Ends a publisher by unwinding (no panic, no message).
struct Ended;

/// How far a publisher gets.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fate {
    Lives,
    /// The message is in its slot, `head` is not moved.
    EndsAfterSwap,
    /// The message is published; the marks have not been looked at (or have been, to no effect).
    EndsBeforeRing,
    /// The bell has changed; nobody has been woken.
    EndsBeforeWake,
}

/// All points at which a publisher can end.
pub const ENDS: [Fate; 3] = [Fate::EndsAfterSwap, Fate::EndsBeforeRing, Fate::EndsBeforeWake];

/// One topic with one subscription, and the wait set's bell.
pub struct Topic {
    pub ring: Ring<2>,
    armed: AtomicU64,
    bell: AtomicU32,
    queue: Mutex<()>,
    woken: Condvar,
}

impl Topic {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            ring: Ring::new(),
            armed: AtomicU64::new(0),
            bell: AtomicU32::new(0),
            queue: Mutex::new(()),
            woken: Condvar::new(),
        })
    }

    /// `futex::wait` without a deadline.
    fn futex_wait(&self, value: u32) {
        let queue = self.queue.lock().unwrap();
        if self.bell.load(Ordering::Relaxed) == value {
            seen("it slept");
            drop(self.woken.wait(queue).unwrap());
        } else {
            seen("the sleep did not begin");
        }
    }

    /// `futex::wake_all`.
    fn futex_wake(&self) {
        let _queue = self.queue.lock().unwrap();
        self.woken.notify_all();
    }

    /// `Subscription::has_data`, by slot tags.
    fn is_ready(&self, cursor: Sequence) -> bool {
        matches!(self.ring.view().peek(cursor), Peek::Present(_))
    }

    /// `WaitSet::wait_with` without the spinning, on one subscription whose cursor is `cursor`.
    pub fn wait(&self, cursor: Sequence, twin: Twin) {
        if self.is_ready(cursor) {
            return;
        }
        loop {
            let mut value = doorbell::arm(&self.bell);
            self.armed.fetch_or(BIT, Ordering::AcqRel);
            if twin != Twin::NoSleeperFence {
                full_fence();
            }
            if self.is_ready(cursor) {
                break;
            }
            if twin == Twin::LateValue {
                value = self.bell.load(Ordering::Acquire);
            }
            self.futex_wait(value);
            if self.is_ready(cursor) {
                break;
            }
            seen("it was woken for nothing");
        }
        self.armed.fetch_and(!BIT, Ordering::AcqRel);
    }

    /// `Subscription::take`: the message at the cursor, if there is one.
    pub fn take(&self, cursor: &mut Sequence) -> Option<MessageRef> {
        let Peek::Present(word) = self.ring.view().peek(*cursor) else { return None };
        cursor.0 += 1;
        word.message_ref()
    }

    /// `Publisher::publish_raw` by `publisher`, whose process has rung `last`. Answers whether it came to its end.
    pub fn publish(&self, publisher: u16, chunk: u32, last: &AtomicU64, fate: Fate, twin: Twin) -> bool {
        let message = message(publisher, chunk);
        let appended = if fate == Fate::EndsAfterSwap {
            // The same code over the same slots, with a head that nobody else sees.
            let nobodys = AtomicU64::new(first::<2>().0);
            let view = RingView::new(&nobodys, &self.ring.slots).expect("a power of two");
            view.append(message, |_| Ok::<(), ()>(()))
        } else {
            self.ring.view().append(message, |_| Ok::<(), ()>(()))
        };
        appended.expect("nobody scribbles");
        if matches!(fate, Fate::EndsAfterSwap | Fate::EndsBeforeRing) {
            return false;
        }
        self.wake_sleepers(last, fate, twin)
    }

    /// `Publisher::wake_sleepers`.
    fn wake_sleepers(&self, last: &AtomicU64, fate: Fate, twin: Twin) -> bool {
        if twin != Twin::NoPublisherFence {
            full_fence_after_rmw();
        }
        if self.armed.load(Ordering::Relaxed) & BIT == 0 {
            seen("nobody slept");
            return fate == Fate::Lives;
        }
        if twin == Twin::TakesMarksFirst {
            self.armed.fetch_and(!BIT, Ordering::AcqRel);
        }
        let mut rang = false;
        let ring = || {
            doorbell::ring(&self.bell, last, |_| {
                rang = true;
                if fate == Fate::EndsBeforeWake {
                    // Out of the middle of `ring`: what it does behind the wake must not happen.
                    resume_unwind(Box::new(Ended));
                }
                self.futex_wake();
            });
        };
        let outcome = catch_unwind(AssertUnwindSafe(ring));
        seen(if rang { "it rang" } else { "it need not ring" });
        match outcome {
            Ok(()) => {}
            Err(end) if end.is::<Ended>() => return false,
            Err(panic) => resume_unwind(panic),
        }
        if twin == Twin::TakesMarksLast {
            self.armed.fetch_and(!BIT, Ordering::AcqRel);
        }
        fate == Fate::Lives
    }

    /// The sleeper's own process has heard of a death: `Bells::ring_all_own`. `last` is that process' own last ring.
    pub fn news(&self, last: &AtomicU64, twin: Twin) {
        match twin {
            Twin::NoNews => {}
            Twin::NewsWithShortcut => doorbell::ring(&self.bell, last, |_| self.futex_wake()),
            _ => doorbell::ring_always(&self.bell, |_| self.futex_wake()),
        }
    }
}

/// What a process that has never rung remembers.
pub fn never_rung() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(doorbell::NEVER_RUNG))
}
