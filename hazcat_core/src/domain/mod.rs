//! Memory domains: where a message's bytes live, and how they get from one place to another.
//!
//! A domain is a kind of memory on one device: `host`, `sim:0`, `cuda:1`. Every publisher allocates in one, every subscription
//! wants its messages in one; only where the two differ is anything copied. To add a domain from another crate, see
//! `docs/memory-domains.md`; to check it, [`conformance`].
//!
//! The operations are Hazcat's:
//!
//! | Hazcat | here |
//! |---|---|
//! | constructor | [`MemoryDomain::allocator`] |
//! | remap | [`MemoryDomain::remap`] |
//! | unmap | dropping what `remap` gave |
//! | allocate, deallocate | [`DomainAllocator::allocate`], [`DomainAllocator::deallocate`] |
//! | share | [`DomainAllocator::share`]: the id under which other processes `remap` a segment |
//! | copy_from, copy_to | [`DomainAllocator::copy_from`], [`DomainAllocator::copy_to`]: from and to host memory |
//! | copy | [`DomainAllocator::copy`] within an allocator, [`DomainAllocator::copy_from_remote`] between processes and domains |
//!
//! | file | what |
//! |---|---|
//! | `id.rs` | names of domains |
//! | `registry.rs` | which kinds this process knows |
//! | `book.rs` | which pieces of a segment are in use; serves every kind of memory |
//! | `host.rs` | shared memory |
//! | `cuda/` | NVIDIA's devices |
//! | `simulated/` | a device without hardware, whose memory host code cannot touch |
//! | `conformance/` | the one suite that every implementation passes |

pub mod book;
pub mod conformance;
#[cfg(feature = "cuda")]
pub mod cuda;
mod error;
mod folder;
pub mod host;
mod id;
pub mod registry;
pub mod simulated;

pub use error::{AllocateError, CopyError, DeviceError, DomainError};
pub use folder::SegmentFolder;
pub use id::DomainId;

use crate::ids::{Identity, SegmentId};
use crate::ring::word::CHUNK_UNIT;
use std::any::Any;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Most bytes that one step of a copy through host memory moves.
const BOUNCE_BYTES: usize = 1 << 20;

/// A piece of memory handed out by an allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allocation {
    /// Which of the allocator's segments.
    pub segment: u32,
    /// Offset in that segment, in units of [`CHUNK_UNIT`].
    pub chunk: u32,
    /// Bytes it has room for.
    pub capacity: usize,
    /// The allocator's own note for giving it back.
    pub ticket: u32,
}

impl Allocation {
    /// Offset in its segment, in bytes.
    #[inline]
    pub const fn byte_offset(&self) -> usize {
        self.chunk as usize * CHUNK_UNIT
    }

    /// Where `len` bytes at `offset` of the allocation lie in its segment, in bytes; `None` where they are not all inside.
    #[inline]
    pub fn range(&self, offset: usize, len: usize) -> Option<Range<usize>> {
        let end = offset.checked_add(len).filter(|end| *end <= self.capacity)?;
        Some(self.byte_offset() + offset..self.byte_offset() + end)
    }
}

/// A queue of work on a device, by the handle that the device's own interface has for it (such as a `CUstream`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stream(pub usize);

/// When the bytes of a message are there: a word that only the domain understands. Travels with the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Readiness(pub u64);

impl Readiness {
    /// They are there now.
    pub const NOW: Self = Self(0);
}

/// One memory domain, as this process reaches it. Thread-safe.
pub trait MemoryDomain: Send + Sync {
    /// Its name; the same in every process on this machine.
    fn id(&self) -> DomainId;

    /// A line for people: what the device is called.
    fn description(&self) -> String;

    /// An allocator for an endpoint of participant `owner` that may have `budget` bytes.
    ///
    /// # Errors
    /// [`AllocateError::Device`] where the device refuses.
    fn allocator(
        &self,
        folder: &SegmentFolder,
        owner: Identity,
        budget: usize,
    ) -> Result<Box<dyn DomainAllocator>, AllocateError>;

    /// Maps a segment of another allocator of this domain, in this process or another one. `owner` is the word of the
    /// identity under which it was made. It stays mapped, and its bytes stay readable, until what is answered is dropped,
    /// whatever becomes of the process that made it.
    ///
    /// # Errors
    /// [`AllocateError::System`] where it is gone or not what it should be, [`AllocateError::Device`] where the device refuses.
    fn remap(
        &self,
        folder: &SegmentFolder,
        segment: SegmentId,
        owner: u64,
    ) -> Result<Arc<dyn RemoteMemory>, AllocateError>;

    /// Prepares `len` bytes of host memory for fast copies from and to this domain; undone when what is answered is dropped,
    /// which comes before the memory is unmapped. `writable`: whether it is mapped writable here. Called once per domain and
    /// host segment that such a copy touches. `None`: copies work all the same.
    fn pin_host(&self, _at: *const u8, _len: usize, _writable: bool) -> Option<Box<dyn Any + Send + Sync>> {
        None
    }
}

