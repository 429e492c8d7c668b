//! Taking messages: one, several, serialized.

use std::ffi::c_void;

use crate::entity::handle::entity;
use crate::error::{guard, not_null, required_mut, Failure, Result};
use crate::ffi;

/// Takes a message.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take(
    subscription: *const ffi::rmw_subscription_t,
    ros_message: *mut c_void,
    taken: *mut bool,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { take(subscription, ros_message, taken) }?;
        Ok(())
    })
}

/// Takes a message, with what is known about it.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_with_info(
    subscription: *const ffi::rmw_subscription_t,
    ros_message: *mut c_void,
    taken: *mut bool,
    message_info: *mut ffi::rmw_message_info_t,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let out = unsafe { required_mut(message_info, "message_info") }?;
        // SAFETY: see the function's own contract.
        if let Some(info) = unsafe { take(subscription, ros_message, taken) }? {
            *out = info;
        }
        Ok(())
    })
}

/// # Safety
/// See [`crate::abi`].
unsafe fn take(
    subscription: *const ffi::rmw_subscription_t,
    ros_message: *mut c_void,
    taken: *mut bool,
) -> Result<Option<ffi::rmw_message_info_t>> {
    // SAFETY: see the function's own contract.
    let subscription = unsafe { entity(subscription) }?;
    not_null(ros_message, "ros_message")?;
    // SAFETY: see the function's own contract.
    let taken = unsafe { required_mut(taken, "taken") }?;
    *taken = false;
    // SAFETY: not null, and of the subscription's type by the function's contract.
    let info = unsafe { subscription.take(ros_message) }?;
    *taken = info.is_some();
    Ok(info.map(|info| info.to_ffi()))
}

/// Takes up to `count` messages.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_sequence(
    subscription: *const ffi::rmw_subscription_t,
    count: usize,
    message_sequence: *mut ffi::rmw_message_sequence_t,
    message_info_sequence: *mut ffi::rmw_message_info_sequence_t,
    taken: *mut usize,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        not_null(subscription, "subscription")?;
        // SAFETY: see the function's own contract.
        let messages = unsafe { required_mut(message_sequence, "message_sequence") }?;
        // SAFETY: see the function's own contract.
        let infos = unsafe { required_mut(message_info_sequence, "message_info_sequence") }?;
        // SAFETY: see the function's own contract.
        let taken = unsafe { required_mut(taken, "taken") }?;
        // SAFETY: see the function's own contract.
        let subscription = unsafe { entity(subscription) }?;
        if count == 0 {
            return Err(Failure::invalid("argument 'count' is zero"));
        }
        if count > messages.capacity || messages.data.is_null() {
            return Err(Failure::invalid(format!("'message_sequence' has no room for {count} messages")));
        }
        if count > infos.capacity || infos.data.is_null() {
            return Err(Failure::invalid(format!("'message_info_sequence' has no room for {count} infos")));
        }
        // Where there is nothing to take, the sequences stay as they are.
        *taken = 0;
        while *taken < count {
            // SAFETY: less than the capacity.
            let message = unsafe { messages.data.wrapping_add(*taken).read() };
            not_null(message, "message_sequence->data[i]")?;
            // SAFETY: not null, and of the subscription's type by the function's contract.
            let Some(info) = unsafe { subscription.take(message) }? else { break };
            // SAFETY: less than the capacity.
            unsafe { infos.data.wrapping_add(*taken).write(info.to_ffi()) };
            *taken += 1;
            messages.size = *taken;
            infos.size = *taken;
        }
        Ok(())
    })
}

/// Takes a message in serialized form.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_serialized_message(
    subscription: *const ffi::rmw_subscription_t,
    serialized_message: *mut ffi::rmw_serialized_message_t,
    taken: *mut bool,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { take_serialized(subscription, serialized_message, taken) }?;
        Ok(())
    })
}

/// Takes a message in serialized form, with what is known about it.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_serialized_message_with_info(
    subscription: *const ffi::rmw_subscription_t,
    serialized_message: *mut ffi::rmw_serialized_message_t,
    taken: *mut bool,
    message_info: *mut ffi::rmw_message_info_t,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let out = unsafe { required_mut(message_info, "message_info") }?;
        // SAFETY: see the function's own contract.
        if let Some(info) = unsafe { take_serialized(subscription, serialized_message, taken) }? {
            *out = info;
        }
        Ok(())
    })
}

/// # Safety
/// See [`crate::abi`].
unsafe fn take_serialized(
    subscription: *const ffi::rmw_subscription_t,
    serialized_message: *mut ffi::rmw_serialized_message_t,
    taken: *mut bool,
) -> Result<Option<ffi::rmw_message_info_t>> {
    // SAFETY: see the function's own contract.
    let subscription = unsafe { entity(subscription) }?;
    // SAFETY: see the function's own contract.
    let message = unsafe { required_mut(serialized_message, "serialized_message") }?;
    // SAFETY: see the function's own contract.
    let taken = unsafe { required_mut(taken, "taken") }?;
    *taken = false;
    let info = subscription.take_serialized(message)?;
    *taken = info.is_some();
    Ok(info.map(|info| info.to_ffi()))
}
