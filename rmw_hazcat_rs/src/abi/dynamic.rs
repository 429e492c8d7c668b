//! Dynamic messages: not supported, as `rmw_feature_supported` says.
//!
//! They need a serialization library of `rosidl_dynamic_typesupport`; the only one there is belongs to Fast DDS and builds
//! its types. Serialized messages, which this middleware hands out in either direction, can be read by it, or by anything else
//! that reads CDR.

use std::ffi::c_char;

use crate::allocator::Allocator;
use crate::entity::handle::entity;
use crate::error::{guard, not_null, required_mut, required_str, Failure, Result};
use crate::ffi;

/// # Safety
/// See [`crate::abi`].
unsafe fn refuse(
    subscription: *const ffi::rmw_subscription_t,
    dynamic_message: *mut ffi::rosidl_dynamic_typesupport_dynamic_data_t,
    taken: *mut bool,
) -> Result<()> {
    // SAFETY: see the function's own contract.
    let subscription = unsafe { entity(subscription) }?;
    not_null(dynamic_message, "dynamic_message")?;
    // SAFETY: see the function's own contract.
    *unsafe { required_mut(taken, "taken") }? = false;
    Err(Failure::unsupported("dynamic messages are not supported; take serialized ones")
        .about(format_args!("topic '{}'", subscription.topic())))
}

/// Answers "unsupported".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_dynamic_message(
    subscription: *const ffi::rmw_subscription_t,
    dynamic_message: *mut ffi::rosidl_dynamic_typesupport_dynamic_data_t,
    taken: *mut bool,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    // SAFETY: the same contract.
    guard(|| unsafe { refuse(subscription, dynamic_message, taken) })
}

/// Answers "unsupported".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_dynamic_message_with_info(
    subscription: *const ffi::rmw_subscription_t,
    dynamic_message: *mut ffi::rosidl_dynamic_typesupport_dynamic_data_t,
    taken: *mut bool,
    message_info: *mut ffi::rmw_message_info_t,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        not_null(message_info, "message_info")?;
        // SAFETY: the same contract.
        unsafe { refuse(subscription, dynamic_message, taken) }
    })
}

/// Answers "unsupported".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_serialization_support_init(
    serialization_lib_name: *const c_char,
    allocator: *mut ffi::rcutils_allocator_t,
    serialization_support: *mut ffi::rosidl_dynamic_typesupport_serialization_support_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let name = unsafe { required_str(serialization_lib_name, "serialization_lib_name") }?;
        // SAFETY: see the function's own contract.
        unsafe { Allocator::from_argument(allocator) }?;
        not_null(serialization_support, "serialization_support")?;
        Err(Failure::unsupported(format!("dynamic messages are not supported, so '{name}' is not loaded")))
    })
}
