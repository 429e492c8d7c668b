//! From any type support handle to the introspection tables of its type.
//!
//! rcl passes the handle of a dispatching type support (`rosidl_typesupport_c` or `_cpp`), which
//! finds the other kinds by name; a direct introspection handle works as well.

use super::{Language, TypeSupportError};
use crate::ffi;
use std::ffi::{c_char, c_void, CStr};

const C: &CStr = c"rosidl_typesupport_introspection_c";
const CPP: &CStr = c"rosidl_typesupport_introspection_cpp";

/// The introspection tables of a type.
#[derive(Debug)]
pub(super) struct Tables {
    /// `MessageMembers` or `ServiceMembers`; not null.
    pub data: *const c_void,
    pub language: Language,
}

/// A handle's fields that both kinds of handle have, and how to ask it for another kind.
trait Handle: Sized {
    fn identifier(&self) -> *const c_char;
    fn data(&self) -> *const c_void;
    /// # Safety
    /// `handle` is the valid handle that `self` is.
    unsafe fn probe(handle: *const Self, identifier: &CStr) -> Option<*const Self>;
}

macro_rules! handle {
    ($type:ty) => {
        impl Handle for $type {
            fn identifier(&self) -> *const c_char {
                self.typesupport_identifier
            }
            fn data(&self) -> *const c_void {
                self.data
            }
            unsafe fn probe(handle: *const Self, identifier: &CStr) -> Option<*const Self> {
                // SAFETY: `handle` is valid, as this function requires.
                let function = unsafe { (*handle).func }?;
                // SAFETY: the generated function takes its own handle and a NUL-terminated name.
                Some(unsafe { function(handle, identifier.as_ptr()) })
            }
        }
    };
}

handle!(ffi::rosidl_message_type_support_t);
handle!(ffi::rosidl_service_type_support_t);

/// # Safety
/// `handle` is null or a valid message type support handle.
pub(super) unsafe fn message_tables(
    handle: *const ffi::rosidl_message_type_support_t,
) -> Result<Tables, TypeSupportError> {
    // SAFETY: passed on.
    unsafe { tables(handle) }
}

/// # Safety
/// `handle` is null or a valid service type support handle.
pub(super) unsafe fn service_tables(
    handle: *const ffi::rosidl_service_type_support_t,
) -> Result<Tables, TypeSupportError> {
    // SAFETY: passed on.
    unsafe { tables(handle) }
}

/// # Safety
/// `handle` is null or valid.
unsafe fn tables<H: Handle>(handle: *const H) -> Result<Tables, TypeSupportError> {
    // SAFETY: null or valid, as this function requires.
    let reference = unsafe { handle.as_ref() };
    let reference = reference.ok_or(TypeSupportError::Null { what: "the handle" })?;
    if reference.identifier().is_null() {
        return Err(TypeSupportError::Null { what: "the identifier" });
    }
    // SAFETY: an identifier is a NUL-terminated string with static lifetime.
    let identifier = unsafe { CStr::from_ptr(reference.identifier()) };
    // The likely kind first: asking for a kind that is not there costs a search for a library.
    let order = if identifier.to_bytes().ends_with(b"cpp") {
        [(CPP, Language::Cpp), (C, Language::C)]
    } else {
        [(C, Language::C), (CPP, Language::Cpp)]
    };
    for (name, language) in order {
        let found = if identifier == name {
            Some(handle)
        } else {
            // SAFETY: `handle` is not null, hence valid.
            unsafe { H::probe(handle, name) }
        };
        // SAFETY: what a probe returns is null or a valid handle.
        let found = found.and_then(|found| unsafe { found.as_ref() });
        let Some(found) = found else {
            // A failed probe leaves an error behind that is none.
            // SAFETY: it only clears this thread's error state.
            unsafe { ffi::rcutils_reset_error() };
            continue;
        };
        if found.data().is_null() {
            return Err(TypeSupportError::Null { what: "the introspection table" });
        }
        return Ok(Tables { data: found.data(), language });
    }
    Err(TypeSupportError::NoIntrospection { identifier: identifier.to_string_lossy().into_owned() })
}
