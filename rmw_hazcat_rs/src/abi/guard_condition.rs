//! Guard conditions.

use super::init;
use crate::entity::guard_condition::GuardCondition;
use crate::entity::handle::{entity, into_data, reclaim};
use crate::error::{guard, guard_ptr};
use crate::ffi;
use crate::identity;

/// Creates a guard condition.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_create_guard_condition(
    context: *mut ffi::rmw_context_t,
) -> *mut ffi::rmw_guard_condition_t {
    guard_ptr(|| {
        // SAFETY: see the function's own contract.
        let allocator = unsafe { init::entity(context) }?.allocator();
        let handle = allocator.zeroed::<ffi::rmw_guard_condition_t>()?.into_raw();
        let value = ffi::rmw_guard_condition_t {
            implementation_identifier: identity::identifier(),
            data: into_data(GuardCondition::new(allocator)),
            context,
        };
        // SAFETY: fresh memory for one handle.
        unsafe { handle.write(value) };
        Ok(handle)
    })
}

/// Destroys a guard condition.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_destroy_guard_condition(
    guard_condition: *mut ffi::rmw_guard_condition_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let allocator = *unsafe { entity(guard_condition.cast_const()) }?.allocator();
        // SAFETY: not null, or `entity` had failed.
        let handle = unsafe { guard_condition.read() };
        // SAFETY: the caller gives the handle up.
        unsafe { reclaim(&handle) }.retire();
        // SAFETY: the handle itself.
        unsafe { allocator.free(guard_condition) };
        Ok(())
    })
}

/// Triggers a guard condition.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_trigger_guard_condition(
    guard_condition: *const ffi::rmw_guard_condition_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { entity(guard_condition) }?.trigger();
        Ok(())
    })
}
