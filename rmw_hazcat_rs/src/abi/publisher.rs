//! Publishers: created, destroyed, asked, used.

use std::ffi::{c_char, c_void};

use hazcat_core::graph::EndpointKind;

use super::{check_new_name, creating_node};
use crate::attributes::Attributes;
use crate::entity::handle::{entity, into_data, reclaim};
use crate::entity::publisher::Publisher;
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
pub unsafe extern "C" fn rmw_init_publisher_allocation(
    _type_support: *const ffi::rosidl_message_type_support_t,
    _message_bounds: *const ffi::rosidl_runtime_c__Sequence__bound,
    _allocation: *mut ffi::rmw_publisher_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| Err(Failure::unsupported("publisher allocations are not supported: publishing allocates nothing anyway")))
}

/// There is nothing to free.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_fini_publisher_allocation(
    _allocation: *mut ffi::rmw_publisher_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| Err(Failure::unsupported("publisher allocations are not supported: publishing allocates nothing anyway")))
}

/// Creates a publisher.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_create_publisher(
    node: *const ffi::rmw_node_t,
    type_support: *const ffi::rosidl_message_type_support_t,
    topic_name: *const c_char,
    qos_profile: *const ffi::rmw_qos_profile_t,
    publisher_options: *const ffi::rmw_publisher_options_t,
) -> *mut ffi::rmw_publisher_t {
    guard_ptr(|| {
        // SAFETY: see the function's own contract.
        let node = unsafe { creating_node(node) }?;
        not_null(type_support, "type_support")?;
        // SAFETY: see the function's own contract.
        let topic = unsafe { required_str(topic_name, "topic_name") }?;
        // SAFETY: see the function's own contract.
        let profile = unsafe { required(qos_profile, "qos_profile") }?;
        check_new_name("topic name", topic, profile.avoid_ros_namespace_conventions)?;
        // SAFETY: see the function's own contract.
        let mut options = *unsafe { required(publisher_options, "publisher_options") }?;
        if options.require_unique_network_flow_endpoints == ffi::RMW_UNIQUE_NETWORK_FLOW_ENDPOINTS_STRICTLY_REQUIRED {
            return Err(Failure::unsupported("there are no network flows to be unique in shared memory"));
        }
        let subject = || format!("cannot create a publisher on topic '{topic}'");
        // SAFETY: a handle whose library the caller keeps loaded as long as the publisher.
        let kind = unsafe { MessageType::from_handle(type_support) }.or_error(subject)?;
        let snapshot = node.context().snapshot();
        let qos = Qos::resolve(profile, || {
            let subscriptions = snapshot.endpoints_of(EndpointKind::Subscription, topic);
            BestAvailable::for_publisher(
                subscriptions.filter_map(|s| Some(Attributes::decode(&s.record.attributes)?.qos)),
            )
        })
        .or_error(subject)?;

        let allocator = *node.context().allocator();
        let handle = allocator.zeroed::<ffi::rmw_publisher_t>()?;
        let c_topic = allocator.string(topic)?;
        // SAFETY: null or some implementation's payload, by the function's contract.
        let payload =
            unsafe { Payload::read(options.rmw_specific_publisher_payload) }.map_err(|f| f.about(subject()))?;
        let publisher = Publisher::new(node, topic, kind, qos, payload.as_ref())?;
        // The caller's own, and perhaps gone after this call.
        options.rmw_specific_publisher_payload = std::ptr::null_mut();
        let value = ffi::rmw_publisher_t {
            implementation_identifier: identity::identifier(),
            topic_name: c_topic.into_raw(),
            options,
            can_loan_messages: publisher.can_loan(),
            data: into_data(publisher),
        };
        let handle = handle.into_raw();
        // SAFETY: fresh memory for one handle.
        unsafe { handle.write(value) };
        Ok(handle)
    })
}

/// Destroys a publisher.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_destroy_publisher(
    node: *mut ffi::rmw_node_t,
    publisher: *mut ffi::rmw_publisher_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        not_null(node, "node")?;
        not_null(publisher, "publisher")?;
        // SAFETY: see the function's own contract.
        unsafe { entity(node.cast_const()) }?;
        // SAFETY: see the function's own contract.
        let allocator = *unsafe { entity(publisher.cast_const()) }?.context().allocator();
        // SAFETY: not null.
        let handle = unsafe { publisher.read() };
        // SAFETY: the caller gives the handle up.
        let own = unsafe { reclaim(&handle) };
        own.events().silence();
        drop(own);
        // SAFETY: the handle's own string.
        unsafe { allocator.free(handle.topic_name) };
        // SAFETY: the handle itself.
        unsafe { allocator.free(publisher) };
        Ok(())
    })
}

/// How many subscriptions match.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_publisher_count_matched_subscriptions(
    publisher: *const ffi::rmw_publisher_t,
    subscription_count: *mut usize,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let publisher = unsafe { entity(publisher) }?;
        // SAFETY: see the function's own contract.
        *unsafe { required_mut(subscription_count, "subscription_count") }? = publisher.count_matched();
        Ok(())
    })
}

/// The QoS it really has.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_publisher_get_actual_qos(
    publisher: *const ffi::rmw_publisher_t,
    qos: *mut ffi::rmw_qos_profile_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let publisher = unsafe { entity(publisher) }?;
        // SAFETY: see the function's own contract.
        *unsafe { required_mut(qos, "qos") }? = publisher.qos().to_ffi();
        Ok(())
    })
}

/// Publishes a message.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_publish(
    publisher: *const ffi::rmw_publisher_t,
    ros_message: *const c_void,
    _allocation: *mut ffi::rmw_publisher_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let publisher = unsafe { entity(publisher) }?;
        not_null(ros_message, "ros_message")?;
        // SAFETY: not null, and of the publisher's type by the function's contract.
        unsafe { publisher.publish(ros_message) }
    })
}

/// Publishes a message that is serialized already.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_publish_serialized_message(
    publisher: *const ffi::rmw_publisher_t,
    serialized_message: *const ffi::rmw_serialized_message_t,
    _allocation: *mut ffi::rmw_publisher_allocation_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let publisher = unsafe { entity(publisher) }?;
        // SAFETY: see the function's own contract.
        let message = unsafe { required(serialized_message, "serialized_message") }?;
        // SAFETY: an initialised serialized message.
        publisher.publish_serialized(unsafe { super::serialize::bytes(message) }?)
    })
}

/// Shows that a publisher with manual liveliness is alive; that one with automatic liveliness is shows by itself.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_publisher_assert_liveliness(publisher: *const ffi::rmw_publisher_t) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { entity(publisher) }?.assert_liveliness();
        Ok(())
    })
}

/// Says that everything published has reached its subscriptions, without waiting: it is in the queue of each when the
/// publish function returns, and stays there when the publisher leaves. Whether and when a subscription takes it is no
/// matter of acknowledgement (nor is it in DDS): one that never takes would hold up its publishers for ever.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_publisher_wait_for_all_acked(
    publisher: *const ffi::rmw_publisher_t,
    _wait_timeout: ffi::rmw_time_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { entity(publisher) }?;
        Ok(())
    })
}
