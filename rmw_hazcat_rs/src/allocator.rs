//! The caller's `rcutils_allocator_t`: whatever is returned to C and freed there comes from it.
//!
//! Every allocation can fail and is an error then (`RMW_RET_BAD_ALLOC`); what was allocated before is given back by
//! the guards here, so that a failure half-way leaks nothing.

use std::ffi::{c_char, c_void};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::error::{Failure, Result};
use crate::ffi;

/// A complete allocator, copied out of an argument.
#[derive(Clone, Copy)]
pub struct Allocator {
    raw: ffi::rcutils_allocator_t,
    allocate: AllocateFn,
    zero_allocate: ZeroAllocateFn,
    reallocate: ReallocateFn,
    deallocate: DeallocateFn,
}

type AllocateFn = unsafe extern "C" fn(usize, *mut c_void) -> *mut c_void;
type ZeroAllocateFn = unsafe extern "C" fn(usize, usize, *mut c_void) -> *mut c_void;
type ReallocateFn = unsafe extern "C" fn(*mut c_void, usize, *mut c_void) -> *mut c_void;
type DeallocateFn = unsafe extern "C" fn(*mut c_void, *mut c_void);

// SAFETY: rcutils hands allocators to every thread that uses what they allocated; the state is the allocator's own affair.
unsafe impl Send for Allocator {}
// SAFETY: as above.
unsafe impl Sync for Allocator {}

impl Allocator {
    /// The allocator with all four functions present; "invalid argument" otherwise.
    #[track_caller]
    pub fn new(raw: &ffi::rcutils_allocator_t) -> Result<Self> {
        match (raw.allocate, raw.zero_allocate, raw.reallocate, raw.deallocate) {
            (Some(allocate), Some(zero_allocate), Some(reallocate), Some(deallocate)) => {
                Ok(Self { raw: *raw, allocate, zero_allocate, reallocate, deallocate })
            }
            _ => Err(Failure::invalid("argument 'allocator' is not a valid allocator")),
        }
    }

    /// The allocator an argument points at; "invalid argument" if it is null or incomplete.
    ///
    /// # Safety
    /// `pointer` is null or points to an initialised allocator.
    #[track_caller]
    pub unsafe fn from_argument(pointer: *const ffi::rcutils_allocator_t) -> Result<Self> {
        // SAFETY: forwarded from the caller.
        Self::new(unsafe { crate::error::required(pointer, "allocator") }?)
    }

    /// The process's default allocator.
    pub fn default_of_process() -> Result<Self> {
        // SAFETY: a plain getter without preconditions.
        Self::new(&unsafe { ffi::rcutils_get_default_allocator() })
    }

    /// The allocator as C has it.
    pub fn raw(&self) -> ffi::rcutils_allocator_t {
        self.raw
    }

    /// A zeroed `T`, freed again when dropped unless released with [`Owned::into_raw`].
    #[track_caller]
    pub fn zeroed<T>(&self) -> Result<Owned<T>> {
        Ok(Owned { pointer: self.zeroed_array::<T>(1)?, allocator: *self })
    }

    /// `count` zeroed elements. The caller frees them.
    #[track_caller]
    pub fn zeroed_array<T>(&self, count: usize) -> Result<NonNull<T>> {
        // Some allocators answer null for nothing at all, which is not a failure.
        let (count, size) = (count.max(1), std::mem::size_of::<T>().max(1));
        // SAFETY: the function belongs to this allocator and gets its own state.
        let pointer = unsafe { (self.zero_allocate)(count, size, self.raw.state) };
        NonNull::new(pointer.cast()).ok_or_else(|| out_of_memory(count.saturating_mul(size)))
    }

    /// A zero-terminated copy of a text, freed again when dropped unless released.
    #[track_caller]
    pub fn string(&self, text: &str) -> Result<Owned<c_char>> {
        let size = text.len() + 1;
        // SAFETY: the function belongs to this allocator and gets its own state.
        let pointer = unsafe { (self.allocate)(size, self.raw.state) };
        let pointer = NonNull::new(pointer.cast::<u8>()).ok_or_else(|| out_of_memory(size))?;
        // SAFETY: the new block holds `size` bytes, one more than the text has, and overlaps nothing.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), pointer.as_ptr(), text.len()) };
        // SAFETY: the last of those `size` bytes.
        unsafe { pointer.as_ptr().wrapping_add(text.len()).write(0) };
        Ok(Owned { pointer: pointer.cast(), allocator: *self })
    }

    /// Changes the size of a block; the old block stays valid if it fails.
    ///
    /// # Safety
    /// `pointer` is null or a block of this allocator.
    #[track_caller]
    pub unsafe fn reallocate(&self, pointer: *mut c_void, size: usize) -> Result<NonNull<c_void>> {
        // SAFETY: the block is this allocator's by the caller's contract.
        let pointer = unsafe { (self.reallocate)(pointer, size, self.raw.state) };
        NonNull::new(pointer).ok_or_else(|| out_of_memory(size))
    }

    /// Gives a block back. Null is allowed.
    ///
    /// # Safety
    /// `pointer` is null or a block of this allocator that nobody uses any more.
    pub unsafe fn free<T>(&self, pointer: *const T) {
        if !pointer.is_null() {
            // SAFETY: the block is this allocator's by the caller's contract.
            unsafe { (self.deallocate)(pointer.cast_mut().cast(), self.raw.state) };
        }
    }
}

#[track_caller]
fn out_of_memory(bytes: usize) -> Failure {
    Failure::bad_alloc(format!("the given allocator has no {bytes} bytes left"))
}

/// A block of an [`Allocator`] that is given back when dropped.
pub struct Owned<T> {
    pointer: NonNull<T>,
    allocator: Allocator,
}

impl<T> Owned<T> {
    /// Address of the block; it stays owned.
    pub fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }

    /// Hands the block over to whoever frees it later.
    pub fn into_raw(self) -> *mut T {
        ManuallyDrop::new(self).pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the block came from this allocator and was not released.
        unsafe { self.allocator.free(self.pointer.as_ptr()) };
    }
}
