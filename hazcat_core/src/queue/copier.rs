//! The memory in which one subscription makes copies of messages that lie in another domain than it wants them in.
//!
//! A copier has a publisher's record (flagged [`COPIER`]: in no graph, without a history) and a publisher's pool, so that copies
//! are freed, swept and kept from reuse by the rules there are for messages. Its copies are found in the places of its domain
//! ([`crate::ring::place`]) instead of the ring; one that lost its place is found by nobody, and freed when it is returned.

use super::device::DeviceSide;
use super::layout::{orphan_word, PublisherRecord, ACTIVE, COPIER, HOST_ROW, INACTIVE};
use super::pool::{Pool, PublishedChunk};
use super::topic::{CreateError, Topic};
use crate::domain::host::HostAllocator;
use crate::domain::{
    registry, AllocateError, Allocation, CopyError, DomainAllocator, DomainId, Readiness, RemoteMemory,
};
use crate::ids::{Gid, PublisherIndex, Sequence};
use crate::payload::chunk::{ChunkHeader, HEADER_BYTES};
use crate::payload::descriptor::{DeviceBytes, DeviceDescriptorLayout, DESCRIPTOR_BYTES};
use crate::payload::segment::Segment;
use crate::ring::place::Claimant;
use crate::ring::word::MessageRef;
use crate::sync::atomic::Ordering;
use crate::sys::bus_error;
use crate::sys::random::random_u64;
use crate::sys::shm_file::FileError;
use std::sync::Arc;

/// Copies that fail in a row before messages are given up.
pub const MOST_FAILED_COPIES: u32 = 16;

/// Why a message could not be had in the domain in which it is wanted. The message has not been taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcrossError {
    /// The copy itself failed.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// There is no memory for the copy.
    #[error("no memory for the copy: {0}")]
    Memory(#[from] AllocateError),
    /// The copier found no place in the topic, or no memory.
    #[error("cannot make copies: {0}")]
    Copier(#[source] Box<CreateError>),
    /// The message's own memory cannot be mapped here now.
    #[error("cannot reach the message in {domain}: {source}")]
    Unreachable {
        /// Where it lies.
        domain: DomainId,
        /// Why it cannot be mapped.
        source: AllocateError,
    },
}

impl AcrossError {
    /// Whether it is over when others return what they hold.
    fn is_for_want_of_room(&self) -> bool {
        match self {
            Self::Copy(CopyError::Device(error)) => error.out_of_memory,
            Self::Copy(_) => false,
            Self::Memory(error) | Self::Unreachable { source: error, .. } => error.is_for_want_of_room(),
            Self::Copier(error) => match &**error {
                CreateError::TableFull { .. } | CreateError::File { source: FileError::Full { .. }, .. } => true,
                CreateError::Device { source, .. } => source.is_for_want_of_room(),
                _ => false,
            },
        }
    }
}

/// Copies in a row that failed, for another reason than want of room. What fails so often is given up: a device that has failed,
/// or a copy that has no room in any budget, would else keep all later messages waiting, and with them every keep-all publisher.
#[derive(Default)]
pub(super) struct FailedCopies(u32);

impl FailedCopies {
    pub(super) fn succeeded(&mut self) {
        self.0 = 0;
    }

    /// Notes a failure; answers whether the message is to be given up.
    pub(super) fn note(&mut self, error: &AcrossError) -> bool {
        if error.is_for_want_of_room() {
            return false;
        }
        self.0 = self.0.saturating_add(1);
        self.0 >= MOST_FAILED_COPIES
    }
}

/// Where the original lies.
pub(super) enum Original<'a> {
    Host(&'a [u8]),
    Device(DomainId, &'a dyn RemoteMemory, DeviceBytes),
}

impl Original<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Host(bytes) => bytes.len(),
            Self::Device(.., bytes) => bytes.length,
        }
    }
}

/// One subscription's copies.
pub(super) struct Copier {
    topic: Arc<Topic>,
    index: PublisherIndex,
    row: u8,
    nonce: u32,
    pool: Pool,
    /// [`bus_error::cuts`] when its files were last found whole, or made anew.
    cuts: u64,
}

