//! Strings and vectors of C++ messages, by the layout that libstdc++ gives them, without linking it.
//!
//! * `std::string`, `std::u16string`: `{pointer, length, union {16 bytes, capacity}}`. A short text
//!   lies in the 16 bytes, and the pointer points there; a longer one is from `operator new`, of
//!   capacity plus one units. There is a 0 behind the end.
//! * `std::vector`: `{begin, end, end of capacity}`; the memory is from `operator new`.
//!
//! This is the only standard library that ROS 2 is built with on Linux. It is not taken on trust:
//! when a type is first met, a message of it is made by its own generated function, and every string
//! and vector in it must look as said ([`check`]); if not, the type is refused.
//!
//! The introspection offers functions that set elements one by one after zeroing them all, and none at
//! all for strings; by layout, a sequence of numbers is one allocation at most and one `memcpy`.
//!
//! An exception of C++ cannot be caught here and would end the process, so vectors get their memory before their functions
//! are asked to fill it. What still can throw is an element that allocates for its own default values.

use super::containers::Containers;
use super::program::Resize;
use super::raw;
use super::CdrError;
use crate::typesupport::{Cardinality, Field, FieldKind, Language, MessageType, TypeSupportError};
use std::ffi::{c_void, CStr};
use std::ptr::NonNull;
use std::sync::OnceLock;

/// Containers of libstdc++.
pub(super) enum Cpp {}

/// A `std::basic_string`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Text {
    data: *mut u8,
    len: usize,
    /// In units; only if the text does not lie here.
    capacity: usize,
    local: [u8; 8],
}

/// Bytes of the place for a short text.
const LOCAL_BYTES: usize = 16;
/// Where that place is.
const LOCAL_OFFSET: usize = 16;

/// A `std::vector`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Vector {
    begin: *mut u8,
    end: *mut u8,
    limit: *mut u8,
}

impl Vector {
    fn elements(self, stride: usize) -> Result<(*const u8, usize), CdrError> {
        let bytes = (self.end as usize).wrapping_sub(self.begin as usize);
        let len = bytes / stride.max(1);
        let impossible = (self.end as usize) < (self.begin as usize)
            || (self.limit as usize) < (self.end as usize)
            || bytes % stride.max(1) != 0;
        if impossible {
            return Err(CdrError::BadContainer(len));
        }
        Ok((self.begin, len))
    }

    fn capacity_bytes(self) -> usize {
        (self.limit as usize).saturating_sub(self.begin as usize)
    }
}

type New = unsafe extern "C" fn(usize, *const u8) -> *mut c_void;
type Delete = unsafe extern "C" fn(*mut c_void);

/// `operator new(size_t, nothrow)` and `operator delete(void *)` of this process.
#[derive(Clone, Copy)]
struct Heap {
    new: New,
    delete: Delete,
}

impl Heap {
    /// Those that the program itself would call, if it has a C++ runtime.
    fn of_process() -> Option<Self> {
        static HEAP: OnceLock<Heap> = OnceLock::new();
        if let Some(heap) = HEAP.get() {
            return Some(*heap);
        }
        // Not remembered if missing: a library loaded later may bring it.
        let new = symbol(c"_ZnwmRKSt9nothrow_t")?;
        let delete = symbol(c"_ZdlPv")?;
        // SAFETY: the function of this mangled name has this type.
        let new = unsafe { std::mem::transmute::<*mut c_void, New>(new.as_ptr()) };
        // SAFETY: as above.
        let delete = unsafe { std::mem::transmute::<*mut c_void, Delete>(delete.as_ptr()) };
        Some(*HEAP.get_or_init(|| Self { new, delete }))
    }

    /// `size` bytes.
    fn allocate(size: usize) -> Result<*mut u8, CdrError> {
        // Types are only accepted where there is a heap, so this does not fail.
        let heap = Self::of_process().ok_or(CdrError::NoMemory(size))?;
        let nothrow = 0u8;
        // SAFETY: the function takes a size and a reference that it does not read.
        let new = unsafe { (heap.new)(size, &raw const nothrow) };
        if new.is_null() {
            return Err(CdrError::NoMemory(size));
        }
        Ok(new.cast())
    }

    /// Gives memory back.
    ///
    /// # Safety
    /// `old` is null or from `operator new`, and not used afterwards.
    unsafe fn free(old: *mut u8) {
        if let Some(heap) = Self::of_process().filter(|_| !old.is_null()) {
            // SAFETY: `old` is from `operator new`.
            unsafe { (heap.delete)(old.cast()) };
        }
    }

    /// Other memory for what `old` points to, of `size` bytes, whose content is lost. On failure
    /// `old` is still there.
    ///
    /// # Safety
    /// `old` is null or from `operator new`, and not used afterwards if this succeeds.
    unsafe fn replace(old: *mut u8, size: usize) -> Result<*mut u8, CdrError> {
        let new = Self::allocate(size)?;
        // SAFETY: passed on.
        unsafe { Self::free(old) };
        Ok(new)
    }
}

