//! Callbacks for new messages, requests and replies.

use std::ffi::c_void;

use crate::entity::handle::entity;
use crate::error::guard;
use crate::ffi;

/// Calls back when messages arrive.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_subscription_set_on_new_message_callback(
    subscription: *mut ffi::rmw_subscription_t,
    callback: ffi::rmw_event_callback_t,
    user_data: *const c_void,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { entity(subscription.cast_const()) }?.set_callback(callback, user_data);
        Ok(())
    })
}

/// Calls back when requests arrive.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_service_set_on_new_request_callback(
    service: *mut ffi::rmw_service_t,
    callback: ffi::rmw_event_callback_t,
    user_data: *const c_void,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { entity(service.cast_const()) }?.set_callback(callback, user_data);
        Ok(())
    })
}

/// Calls back when replies arrive.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_client_set_on_new_response_callback(
    client: *mut ffi::rmw_client_t,
    callback: ffi::rmw_event_callback_t,
    user_data: *const c_void,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { entity(client.cast_const()) }?.set_callback(callback, user_data);
        Ok(())
    })
}
