//! The ring of a topic: one array of words in shared memory that all publishers append to and all subscriptions read.
//!
//! What it guarantees, to whom, at whatever instruction any process stops or dies:
//! * positions ([`Sequence`]) are handed out one by one, without gaps, in one order for everybody;
//! * a message is visible entirely or not at all (one compare-and-swap);
//! * a publisher with an outdated view never overwrites a newer message ([`RingView::append`]);
//! * a message that a reader has protected and validated is not reused ([`held`]).
//!
//! The modules here are pure: they know words and atomics, no files, no payload. loom checks them
//! (`tests/loom_*`), and the data plane runs the very same code over shared memory.

pub mod held;
pub mod place;
pub mod word;

use crate::ids::Sequence;
#[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
use crate::sync::atomic::fence;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::seeded::{planted, Fault};
use word::{MessageRef, SlotWord, Tombstone};

/// Retries after which a loop gives up: with every retry another publisher succeeded, so this many in one call means that
/// somebody scribbles on the ring.
const MAX_RETRIES: u32 = 1 << 20;

/// Why the ring refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// `head` and the slot contradict each other while neither moves: shared memory was overwritten.
    #[error("the ring's head and slot contradict each other")]
    Corrupt,
}

/// Why an append did not happen: the ring's reason or the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendError<E> {
    /// The ring refused.
    Ring(RingError),
    /// The check of the claimed position refused (a keep-all subscription has not got so far).
    Refused(E),
}

/// What stands at a position, seen without touching `head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// Nothing yet: the position has not been published.
    Empty,
    /// A message (or a tombstone) of exactly this position.
    Present(SlotWord),
    /// The ring has gone at least one lap further: what stood here is gone. (Or somebody scribbled: `head` tells.)
    Lapped,
}

/// What a publisher has seen in a slot ahead of its next publication, see [`RingView::append_over`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    at: Sequence,
    word: SlotWord,
}

/// Head and slots of one ring, wherever they lie.
#[derive(Clone, Copy)]
pub struct RingView<'a> {
    head: &'a AtomicU64,
    slots: &'a [AtomicU64],
}

impl<'a> RingView<'a> {
    /// A view of a ring whose capacity is a power of two; `None` for any other number of slots.
    #[inline]
    pub fn new(head: &'a AtomicU64, slots: &'a [AtomicU64]) -> Option<Self> {
        if slots.len().is_power_of_two() {
            Some(Self { head, slots })
        } else {
            None
        }
    }

    /// Position of the first message of a new ring: one full lap in, so that the words of lap zero mean "nothing yet".
    pub fn first_sequence(capacity: usize) -> Sequence {
        Sequence(capacity as u64)
    }

