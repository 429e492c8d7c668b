//! Messages on loan, and the book that is kept about them.
//!
//! C gets a bare pointer and gives it back. The book knows which pointers are out, so that a pointer that is not on loan
//! (never was, or is returned a second time) is refused instead of believed.

use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use hazcat_core::{HeldIndex, RawLoan, RawSample};

use super::lock;
use crate::error::{Failure, Result};
use crate::typesupport::MessageType;

/// What is on loan, by address. Few at a time, so a list is enough, and it allocates only when it grows.
pub struct LoanBook<T> {
    loans: Mutex<Vec<(NonNull<u8>, T)>>,
}

// SAFETY: the pointers are only compared, never followed.
unsafe impl<T: Send> Send for LoanBook<T> {}
// SAFETY: as above, behind a lock.
unsafe impl<T: Send> Sync for LoanBook<T> {}

impl<T> Default for LoanBook<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> LoanBook<T> {
    /// An empty book with room for some loans.
    pub fn new() -> Self {
        Self { loans: Mutex::new(Vec::with_capacity(16)) }
    }

    /// Notes a loan; answers the pointer for C.
    pub fn lend(&self, at: NonNull<u8>, loan: T) -> *mut c_void {
        lock(&self.loans).push((at, loan));
        at.as_ptr().cast()
    }

    /// Strikes a loan out; `None` if this pointer is not on loan.
    pub fn end(&self, pointer: *const c_void) -> Option<T> {
        let mut loans = lock(&self.loans);
        let at = loans.iter().position(|(at, _)| std::ptr::eq(at.as_ptr().cast(), pointer))?;
        Some(loans.swap_remove(at).1)
    }

    /// Strikes all loans out.
    pub fn end_all(&self) -> Vec<T> {
        lock(&self.loans).drain(..).map(|(_, loan)| loan).collect()
    }
}

/// A message that a publisher lends out.
pub enum GivenLoan {
    /// The memory in which it will be published.
    InPlace(RawLoan),
    /// Memory of this process, to be copied to a device.
    Private(PrivateMessage),
}

/// A message that a subscription lends out.
pub enum TakenLoan {
    /// The message in shared memory itself.
    Shared(HeldIndex),
    /// The message in the memory of the subscription's device.
    Device(RawSample),
    /// A copy in memory of this process: decoded, where the message came serialized; copied off a device, where the program has
    /// not said that it knows what a device's address is.
    Private(PrivateMessage),
}

/// An initialised message of this process.
pub struct PrivateMessage {
    at: NonNull<u8>,
    layout: Layout,
    kind: Arc<MessageType>,
}

// SAFETY: plain data that belongs to whoever has this.
unsafe impl Send for PrivateMessage {}

impl PrivateMessage {
    /// Alignment of every private message; no ROS type needs more.
    const ALIGNMENT: usize = 16;

    /// A message with the type's default values.
    pub fn new(kind: &Arc<MessageType>) -> Result<Self> {
        let size = kind.size_of().max(1);
        let refused = || Failure::bad_alloc(format!("no {size} bytes for a message of type '{}'", kind.ros_name()));
        let layout = Layout::from_size_align(size, Self::ALIGNMENT).map_err(|_| refused())?;
        // SAFETY: the size is not zero.
        let at = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)?;
        // SAFETY: fresh memory of the type's size.
        unsafe { kind.init(at.as_ptr().cast()) };
        Ok(Self { at, layout, kind: Arc::clone(kind) })
    }

    /// Where it lies.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.at
    }
}

impl Drop for PrivateMessage {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, finished once.
        unsafe { self.kind.fini(self.at.as_ptr().cast()) };
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.at.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_loan_can_be_returned_and_once() {
        let book = LoanBook::new();
        let (mut a, mut b) = (1u8, 2u8);
        let (pa, pb) = (NonNull::from(&mut a), NonNull::from(&mut b));
        let first = book.lend(pa, "a");
        book.lend(pb, "b");
        assert_eq!(book.end(std::ptr::null()), None);
        assert_eq!(book.end(first), Some("a"));
        assert_eq!(book.end(first), None);
        assert_eq!(book.end_all(), ["b"]);
        assert_eq!(book.end(pb.as_ptr().cast()), None);
    }
}
