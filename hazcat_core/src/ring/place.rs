//! Places for copies: one per position and memory domain, beside the slots of a ring.
//!
//! Where a message lies in another domain than a taker wants it in, the first taker of that domain claims the place of that
//! position, copies, and publishes the copy there for all others of its domain. What it guarantees, to whom, at whatever
//! instruction any process stops or dies:
//! * a place never goes back to an earlier lap, and only who claimed it can publish a copy in it;
//! * so there is at most one copy of a message per domain for everybody to find, until it is removed;
//! * a claim names its claimant and tells it from earlier users of the same record: if the claimant is gone, any other taker
//!   may take the claim over; if it is stopped, others copy for themselves, and nobody waits for it;
//! * a copy that a reader has announced and found in its place again is not reused (see [`super::held`]; removal here is what
//!   removal from a slot is there).
//!
//! The words are those of slots, with two more kinds of tombstone:
//!
//! | segment field | chunk field | meaning |
//! |---|---|---|
//! | a segment | a chunk | a copy, in memory of the copier named by the publisher field |
//! | all ones | 0 | empty: nothing was copied yet, a copy failed, or was removed |
//! | all ones | nonce << 2 or 2 | claimed by the copier named by the publisher field, which has this nonce |

use super::word::{MessageRef, SlotWord, Tombstone};
use crate::ids::{PublisherIndex, Sequence};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::seeded::{planted, Fault};

/// Laps ahead that count as newer; more are laps behind.
const HALF_OF_LAPS: u32 = SlotWord::LAP_MASK.div_ceil(2);

/// Who claims a place: the record of a copier, and a number that tells it from others that had the record before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claimant {
    /// Index of the copier's record.
    pub copier: PublisherIndex,
    /// Any number; [`Claimant::NONCE_MASK`] of it count.
    pub nonce: u32,
}

impl Claimant {
    /// The bits of a nonce that fit into a place.
    pub const NONCE_MASK: u32 = (1 << 28) - 1;
}

/// The word of a place, as it was found or left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlaceWord(SlotWord);

/// What stands in the place of a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nothing of this position: it may be claimed.
    Vacant(PlaceWord),
    /// Somebody is copying.
    Claimed(Claimant, PlaceWord),
    /// A copy.
    Copied(MessageRef, PlaceWord),
    /// The place belongs to a later position already.
    Passed,
}

/// The places of one domain, wherever they lie.
#[derive(Clone, Copy)]
pub struct PlacesView<'a>(&'a [AtomicU64]);

impl<'a> PlacesView<'a> {
    /// A view of as many places as the ring has slots; `None` where that is not a power of two.
    #[inline]
    pub fn new(places: &'a [AtomicU64]) -> Option<Self> {
        if places.len().is_power_of_two() {
            Some(Self(places))
        } else {
            None
        }
    }

