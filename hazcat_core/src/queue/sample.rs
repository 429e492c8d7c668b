//! A message that a subscription holds.

use super::layout::{HOST_ROW, MAX_DOMAINS};
use super::subscription::{ReturnError, Subscription};
use crate::domain::{CopyError, DomainId, RemoteMemory, Stream};
use crate::ids::{Gid, PublicationNumber, Sequence};
use crate::payload::chunk::{ChunkHeader, HEADER_BYTES};
use crate::payload::descriptor::{DeviceBytes, DeviceDescriptorLayout, DESCRIPTOR_BYTES};
use crate::payload::segment::Segment;
use crate::ring::word::MessageRef;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

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
    pub(super) place: u32,
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
    /// The memory in which it lies. If that is not the host, `ptr` is an address of the device: host code must not follow it.
    pub domain: DomainId,
    pub(super) taken: Taken,
}

// SAFETY: the payload is immutable shared memory that any thread of the process may read.
unsafe impl Send for RawSample {}

/// A message that was found and protected: what the fast path hands around.
///
/// Its header is read when somebody looks at it, not before: on another core's cache line it costs as much as the whole
/// rest of a take, and who looks at the payload waits for both lines together.
///
/// Five words without padding: it is moved several times on its way out, and what is written in other pieces than it is
/// read in stalls the processor at every move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// Where the payload lies; its header is right in front of it.
    pub(super) ptr: NonNull<u8>,
    /// Bytes from there to the end of the segment.
    pub(super) room: usize,
    /// Where it was found; [`ANYWHERE`] for one that came from a history, whose number was checked instead.
    at: Sequence,
    pub(super) index: HeldIndex,
    row: u64,
}

/// No position in the ring.
const ANYWHERE: Sequence = Sequence(u64::MAX);

impl Taken {
    /// The message at `offset` of a mapped segment; `None` where it does not lie inside.
    #[inline]
    pub(super) fn locate(segment: &Segment, message: MessageRef, at: Option<Sequence>, index: u32) -> Option<Self> {
        let mut taken = Self::locate_on_host(segment, message, at, index)?;
        let row = taken.header().domain();
        taken.row = u64::from(row);
        (taken.row < MAX_DOMAINS as u64).then_some(taken)
    }

    /// What a look answers: nobody reads it.
    pub(super) fn placeholder(index: u32) -> Self {
        let index = HeldIndex { place: index, turn: 0 };
        Self { ptr: NonNull::dangling(), room: 0, at: ANYWHERE, index, row: u64::from(HOST_ROW) }
    }

    /// Row of the memory domain in which its bytes lie. Zero: behind the header. (Also where nobody looked: `content` does.)
    #[inline]
    pub(super) fn row(&self) -> u8 {
        self.row as u8
    }

    /// The same for one of which the sender's record says that all its messages are on the host, without a look at it.
    #[inline]
    pub(super) fn locate_on_host(
        segment: &Segment,
        message: MessageRef,
        at: Option<Sequence>,
        index: u32,
    ) -> Option<Self> {
        let payload = message.byte_offset() + HEADER_BYTES;
        let ptr = segment.mapping().range(payload, 0)?;
        let room = segment.mapping().len() - payload;
        let (at, index) = (at.unwrap_or(ANYWHERE), HeldIndex { place: index, turn: 0 });
        Some(Self { ptr: NonNull::new(ptr.cast_mut())?, room, at, index, row: u64::from(HOST_ROW) })
    }

    #[inline]
    pub(super) fn header(&self) -> &ChunkHeader {
        let header = self.ptr.as_ptr().wrapping_sub(HEADER_BYTES).cast::<ChunkHeader>();
        // SAFETY: `locate` checked that the header lies in a mapped segment; the message is protected and the segment
        // stays mapped for as long as `self` is in use; the header consists of atomics, whatever they hold.
        unsafe { &*header }
    }

    /// Header and length of the payload; `None` where the header does not belong to what was found, or names more bytes
    /// than there are, or bytes that are not here.
    #[inline]
    pub(super) fn content(&self) -> Option<(&ChunkHeader, usize)> {
        let header = self.header();
        let len = usize::try_from(header.length()).ok()?;
        let right = self.at == ANYWHERE || header.sequence() == self.at;
        let room = if self.row() == HOST_ROW { self.room } else { usize::MAX };
        (right && len <= room && u64::from(header.domain()) == self.row).then_some((header, len))
    }