    /// Number of slots.
    #[inline]
    pub fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    /// The slot of a position. The mask keeps it in bounds whatever the position is.
    #[inline]
    fn slot(&self, at: Sequence) -> &'a AtomicU64 {
        &self.slots[(at.0 as usize) & (self.slots.len() - 1)]
    }

    /// Lap of a position, cut to the width of the tag.
    #[inline]
    fn lap(&self, at: Sequence) -> u32 {
        SlotWord::lap_tag(at.0 >> self.slots.len().trailing_zeros())
    }

    /// Next position to be published. May lag behind by the publications whose publishers have not moved it yet.
    #[inline]
    pub fn head(&self) -> Sequence {
        // SYNC ring-head: pairs with the AcqRel exchange in `advance`.
        Sequence(self.head.load(Ordering::Acquire))
    }

    /// Next position to be published, after helping publishers that stopped between their two steps.
    pub fn helped_head(&self) -> Sequence {
        for _ in 0..MAX_RETRIES {
            let head = self.head();
            match self.peek(head) {
                Peek::Present(_) if !planted(Fault::NoHelp) => self.advance(head),
                _ => return head,
            }
        }
        self.head()
    }

    /// Moves `head` past `from`, if nobody has done it yet.
    #[inline]
    fn advance(&self, from: Sequence) {
        // SYNC ring-head: Release so that who sees the new head sees the slot that justified it.
        let _ = self.head.compare_exchange(from.0, from.0.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Looks at a position.
    #[inline]
    pub fn peek(&self, at: Sequence) -> Peek {
        // SYNC ring-slot: pairs with the AcqRel exchange in `append`; what the publisher wrote before is visible.
        let word = SlotWord(self.slot(at).load(Ordering::Acquire));
        let ahead = SlotWord::lap_tag(u64::from(word.lap()).wrapping_sub(u64::from(self.lap(at))));
        // Exactly the lap before: a slot is never further behind a position that is not published yet. A reader may be any
        // number of laps behind the slot, more than half of all tags too.
        match ahead {
            0 => Peek::Present(word),
            SlotWord::LAP_MASK => Peek::Empty,
            _ => Peek::Lapped,
        }
    }

    /// Address of the slot of a position, for cache hints.
    #[inline]
    pub fn slot_address(&self, at: Sequence) -> *const u8 {
        std::ptr::from_ref(self.slot(at)).cast()
    }

    /// Whether the slot of `at` still holds exactly `word` (second read of the reader's protocol, see [`held`]).
    #[inline]
    pub fn still_holds(&self, at: Sequence, word: SlotWord) -> bool {
        // SYNC ring-slot: pairs with the AcqRel exchange in `append`.
        self.slot(at).load(Ordering::Acquire) == word.0 || planted(Fault::NoSecondLook)
    }

    /// Publishes a message at the next free position and returns that position.
    ///
    /// `prepare` is called with each position that is about to be claimed, before the compare-and-swap: it writes the
    /// position into the message's header, and may refuse it (keep-all).
    ///
    /// # Errors
    /// What `prepare` answers, or [`RingError::Corrupt`] where head and slot contradict each other.
    #[inline]
    pub fn append<E>(
        &self,
        message: MessageRef,
        prepare: impl FnMut(Sequence) -> Result<(), E>,
    ) -> Result<Sequence, AppendError<E>> {
        self.append_over(None, message, prepare)
    }

    /// What stands in the slot of `at`, for an [`RingView::append_over`] that is yet to come.
    #[inline]
    pub fn look_ahead(&self, at: Sequence) -> Ahead {
        // SYNC ring-slot: Acquire, as in `append`.
        Ahead { at, word: SlotWord(self.slot(at).load(Ordering::Acquire)) }
    }

    /// Like [`RingView::append`], for a publisher that has looked ahead: if the position seen is the one to be claimed, the
    /// slot is not read again before the compare-and-swap.
    ///
    /// That halves the time until readers see the message: they are looking at this very slot, so its cache line is with
    /// them, and a read before the swap fetches it twice. What was seen may be outdated without harm: the swap compares the
    /// whole word, and a slot never goes back to an earlier one.
    ///
    /// # Errors
    /// As [`RingView::append`].
    #[inline]
    pub fn append_over<E>(
        &self,
        mut ahead: Option<Ahead>,
        message: MessageRef,
        mut prepare: impl FnMut(Sequence) -> Result<(), E>,
    ) -> Result<Sequence, AppendError<E>> {
        for _ in 0..MAX_RETRIES {
            let head = self.head();
            let slot = self.slot(head);
            let found = match ahead.take() {
                Some(ahead) if ahead.at == head || planted(Fault::AheadOfAnyPosition) => ahead.word,
                // SYNC ring-slot: Acquire, so that helping `head` on carries what the slot's publisher wrote.
                _ => SlotWord(slot.load(Ordering::Acquire)),
            };
            let lap = self.lap(head);
            if found.lap() == lap {
                if !planted(Fault::NoHelp) {
                    self.advance(head);
                }
                continue;
            }
            // Exactly the previous lap. Anything else means that `head` is outdated (a swap would destroy a newer
            // message, a whole lap of loss) or that somebody scribbled.
            let previous = SlotWord::lap_tag(u64::from(lap).wrapping_sub(1));
            if found.lap() != previous && !planted(Fault::SwapOverAnyLap) {
                if self.head() == head {
                    return Err(AppendError::Ring(RingError::Corrupt));
                }
                continue;
            }
            prepare(head).map_err(AppendError::Refused)?;
            let word = SlotWord::message(lap, message);
            fault_point!("publish.before-swap");
            // SYNC ring-slot: Release publishes the message; Acquire orders it behind the lap it replaces.
            if slot.compare_exchange(found.0, word.0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                fault_point!("publish.before-head");
                self.advance(head);
                fault_point!("publish.after-head");
                return Ok(head);
            }
        }
        Err(AppendError::Ring(RingError::Corrupt))
    }

    /// Takes `message` out of the slot of `at`, leaving a tombstone with the same lap.
    ///
    /// When this returns, the message is not in that slot any more, by this call or because it was overwritten; either
    /// was observed in the slot itself and is never inferred from `head`. The caller's fence comes after it.
    pub fn remove(&self, at: Sequence, message: MessageRef, why: Tombstone) {
        let lap = self.lap(at);
        let word = SlotWord::message(lap, message);
        // SYNC ring-slot: AcqRel, see `append`; the failure is an observation too, made before the caller's fence.
        let _ = self.slot(at).compare_exchange(
            word.0,
            SlotWord::tombstone(lap, message.publisher(), why).0,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    /// Every message that stands in the ring now, oldest position first.
    pub fn messages(&self) -> impl Iterator<Item = (Sequence, MessageRef)> + '_ {
        let head = self.helped_head().0;
        // No message has a position before the first lap.
        let first = head.saturating_sub(self.capacity()).max(self.capacity());
        (first..head).filter_map(move |at| match self.peek(Sequence(at)) {
            Peek::Present(word) => word.message_ref().map(|message| (Sequence(at), message)),
            _ => None,
        })
    }
}

/// The full fence of the protocols (store-then-load ordering between a holder and a reclaimer, a sleeper and a publisher).
#[inline]
pub fn full_fence() {
    // A locked operation orders stores before later loads as `mfence` does, in a third of the time.
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    // SAFETY: adds zero to the word at the top of the stack, which this thread owns; not `nomem`, so the compiler moves
    // no memory access across it.
    unsafe {
        std::arch::asm!("lock or dword ptr [rsp], 0", options(nostack));
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
    fence(Ordering::SeqCst);
}

/// The same, directly behind an atomic read-modify-write: on x86-64 that has already ordered everything, elsewhere it has
/// not (on ARM a later load may move before the store half).
#[inline]
pub fn full_fence_after_rmw() {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    crate::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
    fence(Ordering::SeqCst);
}
