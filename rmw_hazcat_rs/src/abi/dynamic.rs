//! Dynamic messages: not supported yet.

use std::ffi::c_char;

use crate::entity::handle::entity;
use crate::error::{guard, not_null, Failure};
use crate::ffi;

const NO_DYNAMIC_MESSAGES: &str = "dynamic messages are not supported";

/// Answers "unsupported".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_dynamic_message(
    subscription: *const ffi::rmw_subscription_t,
    _dynamic_message: *mut ffi::rosidl_dynamic_typesupport_dynamic_data_t,
    _taken: *mut bool,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let subscription = unsafe { entity(subscription) }?;
        Err(Failure::unsupported(NO_DYNAMIC_MESSAGES).about(format_args!("topic '{}'", subscription.topic())))
    })
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
    _message_info: *mut ffi::rmw_message_info_t,
    allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    // SAFETY: the same contract.
    unsafe { rmw_take_dynamic_message(subscription, dynamic_message, taken, allocation) }
}

/// Answers "unsupported".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_serialization_support_init(
    serialization_lib_name: *const c_char,
    _allocator: *mut ffi::rcutils_allocator_t,
    _serialization_support: *mut ffi::rosidl_dynamic_typesupport_serialization_support_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        not_null(serialization_lib_name, "serialization_lib_name")?;
        Err(Failure::unsupported(NO_DYNAMIC_MESSAGES))
    })
}
