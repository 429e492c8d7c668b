//! Network flow endpoints: there is no network.

use crate::entity::handle::entity;
use crate::error::{guard, not_null, Failure, Result};
use crate::ffi;

fn unsupported(topic: &str) -> Result<()> {
    Err(Failure::unsupported("there are no network flows in shared memory").about(format_args!("topic '{topic}'")))
}

/// Answers "unsupported".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_publisher_get_network_flow_endpoints(
    publisher: *const ffi::rmw_publisher_t,
    allocator: *mut ffi::rcutils_allocator_t,
    network_flow_endpoint_array: *mut ffi::rmw_network_flow_endpoint_array_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let publisher = unsafe { entity(publisher) }?;
        not_null(allocator, "allocator")?;
        not_null(network_flow_endpoint_array, "network_flow_endpoint_array")?;
        unsupported(publisher.topic())
    })
}

/// Answers "unsupported".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_subscription_get_network_flow_endpoints(
    subscription: *const ffi::rmw_subscription_t,
    allocator: *mut ffi::rcutils_allocator_t,
    network_flow_endpoint_array: *mut ffi::rmw_network_flow_endpoint_array_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let subscription = unsafe { entity(subscription) }?;
        not_null(allocator, "allocator")?;
        not_null(network_flow_endpoint_array, "network_flow_endpoint_array")?;
        unsupported(subscription.topic())
    })
}