    /// The payload of a message on the host.
    pub(super) fn host_bytes(&self) -> Option<&[u8]> {
        let (_, len) = self.content().filter(|_| self.row() == HOST_ROW)?;
        // SAFETY: `content` checked the length against the mapping, the mapping outlives the held entry, and the publisher
        // does not write to a message that is held.
        Some(unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), len) })
    }

    /// Where the bytes of a message in device memory are; `None` for one on the host, or where that makes no sense.
    pub(super) fn on_device(&self) -> Option<DeviceBytes> {
        if self.row() == HOST_ROW || self.room < DESCRIPTOR_BYTES {
            return None;
        }
        // SAFETY: as many bytes of a mapped segment lie behind `ptr`, aligned like the chunk; the description consists of
        // atomics, whatever they hold.
        let descriptor = unsafe { &*self.ptr.as_ptr().cast::<DeviceDescriptorLayout>() };
        let bytes = descriptor.read()?;
        (u64::try_from(bytes.length).ok()? == self.header().length()).then_some(bytes)
    }

    /// Encoding and payload; `None` as for [`Taken::content`], and for a message in device memory.
    pub(super) fn payload(&self) -> Option<(u32, &[u8])> {
        let bytes = self.host_bytes()?;
        Some((self.header().encoding().0, bytes))
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

/// A message in device memory, mapped here. The mapping lasts as long as this; the message, as long as it is held.
pub struct DeviceSample {
    domain: DomainId,
    address: NonNull<u8>,
    bytes: DeviceBytes,
    memory: Arc<dyn RemoteMemory>,
}

impl DeviceSample {
    pub(super) fn new(domain: DomainId, bytes: DeviceBytes, memory: Arc<dyn RemoteMemory>) -> Option<Self> {
        let address = NonNull::new(memory.address(bytes.offset, bytes.length)?.cast_mut())?;
        Some(Self { domain, address, bytes, memory })
    }

    /// Which memory.
    pub fn domain(&self) -> DomainId {
        self.domain
    }

    /// Where it lies, as code on the device knows it.
    pub fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.length
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.length == 0
    }

    /// Has work that is submitted to `stream` from here on wait until the message is ready; without a stream, waits.
    ///
    /// # Errors
    /// The device's error: also that of whoever was to produce the message.
    pub fn wait_ready(&self, stream: Option<Stream>) -> Result<(), CopyError> {
        self.memory.wait_ready(self.bytes.readiness, stream)
    }

    /// Whether its bytes will never be there, because their producer failed or died: whatever a stream that waited for them
    /// ([`DeviceSample::wait_ready`]) has made of them is garbage. To be asked when that stream is done.
    pub fn is_poisoned(&self) -> bool {
        self.memory.is_poisoned(self.bytes.readiness)
    }

    /// The segment in which it lies.
    pub(super) fn memory(&self) -> Arc<dyn RemoteMemory> {
        Arc::clone(&self.memory)
    }

    /// Calls `then` when all work that has been submitted to `stream` is done.
    pub(super) fn when_done(&self, stream: Stream, then: Box<dyn FnOnce() + Send>) -> Result<(), CopyError> {
        self.memory.when_done(stream, then)
    }

    /// Copies the first `to.len()` bytes to the host.
    ///
    /// # Errors
    /// [`CopyError::Bounds`] for more than there are, else the device's error.
    pub fn copy_to_host(&self, to: &mut [u8]) -> Result<(), CopyError> {
        if to.len() > self.bytes.length {
            return Err(CopyError::Bounds { len: to.len(), room: self.bytes.length });
        }
        self.wait_ready(None)?;
        self.memory.copy_to_host(self.bytes.offset, to)
    }
}

/// A message held by a subscription: it stays as it is until this is dropped.
pub struct Sample<'a> {
    pub(super) subscription: &'a Subscription,
    pub(super) raw: Taken,
}

impl Sample<'_> {
    /// The message in device memory, for a subscription that wants it there; `None` for one on the host.
    pub fn device(&self) -> Option<DeviceSample> {
        self.subscription.device_of(&self.raw)
    }

    /// Gives it back when all work that has been submitted to `stream` is done with it; see [`Subscription::return_raw_after`].
    ///
    /// # Errors
    /// As there; the message is given back then too.
    pub fn return_after(self, stream: Stream) -> Result<(), ReturnError> {
        let (subscription, raw) = (self.subscription, self.raw);
        // It is not for `drop` to return.
        std::mem::forget(self);
        subscription.return_taken_after(&raw, stream)
    }

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

    /// The payload; nothing where somebody has overwritten the message's header, or for a message in device memory (see
    /// [`Sample::device`]).
    #[inline]
    fn deref(&self) -> &[u8] {
        self.raw.host_bytes().unwrap_or(&[])
    }
}

impl Drop for Sample<'_> {
    #[inline]
    fn drop(&mut self) {
        let _ = self.subscription.return_raw(self.raw.index);
    }
}