impl Copier {
    /// Takes a record of the topic. Done at the first message from another domain.
    pub(super) fn new(topic: &Arc<Topic>, row: u8, budget: usize) -> Result<Self, CreateError> {
        let me = topic.participant().identity();
        let name = || topic.key().name.clone();
        let allocator = HostAllocator::new(topic.folder().clone(), me, budget);
        let device = if row == HOST_ROW { None } else { Some(device_side(topic, row, budget)?) };
        let index = topic.claim_publisher()?;
        let full = CreateError::TableFull { topic: name(), kind: "publisher", limit: 0 };
        let record = topic.publisher(index).ok_or(full)?;
        fault_point!("copier.join.taken");
        let instance = record.begin(me, Gid::default(), 0);
        record.domain.store(u32::from(row), Ordering::Relaxed);
        record.flags.store(COPIER, Ordering::Relaxed);
        // SYNC publisher-active
        record.state.store(ACTIVE, Ordering::Release);
        fault_point!("copier.join.active");
        let mut pool = Pool::of_copies(allocator, index, row);
        pool.device = device;
        let nonce = instance as u32 & Claimant::NONCE_MASK;
        Ok(Self { topic: Arc::clone(topic), index, row, nonce, pool, cuts: 0 })
    }

    /// As whom it claims places.
    pub(super) fn claimant(&self) -> Claimant {
        Claimant { copier: self.index, nonce: self.nonce }
    }

    /// Copies a message with its header. The copy is in no place yet: what becomes of it is for the caller to say, by
    /// [`Copier::shared`] or [`Copier::kept_private`], after announcing it.
    pub(super) fn copy(
        &mut self,
        at: Sequence,
        header: &ChunkHeader,
        original: &Original<'_>,
    ) -> Result<PublishedChunk, AcrossError> {
        let topic = Arc::clone(&self.topic);
        let record = topic.publisher(self.index).ok_or(CopyError::Bounds { len: 0, room: 0 })?;
        let len = original.len();
        if bus_error::cuts() != self.cuts {
            let cuts = bus_error::cuts();
            while self.pool.renew_one_cut(record)?.is_some() {}
            self.cuts = cuts;
        }
        let allocation = if self.row == HOST_ROW {
            self.pool.allocate(HEADER_BYTES + len, &self.topic, None)?
        } else {
            self.pool.allocate_on_device(HEADER_BYTES + DESCRIPTOR_BYTES, len, &self.topic, None)?
        };
        let copied = match self.pool.device {
            None => self.copy_to_host(&allocation, original),
            Some(_) => self.copy_to_device(record, &allocation, original),
        };
        let message = MessageRef::new(self.index, allocation.segment, allocation.chunk);
        let chunk = copied.and_then(|()| {
            let message = message.ok_or(CopyError::Bounds { len, room: 0 })?;
            let own = self.pool.allocator.segment(allocation.segment);
            let copy = own.and_then(|segment| segment.mapping().record::<ChunkHeader>(message.byte_offset()));
            copy.ok_or(CopyError::Bounds { len, room: 0 })?.fill_copy(header, at, u32::from(self.row));
            Ok(PublishedChunk { sequence: at, number: header.number(), message, allocation })
        });
        match chunk {
            Ok(chunk) => {
                record.publish_segment(&self.pool.allocator, &allocation);
                Ok(chunk)
            }
            Err(error) => {
                self.pool.deallocate(allocation);
                Err(error.into())
            }
        }
    }

