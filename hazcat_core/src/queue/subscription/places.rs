//! Which of a subscription's held entries are in use: known to its process alone.
//!
//! What is announced in shared memory tells the others what is being read. It is never asked which entry is free, or whether
//! a segment may be unmapped: whoever overwrites it can cost messages, but neither take memory away from under a reader nor
//! leave the subscription without an entry.

use crate::queue::layout::MAX_HELD;
use crate::queue::sample::HeldIndex;
use crate::ring::held::{self, FREE};
use crate::sync::atomic::{AtomicU32, Ordering};

/// Turn of an entry whose message was returned while a stream still reads it.
const RETURNING: u32 = u32::MAX;

/// The turn that follows another.
#[inline]
pub(super) fn after(turn: u32) -> u32 {
    if turn < RETURNING - 1 {
        turn + 1
    } else {
        FREE + 1
    }
}

/// Which message occupies each held entry, by its turn; [`FREE`]: none.
#[derive(Default)]
pub(super) struct Places {
    turns: [AtomicU32; MAX_HELD],
}

impl Places {
    /// A free entry, if there is one; stays free while the subscription's lock is held.
    #[inline]
    pub(super) fn free(&self) -> Option<u32> {
        self.turns.iter().position(held::is_free).map(|place| place as u32)
    }

    /// Whether nothing is held, and nothing is being read by a stream.
    pub(super) fn are_all_free(&self) -> bool {
        self.turns.iter().all(held::is_free)
    }

    /// Notes that a message is handed out. Under the subscription's lock, for an entry that was free.
    #[inline]
    pub(super) fn occupy(&self, index: HeldIndex) {
        if let Some(turn) = self.turns.get(index.place as usize) {
            turn.store(index.turn, Ordering::Relaxed);
        }
    }

    /// Whether that very message is held.
    #[inline]
    pub(super) fn is_occupied_by(&self, index: HeldIndex) -> bool {
        index.turn != RETURNING
            && self.turns.get(index.place as usize).is_some_and(|turn| turn.load(Ordering::Relaxed) == index.turn)
    }

    /// Gives an entry back that has just been cleared.
    #[inline]
    pub(super) fn vacate(&self, place: usize) {
        if let Some(turn) = self.turns.get(place) {
            held::vacate(turn);
        }
    }

    /// Leaves a held message to a stream. `false` where it is not held: once, whichever thread is first.
    pub(super) fn leave_to_stream(&self, index: HeldIndex) -> bool {
        let turn = self.turns.get(index.place as usize).filter(|_| index.turn != RETURNING);
        turn.is_some_and(|turn| {
            turn.compare_exchange(index.turn, RETURNING, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        })
    }

    /// Whether a stream still reads a message.
    pub(super) fn are_returning(&self) -> bool {
        // SYNC held-note: what streams have given back is cleared before the record is another's.
        self.turns.iter().any(|turn| turn.load(Ordering::Acquire) == RETURNING)
    }
}
