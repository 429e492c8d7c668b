//! Subscriptions: created, destroyed, asked.

use std::ffi::c_char;

use hazcat_core::graph::EndpointKind;

use super::{check_new_name, content_filter, creating_node};
use crate::attributes::Attributes;
use crate::entity::arriving::Arriving as _;
use crate::entity::handle::{entity, into_data, reclaim};
use crate::entity::subscription::Subscription;
use crate::error::{guard, guard_ptr, not_null, required, required_mut, required_str, Context as _, Failure};
use crate::ffi;
use crate::identity;
use crate::preference::payload::Payload;
use crate::qos::{BestAvailable, Qos};
use crate::typesupport::MessageType;

/// There is nothing to allocate ahead.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_init_subscription_allocation(
    _type_support: *const ffi::rosidl_message_type_support_t,
    _message_bounds: *const ffi::rosidl_runtime_c__Sequence__bound,
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| Err(Failure::unsupported("subscription allocations are not supported: taking allocates nothing anyway")))
}

/// There is nothing to free.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_fini_subscription_allocation(
    _allocation: *mut ffi::rmw_subscription_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| Err(Failure::unsupported("subscription allocations are not supported: taking allocates nothing anyway")))
}

/// Creates a subscription.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_create_subscription(
    node: *const ffi::rmw_node_t,
    type_support: *const ffi::rosidl_message_type_support_t,
    topic_name: *const c_char,
    qos_policies: *const ffi::rmw_qos_profile_t,
    subscription_options: *const ffi::rmw_subscription_options_t,
) -> *mut ffi::rmw_subscription_t {
    guard_ptr(|| {
        // SAFETY: see the function's own contract.
        let node = unsafe { creating_node(node) }?;
        not_null(type_support, "type_support")?;
        // SAFETY: see the function's own contract.
        let topic = unsafe { required_str(topic_name, "topic_name") }?;
        // SAFETY: see the function's own contract.
        let profile = unsafe { required(qos_policies, "qos_policies") }?;
        check_new_name("topic name", topic, profile.avoid_ros_namespace_conventions)?;
        // SAFETY: see the function's own contract.
        let mut options = *unsafe { required(subscription_options, "subscription_options") }?;
        if options.require_unique_network_flow_endpoints == ffi::RMW_UNIQUE_NETWORK_FLOW_ENDPOINTS_STRICTLY_REQUIRED {
            return Err(Failure::unsupported("there are no network flows to be unique in shared memory"));
        }
        let subject = || format!("cannot create a subscription on topic '{topic}'");
        // SAFETY: a handle whose library the caller keeps loaded as long as the subscription.
        let kind = unsafe { MessageType::from_handle(type_support) }.or_error(subject)?;
        let snapshot = node.context().snapshot();
        let qos = Qos::resolve(profile, || {
            let publishers = snapshot.endpoints_of(EndpointKind::Publisher, topic);
            BestAvailable::for_subscription(
                publishers.filter_map(|p| Some(Attributes::decode(&p.record.attributes)?.qos)),
            )
        })
        .or_error(subject)?;

        // SAFETY: null or initialised by the caller.
        let filter = match unsafe { options.content_filter_options.as_ref() } {
            // SAFETY: see the function's own contract.
            Some(filter) => unsafe { content_filter::texts(filter) }.map_err(|failure| failure.about(subject()))?,
            None => ("", Vec::new()),
        };

        let allocator = *node.context().allocator();
        let handle = allocator.zeroed::<ffi::rmw_subscription_t>()?;
        let c_topic = allocator.string(topic)?;
        let ignore_local = options.ignore_local_publications;
        // SAFETY: null or some implementation's payload, by the function's contract.
        let payload =
            unsafe { Payload::read(options.rmw_specific_subscription_payload) }.map_err(|f| f.about(subject()))?;
        let subscription =
            Subscription::new(node, topic, kind, qos, ignore_local, (filter.0, &filter.1), payload.as_ref())?;
        // The filter's options and the payload are the caller's own and may be gone after this call.
        options.content_filter_options = std::ptr::null_mut();
        options.rmw_specific_subscription_payload = std::ptr::null_mut();
        let value = ffi::rmw_subscription_t {
            implementation_identifier: identity::identifier(),
            topic_name: c_topic.into_raw(),
            options,
            can_loan_messages: subscription.can_loan(),
            is_cft_enabled: !filter.0.is_empty(),
            data: into_data(subscription),
        };
        let handle = handle.into_raw();
        // SAFETY: fresh memory for one handle.
        unsafe { handle.write(value) };
        Ok(handle)
    })
}

/// Destroys a subscription.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_destroy_subscription(
    node: *mut ffi::rmw_node_t,
    subscription: *mut ffi::rmw_subscription_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        not_null(node, "node")?;
        not_null(subscription, "subscription")?;
        // SAFETY: see the function's own contract.
        unsafe { entity(node.cast_const()) }?;
        // SAFETY: see the function's own contract.
        let allocator = *unsafe { entity(subscription.cast_const()) }?.context().allocator();
        // SAFETY: not null.
        let handle = unsafe { subscription.read() };
        // SAFETY: the caller gives the handle up.
        let own = unsafe { reclaim(&handle) };
        own.events().silence();
        own.retire();
        // SAFETY: the handle's own string.
        unsafe { allocator.free(handle.topic_name) };
        // SAFETY: the handle itself.
        unsafe { allocator.free(subscription) };
        Ok(())
    })
}

/// How many publishers match.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_subscription_count_matched_publishers(
    subscription: *const ffi::rmw_subscription_t,
    publisher_count: *mut usize,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let subscription = unsafe { entity(subscription) }?;
        // SAFETY: see the function's own contract.
        *unsafe { required_mut(publisher_count, "publisher_count") }? = subscription.count_matched();
        Ok(())
    })
}

/// The QoS it really has.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_subscription_get_actual_qos(
    subscription: *const ffi::rmw_subscription_t,
    qos: *mut ffi::rmw_qos_profile_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let subscription = unsafe { entity(subscription) }?;
        // SAFETY: see the function's own contract.
        *unsafe { required_mut(qos, "qos") }? = subscription.qos().to_ffi();
        Ok(())
    })
}
