//! Shared mappings with checked access.
//!
//! A [`Mapping`] hands out references to records only after it has checked offset, length and alignment against its own
//! length, which is the length of the file when it was mapped (a visible file never shrinks). What lies in such a record
//! may be scribbled on by another process at any time, so records consist of atomics ([`SharedRecord`]). Somebody may cut the
//! file all the same: then what is lost reads as zeros, see [`super::bus_error`].

use super::bus_error::Watched;
use super::fork::ForkMark;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;

/// What a mapping may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Stores through the mapping fault.
    ReadOnly,
    /// Stores reach every participant; the mapping is not inherited by a forked child.
    ReadWrite,
}

/// A type that may lie in memory which other processes write to.
///
/// # Safety
/// The type is `repr(C)`, has no padding that matters, every bit pattern is a valid value, and every field that a peer
/// may write is an atomic (so that a concurrent store is never a data race).
pub unsafe trait SharedRecord {}

// SAFETY: atomics accept every bit pattern and concurrent access.
unsafe impl SharedRecord for std::sync::atomic::AtomicU32 {}
// SAFETY: atomics accept every bit pattern and concurrent access.
unsafe impl SharedRecord for std::sync::atomic::AtomicU64 {}
// SAFETY: an array of shared records is one.
unsafe impl<T: SharedRecord, const N: usize> SharedRecord for [T; N] {}

/// A shared file mapping; unmapped on drop.
pub struct Mapping {
    raw: ManuallyDrop<MmapRaw>,
    watched: ManuallyDrop<Watched>,
    access: Access,
    mark: ForkMark,
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: dropped here and nowhere else; `self` is going away. First: the addresses may soon be somebody else's.
        unsafe { ManuallyDrop::drop(&mut self.watched) };
        // A forked child does not have a writable mapping; what lies at its address there may be something else.
        if self.access == Access::ReadOnly || self.mark.check().is_ok() {
            // SAFETY: dropped here and nowhere else; `self` is going away.
            unsafe { ManuallyDrop::drop(&mut self.raw) };
        }
    }
}

/// Where records lie in one particular mapping: checked once, looked up by a comparison afterwards.
pub struct Place<T> {
    at: *const T,
    count: usize,
    base: *const u8,
}

// SAFETY: a place is an address that is only followed through the mapping it belongs to.
unsafe impl<T> Send for Place<T> {}
// SAFETY: as for Send.
unsafe impl<T> Sync for Place<T> {}

impl Mapping {
    /// Checks once that `count` records lie at `offset`.
    pub fn place<T: SharedRecord>(&self, offset: usize, count: usize) -> Option<Place<T>> {
        let records = self.records::<T>(offset, count)?;
        Some(Place { at: records.as_ptr(), count, base: self.raw.as_ptr() })
    }

    /// The records at a place of this mapping; none for a place of another one.
    #[inline]
    pub fn at<T: SharedRecord>(&self, place: &Place<T>) -> &[T] {
        if !std::ptr::eq(place.base, self.raw.as_ptr()) {
            return &[];
        }
        // SAFETY: `place` was made by this mapping (two live mappings never begin at the same address; one made by a
        // mapping that is gone and whose address was reused cannot get here, see `TopicLayout`, the only user, which
        // keeps a mapping and its places together), so the records are in bounds and aligned.
        unsafe { std::slice::from_raw_parts(place.at, place.count) }
    }

