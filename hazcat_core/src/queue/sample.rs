//! A message that a subscription holds.

use super::subscription::Subscription;
use crate::ids::{Gid, PublicationNumber, Sequence};
use crate::payload::chunk::{ChunkHeader, HEADER_BYTES};
use crate::payload::segment::Segment;
use crate::ring::word::MessageRef;
use std::ops::Deref;
use std::ptr::NonNull;

/// What is known about a message besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleInfo {
    /// Position in the topic's ring.
    pub sequence: Sequence,
    /// Number among its publisher's messages.
    pub number: PublicationNumber,
    /// Publisher's clock at publication, in nanoseconds since the Unix epoch.
    pub source_timestamp: i64,
    /// Number that ties a response to its request.
    pub correlation: i64,
    /// Who published it.
    pub gid: Gid,
    /// How the payload is encoded.
    pub encoding: u32,
}

/// Which of a subscription's places a held message occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeldIndex {
    pub(super) place: u8,
    /// Tells this message from others that occupy the place before and after.
    pub(super) turn: u32,
}

/// A held message without a lifetime: for callers (a C interface) that keep it in their own books.
#[derive(Clone, Copy, Debug)]
pub struct RawSample {
    /// Where the payload lies, aligned to 64 bytes, read-only. Valid until the message is returned.
    pub ptr: NonNull<u8>,
    /// Its length in bytes.
    pub len: usize,
    /// What else is known.
    pub info: SampleInfo,
    /// To be given to [`Subscription::return_raw`], once.
    pub index: HeldIndex,
}

// SAFETY: the payload is immutable shared memory that any thread of the process may read.
unsafe impl Send for RawSample {}

/// A message that was found and protected: what the fast path hands around.
///
/// Its header is read when somebody looks at it, not before: on another core's cache line it costs as much as the whole
/// rest of a take, and who looks at the payload waits for both lines together.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    /// Where the payload lies; its header is right in front of it.
    pub(super) ptr: NonNull<u8>,
    /// Bytes from there to the end of the segment.
    pub(super) room: usize,
    /// Where it was found; `None` for one that came from a history, whose number was checked instead.
    pub(super) at: Option<Sequence>,
    pub(super) index: HeldIndex,
}

impl Taken {
    /// The message at `offset` of a mapped segment; `None` where it does not lie inside.
    #[inline]
    pub(super) fn locate(segment: &Segment, message: MessageRef, at: Option<Sequence>, index: u32) -> Option<Self> {
        let payload = message.byte_offset() + HEADER_BYTES;
        let ptr = segment.mapping().range(payload, 0)?;
        let room = segment.mapping().len() - payload;
        Some(Self { ptr: NonNull::new(ptr.cast_mut())?, room, at, index: HeldIndex { place: index as u8, turn: 0 } })
    }

    /// Header and length of the payload; `None` where the header does not belong to what was found, or names more bytes
    /// than there are, or bytes that are not here.
    #[inline]
    pub(super) fn content(&self) -> Option<(&ChunkHeader, usize)> {
        let header = self.ptr.as_ptr().wrapping_sub(HEADER_BYTES).cast::<ChunkHeader>();
        // SAFETY: `locate` checked that the header lies in a mapped segment; the message is protected and the segment
        // stays mapped for as long as `self` is in use; the header consists of atomics, whatever they hold.
        let header = unsafe { &*header };
        let len = usize::try_from(header.length()).ok()?;
        let right = self.at.is_none_or(|at| header.sequence() == at);
        (right && len <= self.room && header.domain() == 0).then_some((header, len))
    }

    /// Encoding and payload; `None` as for [`Taken::content`].
    pub(super) fn payload(&self) -> Option<(u32, &[u8])> {
        let (header, len) = self.content()?;
        // SAFETY: `content` checked the length against the mapping, the message is protected and the mapping stays for as
        // long as `self` is in use, and the publisher does not write to a message that is held.
        Some((header.encoding().0, unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), len) }))
    }

    /// The rest of the header.
    pub(super) fn info(header: &ChunkHeader) -> SampleInfo {
        SampleInfo {
            sequence: header.sequence(),
            number: header.number(),
            source_timestamp: header.source_timestamp(),
            correlation: header.correlation(),
            gid: header.gid(),
            encoding: header.encoding().0,
        }
    }
}

/// A message held by a subscription: it stays as it is until this is dropped.
pub struct Sample<'a> {
    pub(super) subscription: &'a Subscription,
    pub(super) raw: Taken,
}

impl Sample<'_> {
    /// What is known about the message besides its bytes; `None` where somebody has overwritten its header.
    pub fn try_info(&self) -> Option<SampleInfo> {
        self.raw.content().map(|(header, _)| Taken::info(header))
    }

    /// The same, all zero where the header has been overwritten.
    pub fn info(&self) -> SampleInfo {
        self.try_info().unwrap_or(SampleInfo {
            sequence: Sequence(0),
            number: PublicationNumber(0),
            source_timestamp: 0,
            correlation: 0,
            gid: Gid::default(),
            encoding: 0,
        })
    }
}

impl Deref for Sample<'_> {
    type Target = [u8];

    /// The payload; nothing where somebody has overwritten the message's header.
    #[inline]
    fn deref(&self) -> &[u8] {
        let Some((_, len)) = self.raw.content() else { return &[] };
        // SAFETY: `content` checked the length against the mapping, the mapping outlives the held entry, and the publisher
        // does not write to a message that is held.
        unsafe { std::slice::from_raw_parts(self.raw.ptr.as_ptr(), len) }
    }
}

impl Drop for Sample<'_> {
    #[inline]
    fn drop(&mut self) {
        let _ = self.subscription.return_raw(self.raw.index);
    }
}
