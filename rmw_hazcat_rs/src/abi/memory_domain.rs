//! What this library exports beside rmw, for the functions in `include/rmw_hazcat_rs`: where a message on loan lies, and what code
//! on the simulated device does.

use std::ffi::{c_char, c_void};

use hazcat_core::domain::simulated;

use crate::entity::device_loans;
use crate::ffi;

/// Writes the name of the domain in which a message on loan lies, with a terminating zero; answers 1 for a device.
///
/// # Safety
/// `name` is null, or has room for `RMW_HAZCAT_RS_MEMORY_DOMAIN_NAME_BYTES` bytes.
#[no_mangle]
pub unsafe extern "C" fn rmw_hazcat_rs_domain_of(message: *const c_void, name: *mut c_char) -> i32 {
    let domain = device_loans::domain_of(message);
    if !name.is_null() {
        let text = domain.map_or_else(|| "host".to_owned(), |domain| domain.to_string());
        let length = text.len().min(ffi::RMW_HAZCAT_RS_MEMORY_DOMAIN_NAME_BYTES as usize - 1);
        // SAFETY: so many bytes of a local text, and of the caller's array, with one more for the zero.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), name.cast::<u8>(), length) };
        // SAFETY: see above.
        unsafe { name.wrapping_add(length).write(0) };
    }
    i32::from(domain.is_some())
}

/// Reads memory of a simulated device as code on it does; answers 1, or 0 where that is none.
///
/// # Safety
/// `to` has room for `bytes` bytes.
#[no_mangle]
pub unsafe extern "C" fn rmw_hazcat_rs_simulated_read(address: *const c_void, to: *mut c_void, bytes: usize) -> i32 {
    if to.is_null() || bytes > isize::MAX as usize {
        return 0;
    }
    // SAFETY: the caller's array; it is only written to.
    let to = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), bytes) };
    i32::from(simulated::read(address.cast(), to).is_ok())
}

/// Writes to a borrowed message as code on a simulated device does; answers 1, or 0 where that is none.
///
/// # Safety
/// `from` has `bytes` bytes.
#[no_mangle]
pub unsafe extern "C" fn rmw_hazcat_rs_simulated_write(address: *mut c_void, from: *const c_void, bytes: usize) -> i32 {
    if from.is_null() || bytes > isize::MAX as usize {
        return 0;
    }
    // SAFETY: the caller's bytes, which nobody changes meanwhile.
    let from = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), bytes) };
    i32::from(simulated::write(address.cast(), from).is_ok())
}
