//! QoS events.

use std::ffi::c_void;
use std::sync::Arc;

use crate::entity::events::{EndpointEvents, EventKind, EventWaitable, Side, Status};
use crate::entity::handle::entity;
use crate::error::{check_identifier, guard, not_null, required, required_mut, Failure, Result};
use crate::ffi;
use crate::identity;

fn unsupported(event_type: ffi::rmw_event_type_t, topic: &str) -> Failure {
    Failure::unsupported(format!("events of type {} are not supported on this side", event_type.0))
        .about(format_args!("topic '{topic}'"))
}

/// # Safety
/// `event` is null or writable.
unsafe fn init(
    event: *mut ffi::rmw_event_t,
    events: &Arc<EndpointEvents>,
    event_type: ffi::rmw_event_type_t,
) -> Result<()> {
    // SAFETY: forwarded from the caller.
    let event = unsafe { required_mut(event, "rmw_event") }?;
    let own = events.own();
    let kind = EventKind::of(event_type, own.side).ok_or_else(|| unsupported(event_type, &own.topic))?;
    *event = ffi::rmw_event_t {
        implementation_identifier: identity::identifier(),
        data: Arc::as_ptr(events).cast_mut().cast(),
        event_type,
    };
    events.watch(kind);
    Ok(())
}

/// Makes an event of a publisher.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_publisher_event_init(
    rmw_event: *mut ffi::rmw_event_t,
    publisher: *const ffi::rmw_publisher_t,
    event_type: ffi::rmw_event_type_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let publisher = unsafe { entity(publisher) }?;
        // SAFETY: see the function's own contract.
        unsafe { init(rmw_event, publisher.events(), event_type) }
    })
}

/// Makes an event of a subscription.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_subscription_event_init(
    rmw_event: *mut ffi::rmw_event_t,
    subscription: *const ffi::rmw_subscription_t,
    event_type: ffi::rmw_event_type_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let subscription = unsafe { entity(subscription) }?;
        // SAFETY: see the function's own contract.
        unsafe { init(rmw_event, subscription.events(), event_type) }
    })
}

/// What an event belongs to, and its kind.
///
/// # Safety
/// The event was made here and its publisher or subscription lives.
unsafe fn source(event: &ffi::rmw_event_t) -> Result<(&EndpointEvents, EventKind)> {
    check_identifier(event.implementation_identifier, "event")?;
    // SAFETY: `data` came from `Arc::as_ptr` of the endpoint's events, which live as long as the endpoint.
    let events = unsafe { required(event.data.cast_const().cast::<EndpointEvents>(), "event->data") }?;
    let own = events.own();
    let kind = EventKind::of(event.event_type, own.side).ok_or_else(|| unsupported(event.event_type, &own.topic))?;
    Ok((events, kind))
}

/// What becomes ready with an event; `None` for one that was not made here.
pub(super) fn waitable_of(event: &ffi::rmw_event_t) -> Option<EventWaitable<'_>> {
    // SAFETY: rcl waits only for events whose endpoint lives.
    let (events, kind) = unsafe { source(event) }.ok()?;
    Some(events.waitable(kind))
}

/// Reads an event's status.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_take_event(
    event_handle: *const ffi::rmw_event_t,
    event_info: *mut c_void,
    taken: *mut bool,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let event = unsafe { required(event_handle, "event_handle") }?;
        check_identifier(event.implementation_identifier, "event")?;
        // SAFETY: see the function's own contract.
        let taken = unsafe { required_mut(taken, "taken") }?;
        not_null(event_info, "event_info")?;
        *taken = false;
        // SAFETY: see the function's own contract.
        let (events, kind) = unsafe { source(event) }?;
        match events.take(kind) {
            // SAFETY: the caller's structure is the one for the type of its event, here and below.
            Status::Liveliness(status) => unsafe {
                event_info.cast::<ffi::rmw_liveliness_changed_status_t>().write(status)
            },
            // SAFETY: see above.
            Status::LivelinessLost(status) => unsafe {
                event_info.cast::<ffi::rmw_liveliness_lost_status_t>().write(status);
            },
            // SAFETY: see above.
            Status::OfferedDeadlineMissed(status) => unsafe {
                event_info.cast::<ffi::rmw_offered_deadline_missed_status_t>().write(status);
            },
            // SAFETY: see above.
            Status::RequestedDeadlineMissed(status) => unsafe {
                event_info.cast::<ffi::rmw_requested_deadline_missed_status_t>().write(status);
            },
            // SAFETY: see above.
            Status::IncompatibleQos(status) => unsafe {
                event_info.cast::<ffi::rmw_qos_incompatible_event_status_t>().write(status);
            },
            // SAFETY: see above.
            Status::MessageLost(status) => unsafe { event_info.cast::<ffi::rmw_message_lost_status_t>().write(status) },
            #[cfg(rmw_event_incompatible_type)]
            Status::IncompatibleType { total, change } => {
                let status = ffi::rmw_incompatible_type_status_t { total_count: total, total_count_change: change };
                // SAFETY: see above.
                unsafe { event_info.cast::<ffi::rmw_incompatible_type_status_t>().write(status) };
            }
            #[cfg(not(rmw_event_incompatible_type))]
            Status::IncompatibleType { .. } => return Err(unsupported(event.event_type, &events.own().topic)),
            #[cfg(rmw_event_matched)]
            Status::Matched { total, change, now, now_change } => {
                let status = ffi::rmw_matched_status_t {
                    total_count: total,
                    total_count_change: change,
                    current_count: now,
                    current_count_change: now_change,
                };
                // SAFETY: see above.
                unsafe { event_info.cast::<ffi::rmw_matched_status_t>().write(status) };
            }
            #[cfg(not(rmw_event_matched))]
            Status::Matched { .. } => return Err(unsupported(event.event_type, &events.own().topic)),
        }
        *taken = true;
        Ok(())
    })
}

/// Calls back when an event happens.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_event_set_callback(
    event: *mut ffi::rmw_event_t,
    callback: ffi::rmw_event_callback_t,
    user_data: *const c_void,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let event = unsafe { required(event.cast_const(), "rmw_event") }?;
        // SAFETY: see the function's own contract.
        let (events, kind) = unsafe { source(event) }?;
        events.set_callback(kind, callback, user_data);
        Ok(())
    })
}

/// Whether this library has events of a type.
///
/// # Safety
/// None needed; unsafe only because it is exported.
#[cfg(rmw_event_type_is_supported)]
#[no_mangle]
pub unsafe extern "C" fn rmw_event_type_is_supported(event_type: ffi::rmw_event_type_t) -> bool {
    is_supported(event_type)
}

/// Whether this library has events of a type, on either side.
pub fn is_supported(event_type: ffi::rmw_event_type_t) -> bool {
    [Side::Publisher, Side::Subscription].into_iter().any(|side| EventKind::of(event_type, side).is_some())
}