/// An error where there is no memory for so many bits. Asked before a vector of booleans grows far; a small one would cost
/// more to ask for than to make.
pub(super) fn check_room_for_bits(bits: usize) -> Result<(), CdrError> {
    const SMALL: usize = 1 << 20;
    if bits > SMALL {
        let memory = Heap::allocate(bits / 8)?;
        // SAFETY: just allocated.
        unsafe { Heap::free(memory) };
    }
    Ok(())
}

/// Looks where the program itself would find it, then in libstdc++ if that is loaded (a Python
/// process loads it without making it visible).
fn symbol(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: `name` is NUL-terminated.
    let found = NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) });
    if found.is_some() {
        return found;
    }
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD;
    // SAFETY: the name is NUL-terminated; nothing is loaded. The handle is kept open: the functions
    // are used as long as the process lives.
    let library = NonNull::new(unsafe { libc::dlopen(c"libstdc++.so.6".as_ptr(), flags) })?;
    // SAFETY: the handle is open and `name` is NUL-terminated.
    NonNull::new(unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) })
}

/// # Safety
/// A string of units of `UNIT` bytes is at `at`; the caller writes all `len` units.
unsafe fn set_text<const UNIT: usize>(at: *mut u8, len: usize) -> Result<*mut u8, CdrError> {
    // SAFETY: a string is at `at`.
    let mut text: Text = unsafe { raw::load(at, 0) };
    let local = at.wrapping_add(LOCAL_OFFSET);
    let is_local = text.data == local;
    let capacity = if is_local { LOCAL_BYTES / UNIT - 1 } else { text.capacity };
    if len > capacity {
        let size = len.checked_add(1).and_then(|units| units.checked_mul(UNIT)).ok_or(CdrError::NoMemory(len))?;
        let old = if is_local { std::ptr::null_mut() } else { text.data };
        // SAFETY: a text that is not local is from `operator new`; it is replaced below.
        text.data = unsafe { Heap::replace(old, size) }?;
        text.capacity = len;
    }
    text.len = len;
    // SAFETY: a string is at `at`. Of a local text, the bytes are written back as they were.
    unsafe { raw::store(at, 0, text) };
    // SAFETY: there is room for one unit more than `len`.
    unsafe { raw::store(text.data, len * UNIT, [0u8; UNIT]) };
    Ok(text.data)
}

impl Containers for Cpp {
    const STRING_SIZE: usize = size_of::<Text>();

    unsafe fn string(at: *const u8) -> Result<(*const u8, usize), CdrError> {
        // SAFETY: a string is at `at`.
        let data: *const u8 = unsafe { raw::load(at, 0) };
        // SAFETY: as above; the length follows the pointer.
        let len: usize = unsafe { raw::load(at, size_of::<usize>()) };
        if data.is_null() {
            return Err(CdrError::BadContainer(len));
        }
        Ok((data, len))
    }

    unsafe fn wstring(at: *const u8) -> Result<(*const u8, usize), CdrError> {
        // SAFETY: both kinds of string begin alike.
        unsafe { Self::string(at) }
    }

    unsafe fn sequence(at: *const u8, stride: usize) -> Result<(*const u8, usize), CdrError> {
        // SAFETY: a vector is at `at`.
        unsafe { raw::load::<Vector>(at, 0) }.elements(stride)
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
        // SAFETY: a vector is at `at`.
        let mut vector: Vector = unsafe { raw::load(at, 0) };
        let bytes = len.checked_mul(stride).ok_or(CdrError::NoMemory(len))?;
        if bytes > vector.capacity_bytes() {
            // SAFETY: a vector's memory is from `operator new`; it is replaced below.
            vector.begin = unsafe { Heap::replace(vector.begin, bytes) }?;
            vector.limit = vector.begin.wrapping_add(bytes);
        }
        vector.end = vector.begin.wrapping_add(bytes);
        // SAFETY: a vector is at `at`.
        unsafe { raw::store(at, 0, vector) };
        Ok(vector.begin)
    }

