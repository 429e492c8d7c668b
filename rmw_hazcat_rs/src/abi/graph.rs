//! Questions about the graph: nodes, topics, services, counts.

use std::ffi::c_char;

use hazcat_core::graph::EndpointKind;

use super::name_failure;
use crate::allocator::Allocator;
use crate::c_arrays::{
    check_zero_names_and_types, check_zero_strings, fill_names_and_types, fill_strings, NamesAndTypes,
};
use crate::entity::handle::entity;
use crate::entity::node::Node;
use crate::error::{guard, required_mut, required_str, Code, Failure, Result};
use crate::ffi;
use crate::graph_queries::{self, Direction};
use crate::names::{check_namespace, check_node_name, check_topic_name};

/// All nodes: names and namespaces, in the same order.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_node_names(
    node: *const ffi::rmw_node_t,
    node_names: *mut ffi::rcutils_string_array_t,
    node_namespaces: *mut ffi::rcutils_string_array_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let node = unsafe { entity(node) }?;
        // SAFETY: see the function's own contract.
        unsafe { check_zero_strings(node_names, "node_names") }?;
        // SAFETY: see the function's own contract.
        unsafe { check_zero_strings(node_namespaces, "node_namespaces") }?;
        let [names, namespaces, _] = columns(node);
        // SAFETY: not null, and different arrays, here and below.
        let names_out = unsafe { &mut *node_names };
        // SAFETY: see above.
        let outs = [names_out, unsafe { &mut *node_namespaces }];
        fill_strings(outs, [&names, &namespaces], &Allocator::default_of_process()?)
    })
}

/// All nodes: names, namespaces and enclaves, in the same order.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_node_names_with_enclaves(
    node: *const ffi::rmw_node_t,
    node_names: *mut ffi::rcutils_string_array_t,
    node_namespaces: *mut ffi::rcutils_string_array_t,
    enclaves: *mut ffi::rcutils_string_array_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let node = unsafe { entity(node) }?;
        // SAFETY: see the function's own contract.
        unsafe { check_zero_strings(node_names, "node_names") }?;
        // SAFETY: see the function's own contract.
        unsafe { check_zero_strings(node_namespaces, "node_namespaces") }?;
        // SAFETY: see the function's own contract.
        unsafe { check_zero_strings(enclaves, "enclaves") }?;
        let [names, namespaces, list] = columns(node);
        // SAFETY: not null, and different arrays, here and below.
        let names_out = unsafe { &mut *node_names };
        // SAFETY: see above.
        let namespaces_out = unsafe { &mut *node_namespaces };
        // SAFETY: see above.
        let outs = [names_out, namespaces_out, unsafe { &mut *enclaves }];
        fill_strings(outs, [&names, &namespaces, &list], &Allocator::default_of_process()?)
    })
}

/// Names, namespaces and enclaves of all nodes.
fn columns(node: &Node) -> [Vec<String>; 3] {
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for node in node.context().snapshot().nodes() {
        let values = [&node.record.name, &node.record.namespace, &node.record.enclave];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value.clone());
        }
    }
    columns
}

/// All topics with their types.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_topic_names_and_types(
    node: *const ffi::rmw_node_t,
    allocator: *mut ffi::rcutils_allocator_t,
    no_demangle: bool,
    topic_names_and_types: *mut ffi::rmw_names_and_types_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let node = unsafe { entity(node) }?;
        // SAFETY: see the function's own contract.
        let allocator = unsafe { Allocator::from_argument(allocator) }?;
        // SAFETY: see the function's own contract.
        unsafe { check_zero_names_and_types(topic_names_and_types, "topic_names_and_types") }?;
        let list = graph_queries::topics(&node.context().snapshot(), no_demangle);
        // SAFETY: not null.
        fill_names_and_types(unsafe { &mut *topic_names_and_types }, &list, &allocator)
    })
}

/// All services with their types.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_service_names_and_types(
    node: *const ffi::rmw_node_t,
    allocator: *mut ffi::rcutils_allocator_t,
    service_names_and_types: *mut ffi::rmw_names_and_types_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let node = unsafe { entity(node) }?;
        // SAFETY: see the function's own contract.
        let allocator = unsafe { Allocator::from_argument(allocator) }?;
        // SAFETY: see the function's own contract.
        unsafe { check_zero_names_and_types(service_names_and_types, "service_names_and_types") }?;
        let list = graph_queries::services(&node.context().snapshot());
        // SAFETY: not null.
        fill_names_and_types(unsafe { &mut *service_names_and_types }, &list, &allocator)
    })
}

/// The arguments that all questions about one node have.
struct OneNode {
    node: *const ffi::rmw_node_t,
    allocator: *mut ffi::rcutils_allocator_t,
    node_name: *const c_char,
    node_namespace: *const c_char,
    out: *mut ffi::rmw_names_and_types_t,
}

