//! A chunk on loan to whoever fills it.

use super::publisher::Publisher;
use crate::domain::Allocation;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A chunk on loan, without a lifetime: for callers (a C interface) that keep it in their own books.
#[derive(Clone, Copy, Debug)]
pub struct RawLoan {
    /// Where the payload begins; aligned to 64 bytes.
    pub ptr: NonNull<u8>,
    /// Bytes that may be written there.
    pub capacity: usize,
    pub(super) allocation: Allocation,
    /// Tells this loan from later ones of the same chunk, and from those of other publishers.
    pub(super) number: u64,
}

// SAFETY: a loan is exclusive access to memory of the publisher's segment, which any thread of the process may use.
unsafe impl Send for RawLoan {}

/// A chunk on loan from a publisher. Dropped, it goes back unpublished.
///
/// Its bytes are whatever the chunk held before (or zeros); the publisher owns them, no other process writes to them.
pub struct Loan<'a> {
    pub(super) publisher: &'a Publisher,
    pub(super) raw: RawLoan,
    pub(super) length: usize,
}

impl<'a> Loan<'a> {
    /// The publisher it belongs to.
    pub fn publisher(&self) -> &'a Publisher {
        self.publisher
    }

    /// Ends the loan's own care; the caller publishes or returns it.
    pub fn into_raw(self) -> (RawLoan, usize) {
        let parts = (self.raw, self.length);
        std::mem::forget(self);
        parts
    }
}

impl Deref for Loan<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `length` bytes lie in this process's writable mapping, always initialised (tmpfs pages begin as zeros),
        // and the loan is the only access to them.
        unsafe { std::slice::from_raw_parts(self.raw.ptr.as_ptr(), self.length) }
    }
}

impl DerefMut for Loan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; exclusive by `&mut self`.
        unsafe { std::slice::from_raw_parts_mut(self.raw.ptr.as_ptr(), self.length) }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.publisher.return_raw(self.raw);
    }
}
