//! Messages on loan, from publishers and from subscriptions.

use std::ffi::c_void;

use crate::entity::handle::entity;
use crate::error::{guard, not_null, required_mut, Failure, Result};
use crate::ffi;

/// Lends a message in shared memory.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_borrow_loaned_message(
    publisher: *const ffi::rmw_publisher_t,
    type_support: *const ffi::rosidl_message_type_support_t,
    ros_message: *mut *mut c_void,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let publisher = unsafe { entity(publisher) }?;
        not_null(type_support, "type_support")?;
        // SAFETY: see the function's own contract.
        let out = unsafe { required_mut(ros_message, "ros_message") }?;
        if !out.is_null() {
            return Err(Failure::invalid("'*ros_message' is not null, something would be lost"));
        }
        *out = publisher.borrow_message()?;
        Ok(())
    })
}

/// Takes a lent message back unpublished.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_return_loaned_message_from_publisher(
    publisher: *const ffi::rmw_publisher_t,
    loaned_message: *mut c_void,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let publisher = unsafe { entity(publisher) }?;
        not_null(loaned_message, "loaned_message")?;
        publisher.return_message(loaned_message)
    })
}

/// Publishes a lent message where it lies.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_publish_loaned_message(
    publisher: *const ffi::rmw_publisher_t,
    ros_message: *mut c_void,
    _allocation: *mut ffi::rmw_publisher_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let publisher = unsafe { entity(publisher) }?;
        not_null(ros_message, "ros_message")?;
        publisher.publish_loaned(ros_message)
    })
}

/// Takes a message on loan.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_loaned_message(
    subscription: *const ffi::rmw_subscription_t,
    loaned_message: *mut *mut c_void,
    taken: *mut bool,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { take_loaned(subscription, loaned_message, taken) }?;
        Ok(())
    })
}

/// Takes a message on loan, with what is known about it.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_loaned_message_with_info(
    subscription: *const ffi::rmw_subscription_t,
    loaned_message: *mut *mut c_void,
    taken: *mut bool,
    message_info: *mut ffi::rmw_message_info_t,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let out = unsafe { required_mut(message_info, "message_info") }?;
        // SAFETY: see the function's own contract.
        if let Some(info) = unsafe { take_loaned(subscription, loaned_message, taken) }? {
            *out = info;
        }
        Ok(())
    })
}

/// # Safety
/// See [`crate::abi`].
unsafe fn take_loaned(
    subscription: *const ffi::rmw_subscription_t,
    loaned_message: *mut *mut c_void,
    taken: *mut bool,
) -> Result<Option<ffi::rmw_message_info_t>> {
    not_null(subscription, "subscription")?;
    // SAFETY: see the function's own contract.
    let out = unsafe { required_mut(loaned_message, "loaned_message") }?;
    // SAFETY: see the function's own contract.
    let taken = unsafe { required_mut(taken, "taken") }?;
    // SAFETY: see the function's own contract.
    let subscription = unsafe { entity(subscription) }?;
    if !out.is_null() {
        return Err(Failure::invalid("'*loaned_message' is not null, something would be lost"));
    }
    *taken = false;
    let Some((message, info)) = subscription.take_loaned()? else { return Ok(None) };
    *out = message;
    *taken = true;
    Ok(Some(info.to_ffi()))
}

/// Takes a subscription's loan back.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_return_loaned_message_from_subscription(
    subscription: *const ffi::rmw_subscription_t,
    loaned_message: *mut c_void,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let subscription = unsafe { entity(subscription) }?;
        if subscription.can_loan() {
            not_null(loaned_message, "loaned_message")?;
        }
        subscription.return_loan(loaned_message)
    })
}
