//! Global identifiers.

use crate::entity::handle::entity;
use crate::entity::subscription::gid_to_ffi;
use crate::error::{check_identifier, guard, required, required_mut};
use crate::ffi;

/// The gid of a publisher.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_gid_for_publisher(
    publisher: *const ffi::rmw_publisher_t,
    gid: *mut ffi::rmw_gid_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let publisher = unsafe { entity(publisher) }?;
        // SAFETY: see the function's own contract.
        *unsafe { required_mut(gid, "gid") }? = gid_to_ffi(publisher.gid());
        Ok(())
    })
}

/// The gid of a client.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_gid_for_client(
    client: *const ffi::rmw_client_t,
    gid: *mut ffi::rmw_gid_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let client = unsafe { entity(client) }?;
        // SAFETY: see the function's own contract.
        *unsafe { required_mut(gid, "gid") }? = gid_to_ffi(client.gid());
        Ok(())
    })
}

/// Whether two gids are the same.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_compare_gids_equal(
    gid1: *const ffi::rmw_gid_t,
    gid2: *const ffi::rmw_gid_t,
    result: *mut bool,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let one = unsafe { required(gid1, "gid1") }?;
        check_identifier(one.implementation_identifier, "gid")?;
        // SAFETY: see the function's own contract.
        let two = unsafe { required(gid2, "gid2") }?;
        check_identifier(two.implementation_identifier, "gid")?;
        // SAFETY: see the function's own contract.
        *unsafe { required_mut(result, "result") }? = one.data == two.data;
        Ok(())
    })
}
