//! What stands behind the header of a message whose bytes are in device memory: where they are.

use crate::domain::{Allocation, Readiness};
use crate::ids::SegmentId;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys::mapping::SharedRecord;

/// Bytes of the description.
pub const DESCRIPTOR_BYTES: usize = 64;

/// Behind the header, in the place of a payload. Written by the owner before publication, read by holders after validation.
#[repr(C, align(64))]
pub struct DeviceDescriptorLayout {
    segment: AtomicU64,
    owner: AtomicU64,
    offset: AtomicU64,
    length: AtomicU64,
    readiness: AtomicU64,
    pad: [AtomicU64; 3],
}

const _: () = assert!(size_of::<DeviceDescriptorLayout>() == DESCRIPTOR_BYTES);

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for DeviceDescriptorLayout {}

/// Bytes in device memory, as claimed: the mapped segment decides whether they are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceBytes {
    /// Which segment.
    pub segment: SegmentId,
    /// Word of the identity that made the segment.
    pub owner: u64,
    /// Where in the segment, in bytes.
    pub offset: usize,
    /// How many bytes.
    pub length: usize,
    /// When they are there.
    pub readiness: Readiness,
}

impl DeviceBytes {
    /// The first `length` bytes of an allocation in `segment`.
    pub fn of(allocation: &Allocation, segment: SegmentId, owner: u64, length: usize, readiness: Readiness) -> Self {
        Self { segment, owner, offset: allocation.byte_offset(), length, readiness }
    }
}

impl DeviceDescriptorLayout {
    /// Describes bytes.
    pub fn write(&self, bytes: &DeviceBytes) {
        self.segment.store(bytes.segment.0, Ordering::Relaxed);
        self.owner.store(bytes.owner, Ordering::Relaxed);
        self.offset.store(bytes.offset as u64, Ordering::Relaxed);
        self.length.store(bytes.length as u64, Ordering::Relaxed);
        self.readiness.store(bytes.readiness.0, Ordering::Relaxed);
    }

    /// The bytes described; `None` where the numbers cannot be.
    pub fn read(&self) -> Option<DeviceBytes> {
        let number = |word: &AtomicU64| usize::try_from(word.load(Ordering::Relaxed)).ok();
        let bytes = DeviceBytes {
            segment: SegmentId(self.segment.load(Ordering::Relaxed)),
            owner: self.owner.load(Ordering::Relaxed),
            offset: number(&self.offset)?,
            length: number(&self.length)?,
            readiness: Readiness(self.readiness.load(Ordering::Relaxed)),
        };
        bytes.offset.checked_add(bytes.length)?;
        (bytes.segment.0 != 0).then_some(bytes)
    }
}
