//! Servers of services.

use std::ffi::{c_char, c_void};

use hazcat_core::Gid;

use super::{check_new_name, creating_node};
use crate::entity::arriving::Arriving as _;
use crate::entity::handle::{entity, into_data, reclaim};
use crate::entity::service::Service;
use crate::error::{guard, guard_ptr, not_null, required, required_mut, required_str, Context as _};
use crate::ffi;
use crate::identity;
use crate::qos::{BestAvailable, Qos};
use crate::typesupport::ServiceType;

/// Creates a server.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_create_service(
    node: *const ffi::rmw_node_t,
    type_support: *const ffi::rosidl_service_type_support_t,
    service_name: *const c_char,
    qos_profile: *const ffi::rmw_qos_profile_t,
) -> *mut ffi::rmw_service_t {
    guard_ptr(|| {
        // SAFETY: see the function's own contract.
        let node = unsafe { creating_node(node) }?;
        not_null(type_support, "type_support")?;
        // SAFETY: see the function's own contract.
        let service = unsafe { required_str(service_name, "service_name") }?;
        // SAFETY: see the function's own contract.
        let profile = unsafe { required(qos_profile, "qos_profile") }?;
        check_new_name("service name", service, profile.avoid_ros_namespace_conventions)?;
        let subject = || format!("cannot create a server of service '{service}'");
        // SAFETY: a handle whose library the caller keeps loaded as long as the server.
        let kind = unsafe { ServiceType::from_handle(type_support) }.or_error(subject)?;
        let qos = Qos::resolve(profile, BestAvailable::for_service).or_error(subject)?;

        let allocator = *node.context().allocator();
        let handle = allocator.zeroed::<ffi::rmw_service_t>()?;
        let c_service = allocator.string(service)?;
        let server = Service::new(node, service, kind, qos)?;
        let value = ffi::rmw_service_t {
            implementation_identifier: identity::identifier(),
            service_name: c_service.into_raw(),
            data: into_data(server),
        };
        let handle = handle.into_raw();
        // SAFETY: fresh memory for one handle.
        unsafe { handle.write(value) };
        Ok(handle)
    })
}

/// Destroys a server.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_destroy_service(
    node: *mut ffi::rmw_node_t,
    service: *mut ffi::rmw_service_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { entity(node.cast_const()) }?;
        // SAFETY: see the function's own contract.
        let allocator = *unsafe { entity(service.cast_const()) }?.context().allocator();
        // SAFETY: not null, or `entity` had failed.
        let handle = unsafe { service.read() };
        // SAFETY: the caller gives the handle up.
        unsafe { reclaim(&handle) }.retire();
        // SAFETY: the handle's own string.
        unsafe { allocator.free(handle.service_name) };
        // SAFETY: the handle itself.
        unsafe { allocator.free(service) };
        Ok(())
    })
}

/// Takes a request.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_request(
    service: *const ffi::rmw_service_t,
    request_header: *mut ffi::rmw_service_info_t,
    ros_request: *mut c_void,
    taken: *mut bool,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let service = unsafe { entity(service) }?;
        // SAFETY: see the function's own contract.
        let header = unsafe { required_mut(request_header, "request_header") }?;
        not_null(ros_request, "ros_request")?;
        // SAFETY: see the function's own contract.
        let taken = unsafe { required_mut(taken, "taken") }?;
        *taken = false;
        // SAFETY: not null, and of the server's request type by the function's contract.
        if let Some(info) = unsafe { service.take(ros_request) }? {
            *header = info.to_ffi();
            *taken = true;
        }
        Ok(())
    })
}

/// Sends a reply.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_send_response(
    service: *const ffi::rmw_service_t,
    request_header: *mut ffi::rmw_request_id_t,
    ros_response: *mut c_void,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let service = unsafe { entity(service) }?;
        // SAFETY: see the function's own contract.
        let id = unsafe { required(request_header.cast_const(), "request_header") }?;
        not_null(ros_response, "ros_response")?;
        let mut client = Gid::default();
        for (to, from) in client.0.iter_mut().zip(id.writer_guid) {
            // Signed bytes at Humble's level, unsigned later.
            *to = from as _;
        }
        // SAFETY: not null, and of the server's response type by the function's contract.
        unsafe { service.respond(client, id.sequence_number, ros_response) }
    })
}

/// The QoS of the replies.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_service_response_publisher_get_actual_qos(
    service: *const ffi::rmw_service_t,
    qos: *mut ffi::rmw_qos_profile_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let service = unsafe { entity(service) }?;
        // SAFETY: see the function's own contract.
        *unsafe { required_mut(qos, "qos") }? = service.qos().to_ffi();
        Ok(())
    })
}

/// The QoS of the requests.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_service_request_subscription_get_actual_qos(
    service: *const ffi::rmw_service_t,
    qos: *mut ffi::rmw_qos_profile_t,
) -> ffi::rmw_ret_t {
    // SAFETY: the same contract; both directions have the same QoS.
    unsafe { rmw_service_response_publisher_get_actual_qos(service, qos) }
}
