//! A range of addresses behind which there is nothing.

use nix::sys::mman::{mmap_anonymous, munmap, MapFlags, ProtFlags};
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

/// Addresses that belong to nobody else in this process, and that fault when they are touched. Given back on drop.
#[derive(Debug)]
pub struct Reservation {
    at: NonNull<std::ffi::c_void>,
    len: NonZeroUsize,
}

impl Reservation {
    /// Reserves `len` bytes of addresses, aligned to a page.
    ///
    /// # Errors
    /// What `mmap` answers, and `InvalidInput` for no bytes.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = NonZeroUsize::new(len).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new anonymous mapping at an address the kernel chooses; it replaces nothing.
        let at = unsafe {
            mmap_anonymous(None, len, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE)
        }?;
        Ok(Self { at, len })
    }

    /// The first address.
    pub fn address(&self) -> NonNull<u8> {
        self.at.cast()
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Whether there are none (there always are).
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, unmapped once; nobody has a reference into it, because nothing can be read there.
        let _ = unsafe { munmap(self.at, self.len.get()) };
    }
}

// SAFETY: a range of addresses that nobody can read or write; any thread may give it back.
unsafe impl Send for Reservation {}
// SAFETY: as for Send.
unsafe impl Sync for Reservation {}
