//! The header in front of every message.

use crate::ids::{Gid, PublicationNumber, Sequence};
use crate::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use crate::sys::mapping::SharedRecord;

/// Bytes of the header; the payload begins right behind it, aligned to a cache line.
pub const HEADER_BYTES: usize = 64;

/// How a payload is encoded. The core carries the number and does not interpret it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Encoding(pub u32);

/// What a publisher says about one message besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageMeta {
    /// How the payload is encoded.
    pub encoding: u32,
    /// Publisher's clock at publication, in nanoseconds since the Unix epoch.
    pub source_timestamp: i64,
    /// Number that ties a response to its request; zero elsewhere.
    pub correlation: i64,
}

/// One cache line in front of the payload. Written by the owner before publication, read by holders after validation.
///
/// All fields are atomics, because a holder reads memory that a faulty process may write to; only `sequence` is ever
/// rewritten during a publication.
#[repr(C, align(64))]
pub struct ChunkHeader {
    sequence: AtomicU64,
    number: AtomicU64,
    length: AtomicU64,
    source_timestamp: AtomicI64,
    correlation: AtomicI64,
    gid: [AtomicU64; 2],
    encoding: AtomicU32,
    /// Row of the memory domain in which the payload lies (0: behind this header, on the host; else there is a
    /// [`super::descriptor::DeviceDescriptorLayout`] behind it).
    domain: AtomicU32,
}

const _: () = assert!(size_of::<ChunkHeader>() == HEADER_BYTES);

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for ChunkHeader {}

impl ChunkHeader {
    /// Fills in all but the sequence.
    #[inline]
    pub fn fill(&self, number: PublicationNumber, length: usize, gid: Gid, meta: &MessageMeta) {
        let gid = gid.words();
        self.number.store(number.0, Ordering::Relaxed);
        self.length.store(length as u64, Ordering::Relaxed);
        self.source_timestamp.store(meta.source_timestamp, Ordering::Relaxed);
        self.correlation.store(meta.correlation, Ordering::Relaxed);
        self.gid[0].store(gid[0], Ordering::Relaxed);
        self.gid[1].store(gid[1], Ordering::Relaxed);
        self.encoding.store(meta.encoding, Ordering::Relaxed);
        self.domain.store(0, Ordering::Relaxed);
    }

    /// Says in which row of the topic's domain table the payload lies, behind [`ChunkHeader::fill`].
    #[inline]
    pub fn set_domain(&self, row: u32) {
        self.domain.store(row, Ordering::Relaxed);
    }

    /// Becomes the header of a copy of a message at position `at`, in domain `row`.
    pub fn fill_copy(&self, original: &Self, at: Sequence, row: u32) {
        let meta = MessageMeta {
            encoding: original.encoding().0,
            source_timestamp: original.source_timestamp(),
            correlation: original.correlation(),
        };
        let length = usize::try_from(original.length()).unwrap_or(usize::MAX);
        self.fill(original.number(), length, original.gid(), &meta);
        self.set_domain(row);
        self.set_sequence(at);
    }

    /// Writes the position that is about to be claimed.
    #[inline]
    pub fn set_sequence(&self, sequence: Sequence) {
        self.sequence.store(sequence.0, Ordering::Relaxed);
    }

    /// Position in the ring that the publisher claimed (or, in a history, tried to claim last).
    #[inline]
    pub fn sequence(&self) -> Sequence {
        Sequence(self.sequence.load(Ordering::Relaxed))
    }

    /// Number among the publisher's messages.
    #[inline]
    pub fn number(&self) -> PublicationNumber {
        PublicationNumber(self.number.load(Ordering::Relaxed))
    }

    /// Length of the payload in bytes, as claimed: to be checked against the segment.
    #[inline]
    pub fn length(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }

    /// Publisher's clock at publication, in nanoseconds since the Unix epoch.
    #[inline]
    pub fn source_timestamp(&self) -> i64 {
        self.source_timestamp.load(Ordering::Relaxed)
    }

    /// Number that ties a response to its request.
    #[inline]
    pub fn correlation(&self) -> i64 {
        self.correlation.load(Ordering::Relaxed)
    }

    /// Who published it.
    #[inline]
    pub fn gid(&self) -> Gid {
        Gid::from_words([self.gid[0].load(Ordering::Relaxed), self.gid[1].load(Ordering::Relaxed)])
    }

    /// How the payload is encoded.
    #[inline]
    pub fn encoding(&self) -> Encoding {
        Encoding(self.encoding.load(Ordering::Relaxed))
    }

    /// Memory domain of the payload: a row of the topic's domain table, zero for the host.
    #[inline]
    pub fn domain(&self) -> u32 {
        self.domain.load(Ordering::Relaxed)
    }
}
