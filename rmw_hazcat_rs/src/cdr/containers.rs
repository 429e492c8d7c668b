//! Strings and sequences as C and C++ messages hold them.
//!
//! [`C`]: `{data, size, capacity}` of rosidl_runtime_c. Their memory comes from and goes to the
//! default allocator of rcutils, as everywhere in ROS; a string has a NUL behind its end, within the
//! capacity; in sequences of strings or messages all elements up to the capacity are initialized.
//!
//! [`Cpp`] is in the module `cpp`.

use super::program::Resize;
use super::raw;
use super::CdrError;
use crate::ffi;

pub(super) use super::cpp::Cpp;

/// Access to strings and sequences of one language. All addresses are those of the container's
/// struct inside an initialized message.
pub(super) trait Containers {
    /// Bytes of the struct of a string or wide string.
    const STRING_SIZE: usize;

    /// Where the bytes of a string are, and how many.
    ///
    /// # Safety
    /// A string is at `at`.
    unsafe fn string(at: *const u8) -> Result<(*const u8, usize), CdrError>;

    /// Where the units of a wide string are, and how many.
    ///
    /// # Safety
    /// A wide string is at `at`.
    unsafe fn wstring(at: *const u8) -> Result<(*const u8, usize), CdrError>;

    /// Where the elements of a sequence are, and how many. Not for bit vectors.
    ///
    /// # Safety
    /// A sequence of elements of `stride` bytes is at `at`.
    unsafe fn sequence(at: *const u8, stride: usize) -> Result<(*const u8, usize), CdrError>;

    /// Gives a string the length `len`, and returns where its bytes are to be written.
    ///
    /// # Safety
    /// A string is at `at`; the caller writes all `len` bytes.
    unsafe fn set_string(at: *mut u8, len: usize) -> Result<*mut u8, CdrError>;

    /// Gives a wide string the length `len`, and returns where its units are to be written.
    ///
    /// # Safety
    /// A wide string is at `at`; the caller writes all `len` units.
    unsafe fn set_wstring(at: *mut u8, len: usize) -> Result<*mut u8, CdrError>;

    /// Gives a sequence of plain elements the length `len`, and returns where they are to be
    /// written. Neither keeps nor zeroes what was there.
    ///
    /// # Safety
    /// A sequence of plain elements of `stride` bytes is at `at`; the caller writes all of them.
    unsafe fn set_block_sequence(at: *mut u8, len: usize, stride: usize) -> Result<*mut u8, CdrError>;

    /// Gives a sequence of strings or messages the length `len`, and returns where they are, all
    /// initialized.
    ///
    /// # Safety
    /// A sequence of elements of `stride` bytes, resized by `resize`, is at `at`.
    unsafe fn set_object_sequence(at: *mut u8, len: usize, stride: usize, resize: Resize) -> Result<*mut u8, CdrError>;
}

/// Containers of rosidl_runtime_c.
pub(super) enum C {}

/// `{data, size, capacity}`, which all of them are.
#[derive(Clone, Copy)]
#[repr(C)]
struct Triple {
    data: *mut u8,
    size: usize,
    capacity: usize,
}

const _: () = {
    assert!(size_of::<Triple>() == size_of::<ffi::rosidl_runtime_c__String>());
    assert!(size_of::<Triple>() == size_of::<ffi::rosidl_runtime_c__U16String>());
    assert!(size_of::<Triple>() == size_of::<ffi::rosidl_runtime_c__uint8__Sequence>());
};

impl Triple {
    /// What is there to be read. The capacity is not looked at: rcl_action leaves it 0 in the sequences of goals
    /// that it makes itself.
    fn elements(self) -> Result<(*const u8, usize), CdrError> {
        if self.data.is_null() && self.size > 0 {
            return Err(CdrError::BadContainer(self.size));
        }
        Ok((self.data, self.size))
    }
}

/// Other memory for what `old` points to, of `size` bytes, whose content is lost. On failure `old`
/// is still there.
///
/// # Safety
/// `old` is null or from the default allocator, and not used afterwards if this succeeds.
unsafe fn replace(old: *mut u8, size: usize) -> Result<*mut u8, CdrError> {
    // SAFETY: it has no requirements.
    let allocator = unsafe { ffi::rcutils_get_default_allocator() };
    let (Some(allocate), Some(deallocate)) = (allocator.allocate, allocator.deallocate) else {
        return Err(CdrError::NoMemory(size));
    };
    // SAFETY: the function gets its own state.
    let new = unsafe { allocate(size, allocator.state) };
    if new.is_null() {
        return Err(CdrError::NoMemory(size));
    }
    if !old.is_null() {
        // SAFETY: `old` is from this allocator.
        unsafe { deallocate(old.cast(), allocator.state) };
    }
    Ok(new.cast())
}

