//! Content filters: not supported yet. Callers see it by `is_cft_enabled` and filter themselves.

use crate::entity::handle::entity;
use crate::error::{guard, not_null, Failure, Result};
use crate::ffi;

fn unsupported(topic: &str) -> Result<()> {
    Err(Failure::unsupported("content filters are not supported").about(format_args!("topic '{topic}'")))
}

/// Answers "unsupported".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_subscription_set_content_filter(
    subscription: *mut ffi::rmw_subscription_t,
    options: *const ffi::rmw_subscription_content_filter_options_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let subscription = unsafe { entity(subscription.cast_const()) }?;
        not_null(options, "options")?;
        unsupported(subscription.topic())
    })
}

/// Answers "unsupported".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_subscription_get_content_filter(
    subscription: *const ffi::rmw_subscription_t,
    allocator: *mut ffi::rcutils_allocator_t,
    options: *mut ffi::rmw_subscription_content_filter_options_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let subscription = unsafe { entity(subscription) }?;
        not_null(allocator, "allocator")?;
        not_null(options, "options")?;
        unsupported(subscription.topic())
    })
}