    /// Maps `len` bytes of `file` from `offset` (page aligned). With `populate`, page tables are filled at once.
    ///
    /// # Errors
    /// What `mmap` answers, and `InvalidInput` where the file is shorter than the range: touching pages behind its end
    /// would be a SIGBUS.
    pub fn new(file: &File, offset: u64, len: usize, access: Access, populate: bool) -> io::Result<Self> {
        let end = offset.checked_add(len as u64).ok_or(io::ErrorKind::InvalidInput)?;
        if len == 0 || file.metadata()?.len() < end {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "file is shorter than the range to map"));
        }
        let mut options = MmapOptions::new();
        options.offset(offset).len(len);
        if populate {
            options.populate();
        }
        let raw = match access {
            Access::ReadOnly => options.map_raw_read_only(file)?,
            Access::ReadWrite => options.map_raw(file)?,
        };
        if access == Access::ReadWrite {
            // A child after fork owns nothing; it must not be able to write here by accident.
            raw.advise(memmap2::Advice::DontFork)?;
        }
        let watched = Watched::new(raw.as_ptr().addr(), len, access == Access::ReadWrite);
        let (raw, watched) = (ManuallyDrop::new(raw), ManuallyDrop::new(watched));
        Ok(Self { raw, watched, access, mark: ForkMark::here() })
    }

    /// Puts the bytes of another file, from `offset` (page aligned), in the place of those that are mapped: the addresses stay
    /// the same. Who reads or writes meanwhile does so in one of the two.
    ///
    /// # Errors
    /// What `mmap` answers, and `InvalidInput` where the file is too short; nothing has changed then.
    pub fn replace(&self, file: &File, offset: u64) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let too_short = || io::Error::new(io::ErrorKind::InvalidInput, "file is shorter than the range to map");
        let end = offset.checked_add(self.raw.len() as u64).ok_or_else(too_short)?;
        let offset = libc::off_t::try_from(offset).map_err(|_| too_short())?;
        if file.metadata()?.len() < end || self.mark.check().is_err() {
            return Err(too_short());
        }
        let protection = match self.access {
            Access::ReadOnly => libc::PROT_READ,
            Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        // Before it is mapped: a cut that is found meanwhile is told once too often rather than not at all.
        let was_cut = self.watched.set_cut(false);
        let (address, flags) = (self.raw.as_mut_ptr().cast(), libc::MAP_SHARED | libc::MAP_FIXED);
        // SAFETY: exactly the range that this mapping owns, in this process, is mapped anew with the same rights; what lies
        // there are shared records or payload, for which any content and any change at any time is fine.
        let mapped = unsafe { libc::mmap(address, self.raw.len(), protection, flags, file.as_raw_fd(), offset) };
        if mapped == libc::MAP_FAILED {
            let error = io::Error::last_os_error();
            if was_cut {
                self.watched.set_cut(true);
            }
            return Err(error);
        }
        if self.access == Access::ReadWrite {
            self.raw.advise(memmap2::Advice::DontFork)?;
        }
        Ok(())
    }

    /// Whether the file was cut short and bytes were lost: they read as zeros, and what is written there reaches nobody.
    #[inline]
    pub fn is_cut(&self) -> bool {
        self.watched.is_cut()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether the mapping has no bytes (it never is: `new` refuses that).
    pub fn is_empty(&self) -> bool {
        self.raw.len() == 0
    }

    /// Checked address of `len` bytes at `offset`.
    #[inline]
    pub fn range(&self, offset: usize, len: usize) -> Option<*const u8> {
        let end = offset.checked_add(len)?;
        if end > self.raw.len() {
            return None;
        }
        Some(self.raw.as_ptr().wrapping_add(offset))
    }

    /// Checked address of `len` writable bytes at `offset`; `None` also where the mapping is read-only.
    #[inline]
    pub fn range_mut(&self, offset: usize, len: usize) -> Option<*mut u8> {
        if self.access != Access::ReadWrite {
            return None;
        }
        self.range(offset, len).map(<*const u8>::cast_mut)
    }

    /// The record at `offset`, if it lies inside the mapping and is aligned.
    ///
    /// Storing through a record of a read-only mapping faults; records of payload segments are only loaded from by peers.
    #[inline]
    pub fn record<T: SharedRecord>(&self, offset: usize) -> Option<&T> {
        let at = self.range(offset, size_of::<T>())?.cast::<T>();
        if !at.is_aligned() {
            return None;
        }
        // SAFETY: in bounds and aligned (checked above), alive as long as `self`, and `SharedRecord` promises that any
        // content and any concurrent store are fine.
        Some(unsafe { &*at })
    }

    /// `count` consecutive records at `offset`, if they lie inside the mapping and are aligned.
    #[inline]
    pub fn records<T: SharedRecord>(&self, offset: usize, count: usize) -> Option<&[T]> {
        let at = self.range(offset, count.checked_mul(size_of::<T>())?)?.cast::<T>();
        if !at.is_aligned() {
            return None;
        }
        // SAFETY: in bounds and aligned (checked above), alive as long as `self`; see `record` for the content.
        Some(unsafe { std::slice::from_raw_parts(at, count) })
    }
}

// SAFETY: the mapping is shared memory reached through atomics or through ranges whose users synchronise by protocol;
// the owner of the address range may be any thread.
unsafe impl Send for Mapping {}
// SAFETY: as for Send; `&Mapping` only hands out shared references to atomics and raw addresses.
unsafe impl Sync for Mapping {}
