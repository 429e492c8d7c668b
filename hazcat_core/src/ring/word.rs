//! The 64 bits of a slot: which lap, whose message, where it lies.
//!
//! | bits | field | meaning |
//! |---|---|---|
//! | 44..64 | lap | lap of the position, modulo 2^20 |
//! | 34..44 | publisher | index of the publisher's entry in the topic file |
//! | 30..34 | segment | which of that publisher's payload segments |
//! | 0..30 | chunk | offset in that segment in units of [`CHUNK_UNIT`] bytes |
//!
//! A segment of all ones is a tombstone: its publisher field says whose message is gone, its chunk field why.

use crate::ids::PublisherIndex;

/// Granularity and alignment of chunks, in bytes. One cache line.
pub const CHUNK_UNIT: usize = 64;
/// Publishers a topic can have entries for.
pub const MAX_PUBLISHERS: usize = 1 << PUBLISHER_BITS;
/// Payload segments one publisher can have.
pub const MAX_SEGMENTS: usize = (1 << SEGMENT_BITS) - 1;
/// Largest segment a chunk can be addressed in, in bytes (64 GiB).
pub const MAX_SEGMENT_BYTES: u64 = (CHUNK_UNIT as u64) << CHUNK_BITS;

const CHUNK_BITS: u32 = 30;
const SEGMENT_BITS: u32 = 4;
const PUBLISHER_BITS: u32 = 10;
const LAP_BITS: u32 = 20;
const PLACE_BITS: u32 = CHUNK_BITS + SEGMENT_BITS;
/// All ones in the segment field: no message.
const NO_SEGMENT: u64 = ((1 << SEGMENT_BITS) - 1) << CHUNK_BITS;
const BODY_BITS: u32 = PLACE_BITS + PUBLISHER_BITS;
const BODY_MASK: u64 = (1 << BODY_BITS) - 1;

/// Where a message lies: publisher entry, segment of that publisher, chunk in that segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct MessageRef(u64);

impl MessageRef {
    /// Packs the three; `None` where one is out of range or the place is the tombstone's.
    pub const fn new(publisher: PublisherIndex, segment: u32, chunk: u32) -> Option<Self> {
        if publisher.0 as usize >= MAX_PUBLISHERS || segment as usize >= MAX_SEGMENTS || chunk >> CHUNK_BITS != 0 {
            return None;
        }
        Some(Self((publisher.0 as u64) << PLACE_BITS | (segment as u64) << CHUNK_BITS | chunk as u64))
    }

    /// Reads what [`MessageRef::word`] wrote; `None` for a tombstone. Other bits than the body's are ignored.
    pub const fn from_word(word: u64) -> Option<Self> {
        if word & NO_SEGMENT == NO_SEGMENT {
            None
        } else {
            Some(Self(word & BODY_MASK))
        }
    }

    /// The packed reference: the low 44 bits of a slot's word.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Entry of the publisher.
    pub const fn publisher(self) -> PublisherIndex {
        PublisherIndex((self.0 >> PLACE_BITS) as u16)
    }

    /// Which of the publisher's segments.
    pub const fn segment(self) -> usize {
        ((self.0 >> CHUNK_BITS) & ((1 << SEGMENT_BITS) - 1)) as usize
    }

    /// Offset of the chunk in the segment, in units of [`CHUNK_UNIT`].
    pub const fn chunk(self) -> u32 {
        (self.0 & ((1 << CHUNK_BITS) - 1)) as u32
    }

    /// Offset of the chunk in the segment, in bytes.
    pub const fn byte_offset(self) -> usize {
        self.chunk() as usize * CHUNK_UNIT
    }
}

/// Why a message is not in its slot any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tombstone {
    /// Everybody had passed it, or it was older than any subscription's depth: nobody lost it.
    Expired,
    /// Removed before somebody read it, for want of memory or entries: counts as lost.
    Dropped,
}

/// One slot's content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotWord(pub u64);

impl SlotWord {
    /// Largest lap tag; tags are laps modulo this plus one.
    pub const LAP_MASK: u32 = (1 << LAP_BITS) - 1;

    /// Cuts a lap to the width of the tag.
    #[inline]
    pub const fn lap_tag(lap: u64) -> u32 {
        (lap & Self::LAP_MASK as u64) as u32
    }

    /// A message of a lap.
    #[inline]
    pub const fn message(lap: u32, message: MessageRef) -> Self {
        Self((lap as u64) << BODY_BITS | message.0)
    }

    /// A tombstone of a lap, in place of a message of `publisher`.
    pub const fn tombstone(lap: u32, publisher: PublisherIndex, why: Tombstone) -> Self {
        let reason = match why {
            Tombstone::Expired => 0,
            Tombstone::Dropped => 1,
        };
        let publisher = publisher.0 as u64 & ((1 << PUBLISHER_BITS) - 1);
        Self((lap as u64) << BODY_BITS | publisher << PLACE_BITS | NO_SEGMENT | reason)
    }

    /// Tag of the lap the word belongs to.
    #[inline]
    pub const fn lap(self) -> u32 {
        (self.0 >> BODY_BITS) as u32
    }

    /// The message, unless the word is a tombstone.
    #[inline]
    pub const fn message_ref(self) -> Option<MessageRef> {
        MessageRef::from_word(self.0)
    }

    /// Whose message is gone and why, if there is none.
    pub const fn tombstone_kind(self) -> Option<(PublisherIndex, Tombstone)> {
        if self.0 & NO_SEGMENT != NO_SEGMENT {
            return None;
        }
        let publisher = PublisherIndex(((self.0 >> PLACE_BITS) & ((1 << PUBLISHER_BITS) - 1)) as u16);
        let why = if self.0 & ((1 << CHUNK_BITS) - 1) == 0 { Tombstone::Expired } else { Tombstone::Dropped };
        Some((publisher, why))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn fields_survive_packing() {
        let message = MessageRef::new(PublisherIndex(1023), 14, (1 << 30) - 1).unwrap();
        let word = SlotWord::message(SlotWord::LAP_MASK, message);
        assert_eq!(word.lap(), SlotWord::LAP_MASK);
        let back = word.message_ref().unwrap();
        assert_eq!((back.publisher().0, back.segment(), back.chunk()), (1023, 14, (1 << 30) - 1));
        assert_eq!(word.tombstone_kind(), None);
    }

    #[test]
    fn a_place_that_would_read_as_tombstone_cannot_be_packed() {
        assert_eq!(MessageRef::new(PublisherIndex(0), 15, 0), None);
        assert_eq!(MessageRef::new(PublisherIndex(1024), 0, 0), None);
        assert_eq!(MessageRef::new(PublisherIndex(0), 0, 1 << 30), None);
    }

    #[test]
    fn tombstones_keep_lap_publisher_and_reason() {
        for why in [Tombstone::Expired, Tombstone::Dropped] {
            for publisher in [PublisherIndex(0), PublisherIndex(1023)] {
                let word = SlotWord::tombstone(77, publisher, why);
                assert_eq!((word.lap(), word.message_ref()), (77, None));
                assert_eq!(word.tombstone_kind(), Some((publisher, why)));
            }
        }
    }
}