    fn copy_to_host(&mut self, to: &Allocation, original: &Original<'_>) -> Result<(), CopyError> {
        match original {
            Original::Host(bytes) => self.pool.allocator.copy_from(bytes, to, HEADER_BYTES),
            Original::Device(domain, remote, bytes) => {
                let room = CopyError::Bounds { len: bytes.length, room: to.capacity };
                let range = to.range(HEADER_BYTES, bytes.length).ok_or(room.clone())?;
                let own = self.pool.allocator.segment(to.segment).ok_or(room.clone())?;
                pin(own, *domain);
                let at = own.mapping().range_mut(range.start, bytes.length).ok_or(room)?;
                // SAFETY: `length` bytes of this copier's own writable mapping, always initialised (tmpfs pages begin as
                // zeros), that nobody else has: the chunk was just allocated and is in no place yet.
                let slice = unsafe { std::slice::from_raw_parts_mut(at, bytes.length) };
                remote.wait_ready(bytes.readiness, None)?;
                remote.copy_to_host(bytes.offset, slice)
            }
        }
    }

    fn copy_to_device(
        &mut self,
        record: &PublisherRecord,
        chunk: &Allocation,
        original: &Original<'_>,
    ) -> Result<(), CopyError> {
        let len = original.len();
        let none = CopyError::Bounds { len, room: 0 };
        let device = self.pool.device.as_mut().ok_or(none.clone())?;
        let piece = device.piece(chunk).ok_or(none.clone())?;
        match original {
            Original::Host(bytes) => device.allocator.copy_from(bytes, &piece, 0)?,
            Original::Device(_, remote, bytes) => {
                remote.wait_ready(bytes.readiness, None)?;
                device.allocator.copy_from_remote(*remote, bytes.offset, len, &piece)?;
            }
        }
        let segment = device.publish_segment(record, &piece).ok_or(none.clone())?;
        let owner = record.creator.load(Ordering::Relaxed);
        let described = DeviceBytes::of(&piece, segment, owner, len, Readiness::NOW);
        let own = self.pool.allocator.segment(chunk.segment);
        let descriptor = own
            .and_then(|segment| segment.mapping().record::<DeviceDescriptorLayout>(chunk.byte_offset() + HEADER_BYTES));
        descriptor.ok_or(none)?.write(&described);
        Ok(())
    }

    /// The copy is in its place.
    pub(super) fn shared(&mut self, copy: PublishedChunk) {
        self.pool.note_published(copy);
    }

    /// The copy is in no place: freed when whoever announced it returns it.
    pub(super) fn kept_private(&mut self, copy: PublishedChunk) {
        self.pool.note_withdrawn(copy);
    }

    /// Frees the copies that everybody has passed and nobody holds. Answers whether none is left.
    pub(super) fn reclaim(&mut self) -> bool {
        self.pool.reclaim(&self.topic, None);
        self.pool.is_empty()
    }
}

/// Prepares a host segment for copies from and to a device.
pub(super) fn pin(segment: &Segment, domain: DomainId) {
    segment.pin_for(domain.word(), |at, len, writable| registry::get(domain).ok()?.pin_host(at, len, writable));
}

/// Device memory in the domain of a row.
pub(super) fn device_side(topic: &Topic, row: u8, budget: usize) -> Result<DeviceSide, CreateError> {
    let name = || topic.key().name.clone();
    let domain = topic.domain(row).unwrap_or(DomainId::HOST);
    let memory = registry::get(domain).map_err(|source| CreateError::Domain { topic: name(), source })?;
    let allocator = memory.allocator(topic.folder(), topic.participant().identity(), budget);
    let allocator = allocator.map_err(|source| CreateError::Device { topic: name(), domain, source })?;
    Ok(DeviceSide::new(allocator))
}

impl Drop for Copier {
    fn drop(&mut self) {
        if self.topic.participant().check_fork().is_err() {
            // The parent's copier: nothing here is ours to change.
            return;
        }
        let Some(record) = self.topic.publisher(self.index) else { return };
        record.state.store(INACTIVE, Ordering::Release);
        fault_point!("copier.leave.inactive");
        self.pool.reclaim(&self.topic, None);
        let empty = self.pool.is_empty();
        self.pool.leave_files(record, empty);
        fault_point!("copier.leave.files-removed");
        // SYNC record-owner
        record.owner.store(if empty { 0 } else { orphan_word(random_u64()) }, Ordering::Release);
    }
}
