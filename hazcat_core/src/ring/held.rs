//! How a reader keeps a message from being reused, and how its owner finds out that nobody does.
//!
//! Hazard pointers (M. Michael, 2004) in shared memory. A reader announces the message it is about to read, fences, and
//! looks again whether the message is still where it found it. The owner first takes messages away from where readers
//! find them, fences, and then looks at all announcements. Whatever the interleaving, either the reader's second look
//! fails, or the owner's look finds the announcement:
//!
//! * reader: `held` = word (Release); fence SeqCst; place read again (Acquire)
//! * owner: place changed (or seen changed); fence SeqCst; `held` read (Relaxed); fence Acquire
//!
//! The reader's part is [`announce`] and its caller's second look; the owner's part is [`HeldScan`].

use super::full_fence;
use super::word::MessageRef;
use crate::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
use crate::sync::seeded::{planted, Fault};

/// The word of an entry that holds nothing. (A message of publisher 0, segment 0, chunk 0 is held as a word with
/// `IN_USE` set, so zero is free.)
pub const NOTHING: u64 = 0;
/// What is noted of an entry that may be used.
pub const FREE: u32 = 0;
/// Set in every announcement.
const IN_USE: u64 = 1 << 63;

/// Announces that `message` is about to be read. The caller must look again at the place where it found the message, with
/// Acquire, and [`clear`] the entry if the message is not there any more.
#[inline]
pub fn announce(entry: &AtomicU64, message: MessageRef) {
    // SYNC held: Release, so that the previous message's reads are over before this entry changes.
    entry.store(message.word() | IN_USE, Ordering::Release);
    if !planted(Fault::NoReaderFence) {
        full_fence();
    }
}

/// Ends the reading of what `entry` announces.
#[inline]
pub fn clear(entry: &AtomicU64) {
    // SYNC held: Release, so that all reads of the message are over before its owner can see the entry free; pairs with
    // the Acquire fence in `HeldScan::finish`.
    entry.store(NOTHING, if planted(Fault::RelaxedClear) { Ordering::Relaxed } else { Ordering::Release });
}

/// Whether an entry may be used for the next announcement by any thread of its subscription, by what the subscription's own
/// process has noted of it: the entry itself lies where others can write.
#[inline]
pub fn is_free(note: &AtomicU32) -> bool {
    // SYNC held-note: Acquire, so that the reads of whoever cleared the entry are over for who sees the next announcement in it.
    note.load(if planted(Fault::RelaxedIsFree) { Ordering::Relaxed } else { Ordering::Acquire }) == FREE
}

/// Notes that an entry which was just cleared may be used again.
#[inline]
pub fn vacate(note: &AtomicU32) {
    // SYNC held-note
    note.store(FREE, Ordering::Release);
}

/// What an entry announces now.
#[inline]
pub fn announced(entry: &AtomicU64) -> Option<MessageRef> {
    let word = entry.load(Ordering::Relaxed);
    if word == NOTHING {
        None
    } else {
        MessageRef::from_word(word & !IN_USE)
    }
}

/// The owner's look at all announcements. Made after the messages have been taken out of every place where a reader could
/// find them.
pub struct HeldScan(());

impl HeldScan {
    /// Starts the look: the full fence behind the removal.
    pub fn start() -> Self {
        if !planted(Fault::NoOwnerFence) {
            full_fence();
        }
        Self(())
    }

    /// What `entry` announces.
    #[inline]
    pub fn read(&self, entry: &AtomicU64) -> Option<MessageRef> {
        announced(entry)
    }

    /// Ends the look. What was not announced may be written to from here on.
    pub fn finish(self) {
        // SYNC held: pairs with the Release in `clear`.
        if !planted(Fault::NoAcquireAfterScan) {
            fence(Ordering::Acquire);
        }
    }
}
