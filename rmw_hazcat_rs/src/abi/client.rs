//! Clients.

use std::ffi::{c_char, c_void};

use super::{check_new_name, creating_node};
use crate::entity::arriving::Arriving as _;
use crate::entity::client::Client;
use crate::entity::handle::{entity, into_data, reclaim};
use crate::error::{guard, guard_ptr, not_null, required, required_mut, required_str, Code, Context as _, Failure};
use crate::ffi;
use crate::identity;
use crate::qos::{BestAvailable, Qos};
use crate::typesupport::ServiceType;

/// Creates a client.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_create_client(
    node: *const ffi::rmw_node_t,
    type_support: *const ffi::rosidl_service_type_support_t,
    service_name: *const c_char,
    qos_policies: *const ffi::rmw_qos_profile_t,
) -> *mut ffi::rmw_client_t {
    guard_ptr(|| {
        // SAFETY: see the function's own contract.
        let node = unsafe { creating_node(node) }?;
        not_null(type_support, "type_support")?;
        // SAFETY: see the function's own contract.
        let service = unsafe { required_str(service_name, "service_name") }?;
        // SAFETY: see the function's own contract.
        let profile = unsafe { required(qos_policies, "qos_policies") }?;
        check_new_name("service name", service, profile.avoid_ros_namespace_conventions)?;
        let subject = || format!("cannot create a client of service '{service}'");
        // SAFETY: a handle whose library the caller keeps loaded as long as the client.
        let kind = unsafe { ServiceType::from_handle(type_support) }.or_error(subject)?;
        let qos = Qos::resolve(profile, BestAvailable::for_service).or_error(subject)?;

        let allocator = *node.context().allocator();
        let handle = allocator.zeroed::<ffi::rmw_client_t>()?;
        let c_service = allocator.string(service)?;
        let client = Client::new(node, service, kind, qos)?;
        let value = ffi::rmw_client_t {
            implementation_identifier: identity::identifier(),
            service_name: c_service.into_raw(),
            data: into_data(client),
        };
        let handle = handle.into_raw();
        // SAFETY: fresh memory for one handle.
        unsafe { handle.write(value) };
        Ok(handle)
    })
}

/// Destroys a client.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_destroy_client(
    node: *mut ffi::rmw_node_t,
    client: *mut ffi::rmw_client_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { entity(node.cast_const()) }?;
        // SAFETY: see the function's own contract.
        let allocator = *unsafe { entity(client.cast_const()) }?.context().allocator();
        // SAFETY: not null, or `entity` had failed.
        let handle = unsafe { client.read() };
        // SAFETY: the caller gives the handle up.
        unsafe { reclaim(&handle) }.retire();
        // SAFETY: the handle's own string.
        unsafe { allocator.free(handle.service_name) };
        // SAFETY: the handle itself.
        unsafe { allocator.free(client) };
        Ok(())
    })
}

/// Sends a request.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_send_request(
    client: *const ffi::rmw_client_t,
    ros_request: *const c_void,
    sequence_id: *mut i64,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let client = unsafe { entity(client) }?;
        not_null(ros_request, "ros_request")?;
        // SAFETY: see the function's own contract.
        let number = unsafe { required_mut(sequence_id, "sequence_id") }?;
        // SAFETY: not null, and of the client's request type by the function's contract.
        *number = unsafe { client.send(ros_request) }?;
        Ok(())
    })
}

/// Takes a reply.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_response(
    client: *const ffi::rmw_client_t,
    request_header: *mut ffi::rmw_service_info_t,
    ros_response: *mut c_void,
    taken: *mut bool,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let client = unsafe { entity(client) }?;
        // SAFETY: see the function's own contract.
        let header = unsafe { required_mut(request_header, "request_header") }?;
        not_null(ros_response, "ros_response")?;
        // SAFETY: see the function's own contract.
        let taken = unsafe { required_mut(taken, "taken") }?;
        *taken = false;
        // SAFETY: not null, and of the client's response type by the function's contract.
        if let Some(info) = unsafe { client.take(ros_response) }? {
            *header = info.to_ffi();
            *taken = true;
        }
        Ok(())
    })
}

/// The QoS of the requests.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_client_request_publisher_get_actual_qos(
    client: *const ffi::rmw_client_t,
    qos: *mut ffi::rmw_qos_profile_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let client = unsafe { entity(client) }?;
        // SAFETY: see the function's own contract.
        *unsafe { required_mut(qos, "qos") }? = client.qos().to_ffi();
        Ok(())
    })
}

/// The QoS of the replies.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_client_response_subscription_get_actual_qos(
    client: *const ffi::rmw_client_t,
    qos: *mut ffi::rmw_qos_profile_t,
) -> ffi::rmw_ret_t {
    // SAFETY: the same contract; both directions have the same QoS.
    unsafe { rmw_client_request_publisher_get_actual_qos(client, qos) }
}

/// Whether a server can be reached. For null pointers upstream's answer is "error".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_service_server_is_available(
    node: *const ffi::rmw_node_t,
    client: *const ffi::rmw_client_t,
    is_available: *mut bool,
) -> ffi::rmw_ret_t {
    guard(|| {
        let null_is_error = |failure: Failure| match failure.code {
            Code::InvalidArgument => failure.with_code(Code::Error),
            _ => failure,
        };
        // SAFETY: see the function's own contract.
        unsafe { entity(node) }.map_err(null_is_error)?;
        // SAFETY: see the function's own contract.
        let client = unsafe { entity(client) }.map_err(null_is_error)?;
        // SAFETY: see the function's own contract.
        let out = unsafe { required_mut(is_available, "is_available") }.map_err(null_is_error)?;
        *out = client.is_server_available();
        Ok(())
    })
}
