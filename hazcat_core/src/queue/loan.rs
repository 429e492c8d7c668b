//! A chunk on loan to whoever fills it.

use super::publisher::{PublishError, Publisher};
use super::Published;
use crate::domain::{Allocation, CopyError};
use crate::payload::chunk::MessageMeta;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A chunk on loan, without a lifetime: for callers (a C interface) that keep it in their own books.
#[derive(Clone, Copy, Debug)]
pub struct RawLoan {
    /// Where the payload begins; aligned to 64 bytes.
    pub ptr: NonNull<u8>,
    /// Bytes that may be written there.
    pub capacity: usize,
    /// Whether that is device memory: host code must not follow `ptr` then.
    pub on_device: bool,
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

/// Device memory on loan from a publisher. Dropped, it goes back unpublished.
///
/// Its bytes are whatever was there before. They are written by code on the device, or by [`DeviceLoan::copy_from`].
pub struct DeviceLoan<'a> {
    pub(super) publisher: &'a Publisher,
    pub(super) raw: RawLoan,
    pub(super) length: usize,
}

impl DeviceLoan<'_> {
    /// Where it lies, as code on the device knows it; aligned to 64 bytes.
    pub fn address(&self) -> NonNull<u8> {
        self.raw.ptr
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Copies host bytes to its beginning.
    ///
    /// # Errors
    /// [`CopyError`]: too many bytes, or what the device answers.
    pub fn copy_from(&mut self, from: &[u8]) -> Result<(), CopyError> {
        self.publisher.copy_to_loan(&self.raw, from)
    }

    /// Publishes it. What code on the device writes to it must be done; else see [`Publisher::publish_from_stream`].
    ///
    /// # Errors
    /// See [`PublishError`]; the loan is taken back.
    pub fn publish(self, meta: &MessageMeta) -> Result<Published, PublishError> {
        let (publisher, (raw, length)) = (self.publisher, self.into_raw());
        publisher.publish_raw(raw, length, meta)
    }

    /// Ends the loan's own care; the caller publishes or returns it.
    pub fn into_raw(self) -> (RawLoan, usize) {
        let parts = (self.raw, self.length);
        std::mem::forget(self);
        parts
    }
}

impl Drop for DeviceLoan<'_> {
    fn drop(&mut self) {
        self.publisher.return_raw(self.raw);
    }
}
