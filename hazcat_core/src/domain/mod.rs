//! Memory domains: where a message's bytes live, and how they get from one place to another.
//!
//! An allocator serves one publisher. Its bookkeeping is private to the process that owns it; only the bytes, and the ids
//! under which others reach them, are shared. The operations are Hazcat's (constructor, remap, unmap, allocate,
//! deallocate, share, copy_from, copy_to, copy): a constructor is the implementation's own, `share` is the segment id an
//! allocation names, remap and unmap are [`RemoteMemory`] and its drop.

pub mod host;

use crate::ids::SegmentId;
use std::sync::Arc;

/// Which memory. `DomainId::HOST` is ordinary shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct DomainId(pub u32);

impl DomainId {
    /// Host memory.
    pub const HOST: Self = Self(0);
}

/// A piece of memory handed out by an allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allocation {
    /// Which of the allocator's segments.
    pub segment: u32,
    /// Offset in that segment, in units of [`crate::ring::word::CHUNK_UNIT`].
    pub chunk: u32,
    /// Bytes it has room for.
    pub capacity: usize,
    /// The allocator's own note for giving it back.
    pub ticket: u32,
}

/// Why an allocator has nothing.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// The byte budget does not allow more segments; giving something back may help.
    #[error("{needed} bytes needed, {used} of {limit} bytes in use")]
    Budget {
        /// Bytes asked for.
        needed: usize,
        /// Bytes in segments now.
        used: usize,
        /// Most bytes the segments may have.
        limit: usize,
    },
    /// More than the budget or a segment can ever hold, whatever is given back.
    #[error("{needed} bytes can never fit into a budget of {limit} bytes")]
    NeverFits {
        /// Bytes asked for.
        needed: usize,
        /// Most bytes the segments may have.
        limit: usize,
    },
    /// The system refused a new segment.
    #[error(transparent)]
    System(#[from] crate::sys::shm_file::FileError),
}

/// Why a copy between domains failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Source and destination differ in length, or lie outside the allocation.
    #[error("{len} bytes do not fit into {room} bytes")]
    Bounds {
        /// Bytes to copy.
        len: usize,
        /// Bytes there is room for.
        room: usize,
    },
    /// The device's own error, by name.
    #[error("device: {0}")]
    Device(String),
}

/// Memory of an allocator in another process, mapped here; unmapped on drop.
pub trait RemoteMemory: Send + Sync {
    /// Copies `to.len()` bytes from `offset` of the remote segment into host memory.
    ///
    /// # Errors
    /// [`CopyError::Bounds`] outside the segment, else the device's error.
    fn copy_to_host(&self, offset: usize, to: &mut [u8]) -> Result<(), CopyError>;
}

/// An allocator of one memory domain, owned by one publisher (or by one taker that makes copies).
///
/// Not thread-safe by itself: the owner's private lock is held during every call. Alignment of what it hands out:
/// [`crate::ring::word::CHUNK_UNIT`].
pub trait DomainAllocator: Send {
    /// Which memory this is.
    fn domain(&self) -> DomainId;

    /// Memory for `bytes` bytes, taken from what it has; adds a segment where that is allowed.
    ///
    /// # Errors
    /// See [`AllocateError`]; nothing has changed then.
    fn allocate(&mut self, bytes: usize) -> Result<Allocation, AllocateError>;

    /// Takes back what [`DomainAllocator::allocate`] gave.
    fn deallocate(&mut self, allocation: Allocation);

    /// Id under which other processes reach a segment; `None` for an index that is not in use.
    fn share(&self, segment: u32) -> Option<SegmentId>;

    /// Maps another process's segment of the same domain.
    ///
    /// # Errors
    /// What the system answers.
    fn remap(&self, segment: SegmentId, owner: crate::ids::Identity) -> Result<Arc<dyn RemoteMemory>, AllocateError>;

    /// Address at which the owner's code may write the allocation, if host code may touch this memory at all.
    fn host_address(&self, allocation: &Allocation) -> Option<*mut u8>;

    /// Copies host bytes into an allocation, from its beginning.
    ///
    /// # Errors
    /// [`CopyError::Bounds`] where they do not fit, else the device's error.
    fn copy_from(&mut self, from: &[u8], to: &Allocation) -> Result<(), CopyError>;

    /// Copies the beginning of an allocation out to host memory.
    ///
    /// # Errors
    /// [`CopyError::Bounds`] where it is shorter, else the device's error.
    fn copy_to(&self, from: &Allocation, to: &mut [u8]) -> Result<(), CopyError>;

    /// Copies the first `len` bytes of one allocation to another of the same allocator.
    ///
    /// # Errors
    /// [`CopyError::Bounds`] where one is shorter, else the device's error.
    fn copy(&mut self, from: &Allocation, to: &Allocation, len: usize) -> Result<(), CopyError>;

    /// Bytes in segments now, and the most there may be.
    fn usage(&self) -> (usize, usize);
}
