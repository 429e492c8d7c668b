//! Reads and writes at addresses, and positions in a stream.

/// An offset in a CDR stream, counted after the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(pub usize);

impl Position {
    /// Padding before something aligned to `align` (a power of two).
    pub(super) fn padding(self, align: usize) -> usize {
        self.0.wrapping_neg() & (align - 1)
    }
}

/// # Safety
/// A `T` can be read `offset` bytes after `base`.
pub(super) unsafe fn load<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: as this function requires; no alignment is assumed.
    unsafe { base.wrapping_add(offset).cast::<T>().read_unaligned() }
}

/// # Safety
/// A `T` can be written `offset` bytes after `base`.
pub(super) unsafe fn store<T: Copy>(base: *mut u8, offset: usize, value: T) {
    // SAFETY: as this function requires; no alignment is assumed.
    unsafe { base.wrapping_add(offset).cast::<T>().write_unaligned(value) }
}

/// # Safety
/// `len` bytes can be read at `from` and written at `to`, and do not overlap. With `len` 0 both may
/// be anything.
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    if len == 0 {
        return;
    }
    // SAFETY: as this function requires.
    unsafe { std::ptr::copy_nonoverlapping(from, to, len) }
}

/// Copies booleans: every byte but 0 becomes 1.
///
/// # Safety
/// As for [`copy`].
pub(super) unsafe fn copy_bools(from: *const u8, to: *mut u8, len: usize) {
    for index in 0..len {
        // SAFETY: within the `len` bytes. Read as a byte, so that no invalid boolean exists.
        let byte: u8 = unsafe { load(from, index) };
        // SAFETY: as above.
        unsafe { store(to, index, u8::from(byte != 0)) };
    }
}

/// Copies one value of `size` bytes (1 to 16) in the other byte order.
///
/// # Safety
/// As for [`copy`], with `size` bytes.
pub(super) unsafe fn copy_reversed(from: *const u8, to: *mut u8, size: usize) {
    for index in 0..size {
        // SAFETY: within the `size` bytes.
        let byte: u8 = unsafe { load(from, index) };
        // SAFETY: as above; `index < size`.
        unsafe { store(to, size - 1 - index, byte) };
    }
}
