//! A message that a subscription holds.

use super::subscription::Subscription;
use crate::ids::{Gid, PublicationNumber, Sequence};
use crate::payload::chunk::{ChunkHeader, HEADER_BYTES};
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
pub struct HeldIndex(pub(super) u8);

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

/// A message that was found, protected and checked: what the fast path hands around.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) ptr: NonNull<u8>,
    pub(super) len: usize,
    pub(super) index: HeldIndex,
}

impl Taken {
    /// Reads the header in front of the payload.
    pub(super) fn info(&self) -> SampleInfo {
        let header = self.ptr.as_ptr().wrapping_sub(HEADER_BYTES).cast::<ChunkHeader>();
        // SAFETY: a `Taken` is made only from a header that lies, checked, in a mapped segment with its payload right
        // behind it, and is looked into only while the message is protected and the segment mapped; atomics only.
        let header = unsafe { &*header };
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
    /// What is known about the message besides its bytes.
    pub fn info(&self) -> SampleInfo {
        self.raw.info()
    }
}

impl Deref for Sample<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the range was checked against the mapping when the message was taken, the mapping outlives the held
        // entry, and the publisher does not write to a message that is held.
        unsafe { std::slice::from_raw_parts(self.raw.ptr.as_ptr(), self.raw.len) }
    }
}

impl Drop for Sample<'_> {
    #[inline]
    fn drop(&mut self) {
        let _ = self.subscription.return_raw(self.raw.index);
    }
}
