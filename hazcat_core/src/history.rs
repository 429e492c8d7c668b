//! A publisher's history: the messages it keeps for late (transient-local) or lapped (keep-all) subscriptions.
//!
//! A circular array of words in the publisher's own segment; only the publisher writes to it. A word is written *before*
//! the message enters the ring, so a message that other publishers have already lapped can still be found here. A word
//! without a message in the ring (the publisher died in between) can be delivered to a late subscription; it was the
//! publisher's last and complete message.
//!
//! | bits | field |
//! |---|---|
//! | 34..64 | publication number modulo 2^30 |
//! | 0..34 | segment and chunk, as in [`crate::ring::word`] |

use crate::ids::{PublicationNumber, PublisherIndex};
use crate::ring::held;
use crate::ring::word::MessageRef;
use crate::sync::atomic::{AtomicU64, Ordering};

const PLACE_BITS: u32 = 34;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
const EMPTY: u64 = 0;

/// A word read from a history: valid only while the history still holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryWord(u64);

impl HistoryWord {
    fn new(number: PublicationNumber, message: MessageRef) -> Self {
        Self(number.0 << PLACE_BITS | message.word() & PLACE_MASK)
    }

    /// The message the word names, as one of `publisher`.
    pub fn message(self, publisher: PublisherIndex) -> Option<MessageRef> {
        MessageRef::from_word(u64::from(publisher.0) << PLACE_BITS | self.0 & PLACE_MASK)
    }

    /// Whether this can be the word of `number` (the low 30 bits agree).
    pub fn is_number(self, number: PublicationNumber) -> bool {
        self.0 >> PLACE_BITS == number.0 & (u64::MAX >> PLACE_BITS)
    }
}

/// The words of one history, wherever they lie.
#[derive(Clone, Copy)]
pub struct HistoryView<'a>(&'a [AtomicU64]);

impl<'a> HistoryView<'a> {
    /// A view of `words`; `None` where there is none.
    pub fn new(words: &'a [AtomicU64]) -> Option<Self> {
        if words.is_empty() {
            None
        } else {
            Some(Self(words))
        }
    }

    /// Number of messages the history can name.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    fn entry(&self, number: PublicationNumber) -> &'a AtomicU64 {
        &self.0[(number.0 % self.0.len() as u64) as usize]
    }

    /// Owner: names `message` as number `number`; the message `depth` numbers earlier falls out.
    pub fn write(&self, number: PublicationNumber, message: MessageRef) {
        // SYNC history: Release; what the publisher wrote into the message is visible to who finds it here.
        self.entry(number).store(HistoryWord::new(number, message).0, Ordering::Release);
    }

    /// Owner: takes `message` out, if it is still named. The caller's fence (see [`held::HeldScan::start`]) comes after.
    pub fn remove(&self, number: PublicationNumber, message: MessageRef) {
        let entry = self.entry(number);
        if entry.load(Ordering::Relaxed) == HistoryWord::new(number, message).0 {
            // SYNC history
            entry.store(EMPTY, Ordering::Release);
        }
    }

    /// Owner: whether `message` is still named.
    pub fn names(&self, number: PublicationNumber, message: MessageRef) -> bool {
        self.entry(number).load(Ordering::Relaxed) == HistoryWord::new(number, message).0
    }

    /// Reader: the word at a position of the array.
    pub fn read(&self, position: usize) -> Option<HistoryWord> {
        // SYNC history
        let word = self.0.get(position)?.load(Ordering::Acquire);
        if word == EMPTY {
            None
        } else {
            Some(HistoryWord(word))
        }
    }

    /// Reader: announces the message that `word` names in `entry` and looks again. On success the message is not reused
    /// until `entry` is cleared; otherwise the entry is clear again.
    pub fn protect(
        &self,
        position: usize,
        word: HistoryWord,
        publisher: PublisherIndex,
        entry: &AtomicU64,
    ) -> Option<MessageRef> {
        let message = word.message(publisher)?;
        held::announce(entry, message);
        if self.read(position) == Some(word) {
            Some(message)
        } else {
            held::clear(entry);
            None
        }
    }
}