/// Memory of an allocator, mapped here to be read; unmapped on drop. Thread-safe.
pub trait RemoteMemory: Send + Sync {
    /// Address of `len` bytes at `offset`, as code on the device knows them; `None` outside the segment. Host code may
    /// dereference it only in the host domain.
    fn address(&self, offset: usize, len: usize) -> Option<*const u8>;

    /// Copies `to.len()` bytes from `offset` into host memory. The bytes are there when it returns.
    ///
    /// # Errors
    /// [`CopyError::Bounds`] outside the segment, else the device's error.
    fn copy_to_host(&self, offset: usize, to: &mut [u8]) -> Result<(), CopyError>;

    /// Has `stream` wait until a message is ready, or the calling thread where no stream is given.
    ///
    /// # Errors
    /// The device's error: also that of the message's producer, if it failed or died before the message was there.
    fn wait_ready(&self, _readiness: Readiness, _stream: Option<Stream>) -> Result<(), CopyError> {
        Ok(())
    }

    /// Whether the bytes will never be there, because their producer failed or died: what a stream that waited for them has
    /// made of them is garbage. Asked when that stream is done.
    fn is_poisoned(&self, _readiness: Readiness) -> bool {
        false
    }

    /// Calls `then` once when all work that has been submitted to `stream` is done, also where some of it failed. Not on a
    /// thread of the device's own on which its operations must not be used: dropping `then` may unmap memory.
    ///
    /// # Errors
    /// The device's error; `then` has not been and will not be called, but is dropped.
    fn when_done(&self, _stream: Stream, then: Box<dyn FnOnce() + Send>) -> Result<(), CopyError> {
        then();
        Ok(())
    }

    /// For allocators that have a shorter way between two memories of their own kind.
    fn as_any(&self) -> &dyn Any;
}

/// An allocator of one memory domain, owned by one publisher, or by one subscription that makes copies.
///
/// Its bookkeeping is private to the process that owns it; only the bytes, and the ids under which others reach them, are
/// shared. Not thread-safe by itself: the owner's private lock is held during every call. What it hands out is aligned to
/// [`CHUNK_UNIT`] bytes, and at least as large as was asked for. Dropped, it leaves the files of its segments where they are,
/// since others may still need them; their names are in [`DomainAllocator::paths`].
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

    /// Whether `bytes` bytes would find room in the segments there are if `freed` were given back.
    fn would_fit(&self, bytes: usize, freed: &[Allocation]) -> bool;

    /// Id under which other processes reach a segment; `None` for an index that is not in use.
    fn share(&self, segment: u32) -> Option<SegmentId>;

    /// The files that stand for its segments, in the order of their indices: to be unlinked when nobody needs them.
    fn paths(&self) -> Vec<PathBuf>;

    /// Address of an allocation, as code on the device knows it. Host code may dereference it only in the host domain.
    fn address(&self, allocation: &Allocation) -> Option<*mut u8>;

    /// Copies host bytes to `offset` of an allocation. They are there when it returns.
    ///
    /// # Errors
    /// [`CopyError::Bounds`] where they do not fit, else the device's error.
    fn copy_from(&mut self, from: &[u8], to: &Allocation, offset: usize) -> Result<(), CopyError>;

    /// Copies bytes from `offset` of an allocation out to host memory. They are there when it returns.
    ///
    /// # Errors
    /// [`CopyError::Bounds`] where it is shorter, else the device's error.
    fn copy_to(&self, from: &Allocation, offset: usize, to: &mut [u8]) -> Result<(), CopyError>;

    /// Copies the first `len` bytes of one allocation to another of the same allocator.
    ///
    /// # Errors
    /// [`CopyError::Bounds`] where one is shorter, else the device's error.
    fn copy(&mut self, from: &Allocation, to: &Allocation, len: usize) -> Result<(), CopyError>;

    /// Copies `len` bytes from `offset` of another allocator's memory, of this or another domain, to the beginning of an
    /// allocation. Unless an implementation knows a shorter way, through host memory.
    ///
    /// # Errors
    /// [`CopyError::Bounds`] where one is shorter, else the device's error.
    fn copy_from_remote(
        &mut self,
        from: &dyn RemoteMemory,
        offset: usize,
        len: usize,
        to: &Allocation,
    ) -> Result<(), CopyError> {
        if to.range(0, len).is_none() {
            return Err(CopyError::Bounds { len, room: to.capacity });
        }
        let mut bounce = vec![0; len.min(BOUNCE_BYTES)];
        let mut done = 0;
        while done < len {
            let step = bounce.len().min(len - done);
            let Some(part) = bounce.get_mut(..step) else { break };
            from.copy_to_host(offset + done, part)?;
            self.copy_from(part, to, done)?;
            done += step;
        }
        Ok(())
    }

    /// Says when an allocation that work on `stream` still writes to will be ready; does not wait for it.
    ///
    /// # Errors
    /// The device's error.
    fn mark_ready(&mut self, _allocation: &Allocation, _stream: Stream) -> Result<Readiness, CopyError> {
        Ok(Readiness::NOW)
    }

    /// Bytes in segments now, and the most there may be.
    fn usage(&self) -> (usize, usize);
}