    unsafe fn set_object_sequence(at: *mut u8, len: usize, stride: usize, resize: Resize) -> Result<*mut u8, CdrError> {
        // SAFETY: a vector is at `at`.
        let mut vector: Vector = unsafe { raw::load(at, 0) };
        let (mut data, old_len) = vector.elements(stride)?;
        if len != old_len {
            let function = resize.cpp.ok_or(CdrError::BadContainer(len))?;
            let bytes = len.checked_mul(stride).ok_or(CdrError::NoMemory(len))?;
            if bytes > vector.capacity_bytes() {
                let new = Heap::allocate(bytes)?;
                // SAFETY: the function belongs to the vector at `at`; to end elements it needs no memory.
                unsafe { function(at.cast(), 0) };
                // SAFETY: a vector's memory is from `operator new`, and now holds no elements; it is replaced below.
                unsafe { Heap::free(vector.begin) };
                vector = Vector { begin: new, end: new, limit: new.wrapping_add(bytes) };
                // SAFETY: a vector is at `at`.
                unsafe { raw::store(at, 0, vector) };
            }
            // SAFETY: the function belongs to the vector at `at`, which has room for that many.
            unsafe { function(at.cast(), len) };
            // SAFETY: a vector is still at `at`.
            let (new, new_len) = unsafe { Self::sequence(at, stride) }?;
            if new_len != len {
                return Err(CdrError::BadContainer(len));
            }
            data = new;
        }
        Ok(data.cast_mut())
    }
}

/// Makes a message of this C++ type and looks whether its strings and vectors are laid out as this
/// module believes. Fields of nested messages were looked at when these were met.
pub(crate) fn check(message: &MessageType) -> Result<(), TypeSupportError> {
    if Heap::of_process().is_none() {
        return Err(TypeSupportError::NoCxxRuntime { type_name: message.ros_name().to_owned() });
    }
    let Some(sample) = Sample::new(message) else {
        return Ok(()); // no memory for a sample: nothing was found to be wrong
    };
    for field in message.fields() {
        // SAFETY: the sample is an initialized message.
        if !unsafe { looks_right(field, sample.memory) } {
            return Err(TypeSupportError::UnknownCxxLayout {
                type_name: message.ros_name().to_owned(),
                member: field.name.clone(),
            });
        }
    }
    Ok(())
}

/// An initialized message of its own.
struct Sample<'a> {
    message: &'a MessageType,
    memory: *mut u8,
}

impl<'a> Sample<'a> {
    fn new(message: &'a MessageType) -> Option<Self> {
        // `malloc` aligns for every type that a message can contain.
        // SAFETY: it has no requirements.
        let memory = unsafe { libc::calloc(1, message.size_of().max(1)) };
        if memory.is_null() {
            return None;
        }
        // SAFETY: there is room for a message, and none is there yet.
        unsafe { message.init(memory) };
        Some(Self { message, memory: memory.cast() })
    }
}

impl Drop for Sample<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `init` and not used afterwards.
        unsafe { self.message.fini(self.memory.cast()) };
        // SAFETY: from `calloc`, and not used afterwards.
        unsafe { libc::free(self.memory.cast()) };
    }
}

/// # Safety
/// `message` is an initialized message that has this field.
unsafe fn looks_right(field: &Field, message: *const u8) -> bool {
    let at = message.wrapping_add(field.offset);
    match (&field.kind, field.cardinality) {
        // Has functions of its own, and they are used.
        _ if field.is_bit_vector(Language::Cpp) => true,
        (_, Cardinality::Sequence { .. }) => {
            let stride = field.element_size(Language::Cpp);
            // SAFETY: a vector is at `at`; if it is not, its bytes can still be read.
            let vector: Vector = unsafe { raw::load(at, 0) };
            let Ok((_, len)) = vector.elements(stride) else {
                return false;
            };
            let nothing = vector.begin.is_null() && !vector.limit.is_null();
            // SAFETY: the function belongs to the vector.
            let counted = field.functions.size.map(|size| unsafe { size(at.cast()) });
            !nothing && counted.is_none_or(|counted| counted == len)
        }
        (FieldKind::String { .. }, Cardinality::One) => {
            // SAFETY: the message has a string there.
            unsafe { is_text::<1>(at) }
        }
        (FieldKind::WString { .. }, Cardinality::One) => {
            // SAFETY: the message has a string there.
            unsafe { is_text::<2>(at) }
        }
        _ => true,
    }
}

/// Whether a string in its default state looks like one: short ones are local, long ones have the
/// capacity, and both have a 0 behind the end.
///
/// # Safety
/// The bytes of a string struct can be read at `at`, and they are those of some string.
unsafe fn is_text<const UNIT: usize>(at: *const u8) -> bool {
    // SAFETY: as this function requires.
    let text: Text = unsafe { raw::load(at, 0) };
    let short = text.len < LOCAL_BYTES / UNIT;
    let is_local = text.data.cast_const() == at.wrapping_add(LOCAL_OFFSET);
    // Default values may be short but not local, after an assignment from something longer.
    if text.data.is_null() || (!is_local && (!short && text.capacity < text.len)) {
        return false;
    }
    if is_local != short && text.len == 0 {
        return false;
    }
    if is_local && !short {
        return false;
    }
    // SAFETY: the string has `len` units and a 0.
    unsafe { raw::load::<[u8; UNIT]>(text.data, text.len * UNIT) == [0; UNIT] }
}