/// Strings of `UNIT` bytes a character, with room for one more, which is 0.
///
/// # Safety
/// A string of such units is at `at`; the caller writes all `len` units.
unsafe fn set_text<const UNIT: usize>(at: *mut u8, len: usize) -> Result<*mut u8, CdrError> {
    // SAFETY: a string is at `at`.
    let mut text: Triple = unsafe { raw::load(at, 0) };
    if text.data.is_null() || text.capacity <= len {
        let size = len.checked_add(1).and_then(|units| units.checked_mul(UNIT)).ok_or(CdrError::NoMemory(len))?;
        // SAFETY: a string's memory is from the default allocator; it is replaced below.
        text.data = unsafe { replace(text.data, size) }?;
        text.capacity = len + 1;
    }
    text.size = len;
    // SAFETY: a string is at `at`.
    unsafe { raw::store(at, 0, text) };
    // SAFETY: there is room for `len + 1` units.
    unsafe { raw::store(text.data, len * UNIT, [0u8; UNIT]) };
    Ok(text.data)
}

impl Containers for C {
    const STRING_SIZE: usize = size_of::<Triple>();

    unsafe fn string(at: *const u8) -> Result<(*const u8, usize), CdrError> {
        // SAFETY: a string is at `at`.
        unsafe { raw::load::<Triple>(at, 0) }.elements()
    }

    unsafe fn wstring(at: *const u8) -> Result<(*const u8, usize), CdrError> {
        // SAFETY: a wide string is at `at`.
        unsafe { raw::load::<Triple>(at, 0) }.elements()
    }

    unsafe fn sequence(at: *const u8, _stride: usize) -> Result<(*const u8, usize), CdrError> {
        // SAFETY: a sequence is at `at`.
        unsafe { raw::load::<Triple>(at, 0) }.elements()
    }

    unsafe fn set_string(at: *mut u8, len: usize) -> Result<*mut u8, CdrError> {
        // SAFETY: passed on.
        unsafe { set_text::<1>(at, len) }
    }

    unsafe fn set_wstring(at: *mut u8, len: usize) -> Result<*mut u8, CdrError> {
        // SAFETY: passed on.
        unsafe { set_text::<2>(at, len) }
    }

    unsafe fn set_block_sequence(at: *mut u8, len: usize, stride: usize) -> Result<*mut u8, CdrError> {
        // SAFETY: a sequence is at `at`.
        let mut sequence: Triple = unsafe { raw::load(at, 0) };
        if len > sequence.capacity || (len > 0 && sequence.data.is_null()) {
            let size = len.checked_mul(stride).ok_or(CdrError::NoMemory(len))?;
            // SAFETY: a sequence's memory is from the default allocator; it is replaced below.
            sequence.data = unsafe { replace(sequence.data, size) }?;
            sequence.capacity = len;
        }
        sequence.size = len;
        // SAFETY: a sequence is at `at`.
        unsafe { raw::store(at, 0, sequence) };
        Ok(sequence.data)
    }

    unsafe fn set_object_sequence(at: *mut u8, len: usize, stride: usize, resize: Resize) -> Result<*mut u8, CdrError> {
        // SAFETY: a sequence is at `at`.
        let mut sequence: Triple = unsafe { raw::load(at, 0) };
        if len > sequence.capacity || (len > 0 && sequence.data.is_null()) {
            let failed = CdrError::NoMemory(len.saturating_mul(stride));
            let function = resize.c.ok_or(failed)?;
            // SAFETY: the function belongs to the sequence at `at`.
            if !unsafe { function(at.cast(), len) } {
                return Err(failed);
            }
            // SAFETY: a sequence is still at `at`.
            sequence = unsafe { raw::load(at, 0) };
            if sequence.size < len || sequence.data.is_null() {
                return Err(CdrError::BadContainer(len));
            }
        } else {
            sequence.size = len;
            // SAFETY: a sequence is at `at`.
            unsafe { raw::store(at, 0, sequence) };
        }
        Ok(sequence.data)
    }
}