impl OneNode {
    /// Checks them and answers with what `list` makes of the graph, the node's name and its namespace.
    ///
    /// # Safety
    /// See [`crate::abi`].
    unsafe fn answer(
        &self,
        list: impl FnOnce(&hazcat_core::graph::GraphSnapshot, &str, &str) -> NamesAndTypes,
    ) -> Result<()> {
        // SAFETY: see the function's own contract.
        let node = unsafe { entity(self.node) }?;
        // SAFETY: see the function's own contract.
        let allocator = unsafe { Allocator::from_argument(self.allocator) }?;
        // SAFETY: see the function's own contract.
        let name = unsafe { required_str(self.node_name, "node_name") }?;
        check_node_name(name).map_err(|problem| name_failure("node name", name, problem))?;
        // SAFETY: see the function's own contract.
        let namespace = unsafe { required_str(self.node_namespace, "node_namespace") }?;
        check_namespace(namespace).map_err(|problem| name_failure("namespace", namespace, problem))?;
        // SAFETY: see the function's own contract.
        unsafe { check_zero_names_and_types(self.out, "names_and_types") }?;
        let snapshot = node.context().snapshot();
        if !graph_queries::has_node(&snapshot, name, namespace) {
            return Err(Failure::new(
                Code::NoSuchNode,
                format!("there is no node '{name}' in namespace '{namespace}'"),
            ));
        }
        let list = list(&snapshot, name, namespace);
        // SAFETY: not null.
        fill_names_and_types(unsafe { &mut *self.out }, &list, &allocator)
    }
}

/// What a node subscribes to.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_subscriber_names_and_types_by_node(
    node: *const ffi::rmw_node_t,
    allocator: *mut ffi::rcutils_allocator_t,
    node_name: *const c_char,
    node_namespace: *const c_char,
    no_demangle: bool,
    topic_names_and_types: *mut ffi::rmw_names_and_types_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        let question = OneNode { node, allocator, node_name, node_namespace, out: topic_names_and_types };
        // SAFETY: see the function's own contract.
        unsafe {
            question.answer(|snapshot, name, namespace| {
                graph_queries::topics_of_node(snapshot, name, namespace, Direction::Reads, no_demangle)
            })
        }
    })
}

/// What a node publishes on.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_publisher_names_and_types_by_node(
    node: *const ffi::rmw_node_t,
    allocator: *mut ffi::rcutils_allocator_t,
    node_name: *const c_char,
    node_namespace: *const c_char,
    no_demangle: bool,
    topic_names_and_types: *mut ffi::rmw_names_and_types_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        let question = OneNode { node, allocator, node_name, node_namespace, out: topic_names_and_types };
        // SAFETY: see the function's own contract.
        unsafe {
            question.answer(|snapshot, name, namespace| {
                graph_queries::topics_of_node(snapshot, name, namespace, Direction::Writes, no_demangle)
            })
        }
    })
}

/// What a node serves.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_service_names_and_types_by_node(
    node: *const ffi::rmw_node_t,
    allocator: *mut ffi::rcutils_allocator_t,
    node_name: *const c_char,
    node_namespace: *const c_char,
    service_names_and_types: *mut ffi::rmw_names_and_types_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        let question = OneNode { node, allocator, node_name, node_namespace, out: service_names_and_types };
        // SAFETY: see the function's own contract.
        unsafe {
            question.answer(|snapshot, name, namespace| {
                graph_queries::services_of_node(snapshot, name, namespace, EndpointKind::Server)
            })
        }
    })
}

/// Which services a node has clients of.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_client_names_and_types_by_node(
    node: *const ffi::rmw_node_t,
    allocator: *mut ffi::rcutils_allocator_t,
    node_name: *const c_char,
    node_namespace: *const c_char,
    service_names_and_types: *mut ffi::rmw_names_and_types_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        let question = OneNode { node, allocator, node_name, node_namespace, out: service_names_and_types };
        // SAFETY: see the function's own contract.
        unsafe {
            question.answer(|snapshot, name, namespace| {
                graph_queries::services_of_node(snapshot, name, namespace, EndpointKind::Client)
            })
        }
    })
}

/// # Safety
/// See [`crate::abi`].
unsafe fn count(
    kind: EndpointKind,
    node: *const ffi::rmw_node_t,
    name: *const c_char,
    argument: &'static str,
    out: *mut usize,
) -> Result<()> {
    // SAFETY: see the function's own contract.
    let node = unsafe { entity(node) }?;
    // SAFETY: see the function's own contract.
    let name = unsafe { required_str(name, argument) }?;
    check_topic_name(name).map_err(|problem| name_failure(argument, name, problem))?;
    // SAFETY: see the function's own contract.
    let out = unsafe { required_mut(out, "count") }?;
    *out = graph_queries::count(&node.context().snapshot(), kind, name);
    Ok(())
}

/// How many publishers a topic has.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_count_publishers(
    node: *const ffi::rmw_node_t,
    topic_name: *const c_char,
    count_out: *mut usize,
) -> ffi::rmw_ret_t {
    // SAFETY: see the function's own contract.
    guard(|| unsafe { count(EndpointKind::Publisher, node, topic_name, "topic_name", count_out) })
}

/// How many subscriptions a topic has.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_count_subscribers(
    node: *const ffi::rmw_node_t,
    topic_name: *const c_char,
    count_out: *mut usize,
) -> ffi::rmw_ret_t {
    // SAFETY: see the function's own contract.
    guard(|| unsafe { count(EndpointKind::Subscription, node, topic_name, "topic_name", count_out) })
}

/// How many clients a service has.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_count_clients(
    node: *const ffi::rmw_node_t,
    service_name: *const c_char,
    count_out: *mut usize,
) -> ffi::rmw_ret_t {
    // SAFETY: see the function's own contract.
    guard(|| unsafe { count(EndpointKind::Client, node, service_name, "service_name", count_out) })
}

/// How many servers a service has.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_count_services(
    node: *const ffi::rmw_node_t,
    service_name: *const c_char,
    count_out: *mut usize,
) -> ffi::rmw_ret_t {
    // SAFETY: see the function's own contract.
    guard(|| unsafe { count(EndpointKind::Server, node, service_name, "service_name", count_out) })
}