    fn place(&self, at: Sequence) -> &'a AtomicU64 {
        &self.0[(at.0 as usize) & (self.0.len() - 1)]
    }

    fn lap(&self, at: Sequence) -> u32 {
        SlotWord::lap_tag(at.0 >> self.0.len().trailing_zeros())
    }

    /// Looks at the place of a position.
    pub fn look(&self, at: Sequence) -> Place {
        // SYNC place: pairs with the Release in `publish`; what the copier wrote is visible.
        let word = SlotWord(self.place(at).load(Ordering::Acquire));
        let ahead = SlotWord::lap_tag(u64::from(word.lap()).wrapping_sub(u64::from(self.lap(at))));
        let found = PlaceWord(word);
        match ahead {
            // Nothing was ever here, and the laps have come round. (No copy lies at the beginning of a segment.)
            0 if word.0 == 0 => Place::Vacant(found),
            0 => match (word.message_ref(), claimant_of(word)) {
                (Some(copy), _) => Place::Copied(copy, found),
                (None, Some(claimant)) => Place::Claimed(claimant, found),
                (None, None) => Place::Vacant(found),
            },
            1..HALF_OF_LAPS if !planted(Fault::ClaimOverNewerLap) => Place::Passed,
            _ => Place::Vacant(found),
        }
    }

    /// Claims the place of `at`, which was found vacant, or claimed by somebody who is gone. Answers the claim, or `None` where
    /// the place has changed.
    pub fn claim(&self, at: Sequence, found: PlaceWord, who: Claimant) -> Option<PlaceWord> {
        let nonce = u64::from(who.nonce & Claimant::NONCE_MASK);
        let empty = SlotWord::tombstone(self.lap(at), who.copier, Tombstone::Expired).0;
        let claim = PlaceWord(SlotWord(empty | nonce << 2 | 2));
        // SYNC place: Acquire, so that what is replaced happened before; the claim itself shows nothing.
        let claimed = self.place(at).compare_exchange(found.0 .0, claim.0 .0, Ordering::AcqRel, Ordering::Relaxed);
        claimed.is_ok().then_some(claim)
    }

    /// Publishes a copy under a claim. `false` where the claim was taken over or the place has moved on: then the copy is the
    /// claimant's own affair.
    pub fn publish(&self, at: Sequence, claim: PlaceWord, copy: MessageRef) -> bool {
        let word = SlotWord::message(self.lap(at), copy).0;
        if planted(Fault::PublishWithoutClaim) {
            self.place(at).store(word, Ordering::Release);
            return true;
        }
        let success = if planted(Fault::RelaxedPublish) { Ordering::Relaxed } else { Ordering::AcqRel };
        // SYNC place: Release publishes the copy.
        self.place(at).compare_exchange(claim.0 .0, word, success, Ordering::Relaxed).is_ok()
    }

    /// Ends a claim without a copy.
    pub fn give_up(&self, at: Sequence, claim: PlaceWord) {
        let empty = SlotWord::tombstone(self.lap(at), PublisherIndex(0), Tombstone::Expired).0;
        // SYNC place
        let _ = self.place(at).compare_exchange(claim.0 .0, empty, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Whether the place of `at` still holds exactly `word` (the reader's second look).
    pub fn still_holds(&self, at: Sequence, word: PlaceWord) -> bool {
        // SYNC place
        self.place(at).load(Ordering::Acquire) == word.0 .0
    }

    /// Takes a copy out of the place of `at`.
    ///
    /// When this returns, the copy is not in that place any more, by this call or because it was replaced; either was observed
    /// in the place itself. The caller's fence comes after it.
    pub fn remove(&self, at: Sequence, copy: MessageRef) {
        let lap = self.lap(at);
        let word = SlotWord::message(lap, copy).0;
        let empty = SlotWord::tombstone(lap, PublisherIndex(0), Tombstone::Expired).0;
        // SYNC place: the failure is an observation too, made before the caller's fence.
        let _ = self.place(at).compare_exchange(word, empty, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Every copy that is in a place now, with its position: the last one of that lap that is not later than `head`.
    pub fn copies(&self, head: Sequence) -> impl Iterator<Item = (Sequence, MessageRef)> + 'a {
        let (places, own) = (self.0, *self);
        let capacity = places.len() as u64;
        places.iter().enumerate().filter_map(move |(index, place)| {
            // SYNC place
            let word = SlotWord(place.load(Ordering::Acquire));
            let copy = word.message_ref().filter(|_| word.0 != 0)?;
            let newest = Sequence((head.0 & !(capacity - 1)) | index as u64);
            let behind = SlotWord::lap_tag(u64::from(own.lap(newest)).wrapping_sub(u64::from(word.lap())));
            Some((Sequence(newest.0.wrapping_sub(u64::from(behind) * capacity)), copy))
        })
    }
}

/// Whose claim a word is; `None` for one that is none.
fn claimant_of(word: SlotWord) -> Option<Claimant> {
    let copier = word.tombstone_kind()?.0;
    let detail = word.0 as u32 & ((1 << 30) - 1);
    (detail & 3 == 2).then_some(Claimant { copier, nonce: detail >> 2 })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const WHO: Claimant = Claimant { copier: PublisherIndex(7), nonce: 0xabc_def0 };

    fn copy(chunk: u32) -> MessageRef {
        MessageRef::new(PublisherIndex(7), 1, chunk).unwrap()
    }

    fn vacant(places: PlacesView<'_>, at: Sequence) -> PlaceWord {
        match places.look(at) {
            Place::Vacant(word) => word,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_copy_is_claimed_published_and_removed() {
        let words = [const { AtomicU64::new(0) }; 4];
        let places = PlacesView::new(&words).unwrap();
        let at = Sequence(6);
        let claim = places.claim(at, vacant(places, at), WHO).expect("vacant");
        assert_eq!(places.look(at), Place::Claimed(WHO, claim));
        assert!(places.publish(at, claim, copy(5)));
        let Place::Copied(found, word) = places.look(at) else { panic!("published") };
        assert_eq!((found, places.still_holds(at, word)), (copy(5), true));
        assert_eq!(places.copies(Sequence(7)).collect::<Vec<_>>(), [(at, copy(5))]);
        // Found from a lap later as well, and never ahead of the head.
        assert_eq!(places.copies(Sequence(11)).collect::<Vec<_>>(), [(at, copy(5))]);
        places.remove(at, copy(4));
        assert!(places.still_holds(at, word), "another copy was to be removed");
        places.remove(at, copy(5));
        assert!(matches!(places.look(at), Place::Vacant(_)) && !places.still_holds(at, word));
        assert_eq!(places.copies(Sequence(7)).count(), 0);
    }

    #[test]
    fn a_claim_taken_over_or_passed_is_over() {
        let words = [const { AtomicU64::new(0) }; 4];
        let places = PlacesView::new(&words).unwrap();
        let (at, next_lap) = (Sequence(5), Sequence(9));
        let other = Claimant { copier: PublisherIndex(9), nonce: 1 };
        let claim = places.claim(at, vacant(places, at), WHO).unwrap();
        let Place::Claimed(_, found) = places.look(at) else { panic!("claimed") };
        let taken_over = places.claim(at, found, other).expect("unchanged");
        assert!(!places.publish(at, claim, copy(1)), "the claim was taken over");
        places.give_up(at, claim);
        assert_eq!(places.look(at), Place::Claimed(other, taken_over));
        let newer = places.claim(next_lap, vacant(places, next_lap), WHO).expect("an older lap");
        assert!(!places.publish(at, taken_over, copy(2)), "the place has moved on");
        assert_eq!(places.look(at), Place::Passed);
        places.give_up(next_lap, newer);
        assert!(matches!(places.look(next_lap), Place::Vacant(_)), "a failed copy may be tried again");
        assert_eq!(places.look(at), Place::Passed, "a place never goes back");
    }

    #[test]
    fn laps_are_compared_as_they_wrap() {
        let words = [const { AtomicU64::new(0) }; 1];
        let places = PlacesView::new(&words).unwrap();
        let last = Sequence(u64::from(SlotWord::LAP_MASK));
        let claim = places.claim(last, PlaceWord(SlotWord(0)), WHO).unwrap();
        assert!(places.publish(last, claim, copy(1)));
        let next = Sequence(last.0 + 1);
        let claim = places.claim(next, vacant(places, next), WHO).expect("one lap later");
        assert!(places.publish(next, claim, copy(2)));
        assert_eq!(places.look(last), Place::Passed);
        assert_eq!(places.copies(next).collect::<Vec<_>>(), [(next, copy(2))]);
    }
}
