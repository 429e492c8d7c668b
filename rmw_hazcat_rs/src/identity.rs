//! Who we are: the identifier that every handle of this middleware carries.
//!
//! Handles are told apart by the *address* of the identifier, as every rmw implementation does, so there is exactly
//! one copy of the text in this library and [`identifier`] always answers the same pointer.

use std::ffi::{c_char, CStr};

/// A static and not a constant: a constant may be instantiated more than once, at different addresses.
static IDENTIFIER: &CStr = c"rmw_hazcat_rs";
static SERIALIZATION_FORMAT: &CStr = c"cdr";

/// Address of this middleware's identifier.
pub fn identifier() -> *const c_char {
    IDENTIFIER.as_ptr()
}

/// Name of the format that `rmw_serialize` writes and `rmw_take_serialized_message` hands out.
pub fn serialization_format() -> *const c_char {
    SERIALIZATION_FORMAT.as_ptr()
}

/// Whether a handle with this identifier was made by this library.
pub fn is_ours(other: *const c_char) -> bool {
    std::ptr::eq(other, identifier())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_address_is_ours() {
        assert!(is_ours(identifier()));
        let copy = std::ffi::CString::from(IDENTIFIER);
        assert!(!is_ours(copy.as_ptr()), "the same text at another address belongs to somebody else");
        assert!(!is_ours(std::ptr::null()));
    }
}
