//! Who is on a topic, with QoS, gid and type hash.

use std::ffi::c_char;

use crate::allocator::{Allocator, Owned};
use crate::entity::handle::entity;
use crate::error::{guard, required, required_str, Failure, Result};
use crate::ffi;
use crate::graph_queries::{self, Direction, EndpointOnTopic};

/// The publishers on a topic.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_publishers_info_by_topic(
    node: *const ffi::rmw_node_t,
    allocator: *mut ffi::rcutils_allocator_t,
    topic_name: *const c_char,
    no_mangle: bool,
    publishers_info: *mut ffi::rmw_topic_endpoint_info_array_t,
) -> ffi::rmw_ret_t {
    // SAFETY: see the function's own contract.
    guard(|| unsafe { info(Direction::Writes, node, allocator, topic_name, no_mangle, publishers_info) })
}

/// The subscriptions on a topic.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_subscriptions_info_by_topic(
    node: *const ffi::rmw_node_t,
    allocator: *mut ffi::rcutils_allocator_t,
    topic_name: *const c_char,
    no_mangle: bool,
    subscriptions_info: *mut ffi::rmw_topic_endpoint_info_array_t,
) -> ffi::rmw_ret_t {
    // SAFETY: see the function's own contract.
    guard(|| unsafe { info(Direction::Reads, node, allocator, topic_name, no_mangle, subscriptions_info) })
}

/// # Safety
/// See [`crate::abi`].
unsafe fn info(
    direction: Direction,
    node: *const ffi::rmw_node_t,
    allocator: *mut ffi::rcutils_allocator_t,
    topic_name: *const c_char,
    mangled: bool,
    out: *mut ffi::rmw_topic_endpoint_info_array_t,
) -> Result<()> {
    // SAFETY: see the function's own contract.
    let node = unsafe { entity(node) }?;
    // SAFETY: see the function's own contract.
    let allocator = unsafe { Allocator::from_argument(allocator) }?;
    // SAFETY: see the function's own contract.
    let topic = unsafe { required_str(topic_name, "topic_name") }?;
    // SAFETY: see the function's own contract.
    let array = unsafe { required(out.cast_const(), "endpoints_info") }?;
    if array.size != 0 || !array.info_array.is_null() {
        return Err(Failure::invalid("argument 'endpoints_info' is not zero-initialised"));
    }
    let found = graph_queries::endpoints_on_topic(&node.context().snapshot(), topic, direction, mangled);
    if found.is_empty() {
        return Ok(());
    }
    let endpoint_type = match direction {
        Direction::Writes => ffi::RMW_ENDPOINT_PUBLISHER,
        Direction::Reads => ffi::RMW_ENDPOINT_SUBSCRIPTION,
    };
    // All strings first, each with its guard, so that a failure leaves nothing behind.
    let made = found.iter().map(|endpoint| Strings::new(endpoint, &allocator)).collect::<Result<Vec<_>>>()?;
    let infos = allocator.zeroed_array::<ffi::rmw_topic_endpoint_info_t>(found.len())?.as_ptr();
    for (index, (endpoint, strings)) in found.iter().zip(made).enumerate() {
        let mut info = ffi::rmw_topic_endpoint_info_t {
            node_name: strings.node_name.into_raw(),
            node_namespace: strings.node_namespace.into_raw(),
            topic_type: strings.type_name.into_raw(),
            endpoint_type,
            qos_profile: endpoint.attributes.qos.to_ffi(),
            ..ffi::rmw_topic_endpoint_info_t::default()
        };
        for (to, from) in info.endpoint_gid.iter_mut().zip(endpoint.gid) {
            *to = from;
        }
        #[cfg(rmw_endpoint_type_hash)]
        if let Some(hash) = endpoint.attributes.type_hash {
            info.topic_type_hash.version = hash.version;
            info.topic_type_hash.value = hash.value;
        }
        // SAFETY: one info per endpoint.
        unsafe { infos.wrapping_add(index).write(info) };
    }
    let filled = ffi::rmw_topic_endpoint_info_array_t { size: found.len(), info_array: infos };
    // SAFETY: not null, or `required` had failed.
    unsafe { out.write(filled) };
    Ok(())
}

/// The strings of one info.
struct Strings {
    node_name: Owned<c_char>,
    node_namespace: Owned<c_char>,
    type_name: Owned<c_char>,
}

impl Strings {
    fn new(endpoint: &EndpointOnTopic, allocator: &Allocator) -> Result<Self> {
        Ok(Self {
            node_name: allocator.string(&endpoint.node_name)?,
            node_namespace: allocator.string(&endpoint.node_namespace)?,
            type_name: allocator.string(&endpoint.type_name)?,
        })
    }
}
