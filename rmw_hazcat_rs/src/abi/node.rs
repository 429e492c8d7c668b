//! Nodes.

use super::init;
use super::name_failure;
use crate::entity::handle::{entity, into_data, reclaim};
use crate::entity::node::Node;
use crate::error::{guard, guard_ptr, required_str, Failure};
use crate::ffi;
use crate::identity;
use crate::names::{check_namespace, check_node_name};

/// Creates a node.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_create_node(
    context: *mut ffi::rmw_context_t,
    name: *const std::ffi::c_char,
    namespace_: *const std::ffi::c_char,
) -> *mut ffi::rmw_node_t {
    guard_ptr(|| {
        // SAFETY: see the function's own contract.
        let owner = unsafe { init::entity(context) }?;
        if owner.is_shut_down() {
            return Err(Failure::error("the context has been shut down"));
        }
        // SAFETY: see the function's own contract.
        let name = unsafe { required_str(name, "name") }?;
        check_node_name(name).map_err(|problem| name_failure("node name", name, problem))?;
        // SAFETY: see the function's own contract.
        let namespace = unsafe { required_str(namespace_, "namespace_") }?;
        check_namespace(namespace).map_err(|problem| name_failure("namespace", namespace, problem))?;

        let allocator = owner.allocator();
        let handle = allocator.zeroed::<ffi::rmw_node_t>()?;
        let (c_name, c_namespace) = (allocator.string(name)?, allocator.string(namespace)?);
        let node = Node::new(owner, context, name, namespace)?;
        let handle = handle.into_raw();
        let value = ffi::rmw_node_t {
            implementation_identifier: identity::identifier(),
            data: into_data(node),
            name: c_name.into_raw(),
            namespace_: c_namespace.into_raw(),
            context,
        };
        // SAFETY: fresh memory for one handle.
        unsafe { handle.write(value) };
        Ok(handle)
    })
}

/// Destroys a node.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_destroy_node(node: *mut ffi::rmw_node_t) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let allocator = *unsafe { entity(node) }?.context().allocator();
        // SAFETY: not null, or `entity` had failed.
        let handle = unsafe { node.read() };
        // SAFETY: the caller gives the handle up.
        drop(unsafe { reclaim(&handle) });
        // SAFETY: the handle's own string.
        unsafe { allocator.free(handle.name) };
        // SAFETY: the handle's own string.
        unsafe { allocator.free(handle.namespace_) };
        // SAFETY: the handle itself.
        unsafe { allocator.free(node) };
        Ok(())
    })
}

/// The guard condition that changes of the graph trigger; it lives as long as the node.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_node_get_graph_guard_condition(
    node: *const ffi::rmw_node_t,
) -> *const ffi::rmw_guard_condition_t {
    guard_ptr(|| {
        // SAFETY: see the function's own contract.
        Ok(unsafe { entity(node) }?.graph_guard_condition().cast_mut())
    })
}
