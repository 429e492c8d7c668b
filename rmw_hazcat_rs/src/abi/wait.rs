//! Wait sets and the wait itself.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

use hazcat_core::{WaitOutcome, Waitable};

use super::event::waitable_of;
use super::init;
use crate::entity::client::Client;
use crate::entity::context::Context;
use crate::entity::guard_condition::GuardCondition;
use crate::entity::handle::{entity, into_data, reclaim};
use crate::entity::service::Service;
use crate::entity::subscription::Subscription;
use crate::entity::wait_set::WaitSet;
use crate::error::{guard, guard_ptr, Code, Context as _, Failure, Result};
use crate::ffi;
use crate::identity;
use crate::qos::time_nanos;

/// Creates a wait set. It has no limit, so `max_conditions` means nothing.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_create_wait_set(
    context: *mut ffi::rmw_context_t,
    _max_conditions: usize,
) -> *mut ffi::rmw_wait_set_t {
    guard_ptr(|| {
        // SAFETY: see the function's own contract.
        let context = unsafe { init::entity(context) }?;
        let handle = context.allocator().zeroed::<ffi::rmw_wait_set_t>()?;
        let wait_set = WaitSet::new(context)?;
        let value = ffi::rmw_wait_set_t {
            implementation_identifier: identity::identifier(),
            guard_conditions: std::ptr::null_mut(),
            data: into_data(wait_set),
        };
        let handle = handle.into_raw();
        // SAFETY: fresh memory for one handle.
        unsafe { handle.write(value) };
        Ok(handle)
    })
}

/// Destroys a wait set. For a null pointer upstream's answer is "error".
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_destroy_wait_set(wait_set: *mut ffi::rmw_wait_set_t) -> ffi::rmw_ret_t {
    guard(|| {
        if wait_set.is_null() {
            return Err(Failure::new(Code::Error, "argument 'wait_set' is null"));
        }
        // SAFETY: see the function's own contract.
        let allocator = *unsafe { entity(wait_set.cast_const()) }?.allocator();
        // SAFETY: not null.
        let handle = unsafe { wait_set.read() };
        // SAFETY: the caller gives the handle up.
        drop(unsafe { reclaim(&handle) });
        // SAFETY: the handle itself.
        unsafe { allocator.free(wait_set) };
        Ok(())
    })
}

/// One of the arrays of a wait: the `data` pointers of entities, or pointers to events.
struct Entries {
    pointers: *mut *mut c_void,
    count: usize,
}

impl Entries {
    /// # Safety
    /// `pointers` has `count` elements that nobody else uses during the wait.
    unsafe fn new(pointers: *mut *mut c_void, count: usize) -> Self {
        Self { pointers, count: if pointers.is_null() { 0 } else { count } }
    }

    fn none() -> Self {
        Self { pointers: std::ptr::null_mut(), count: 0 }
    }

    /// Sets all to null.
    ///
    /// # Safety
    /// As for [`Entries::new`].
    unsafe fn clear(&self) {
        for index in 0..self.count {
            // SAFETY: less than the count.
            unsafe { self.pointers.wrapping_add(index).write(std::ptr::null_mut()) };
        }
    }

    /// Calls `each` with the entities until it answers `false`; tells whether it never did.
    ///
    /// # Safety
    /// The elements are null or point to live `T`s.
    unsafe fn visit<T>(&self, mut each: impl FnMut(&T) -> bool) -> bool {
        for index in 0..self.count {
            // SAFETY: less than the count.
            let pointer = unsafe { self.pointers.wrapping_add(index).read() };
            // SAFETY: by the caller's contract.
            if let Some(entity) = unsafe { pointer.cast::<T>().as_ref() } {
                if !each(entity) {
                    return false;
                }
            }
        }
        true
    }

    /// Sets to null what is not ready; tells whether anything is left.
    ///
    /// # Safety
    /// The elements are null or point to live `T`s.
    unsafe fn keep_ready<T>(&self, mut is_ready: impl FnMut(&T) -> bool) -> bool {
        let mut any = false;
        for index in 0..self.count {
            let slot = self.pointers.wrapping_add(index);
            // SAFETY: less than the count.
            let pointer = unsafe { slot.read() };
            // SAFETY: by the caller's contract.
            let ready = unsafe { pointer.cast::<T>().as_ref() }.is_some_and(&mut is_ready);
            if ready {
                any = true;
            } else {
                // SAFETY: less than the count.
                unsafe { slot.write(std::ptr::null_mut()) };
            }
        }
        any
    }
}

/// All arrays of a wait.
struct All {
    subscriptions: Entries,
    guard_conditions: Entries,
    services: Entries,
    clients: Entries,
    events: Entries,
}

impl All {
    /// # Safety
    /// The arrays hold what rmw says, and all of it lives.
    unsafe fn visit(&self, each: &mut dyn FnMut(&dyn Waitable) -> bool) {
        // SAFETY: by the caller's contract, here and below.
        let _ = unsafe { self.guard_conditions.visit::<GuardCondition>(|entity| each(&**entity)) }
            // SAFETY: as above.
            && unsafe { self.subscriptions.visit::<Subscription>(|entity| each(entity)) }
            // SAFETY: as above.
            && unsafe { self.services.visit::<Service>(|entity| each(entity)) }
            // SAFETY: as above.
            && unsafe { self.clients.visit::<Client>(|entity| each(entity)) }
            // SAFETY: as above.
            && unsafe {
                self.events.visit::<ffi::rmw_event_t>(|event| waitable_of(event).is_none_or(|event| each(&event)))
            };
    }

    /// Refuses entities of another context than the wait set's: their publishers would ring a bell that is not there.
    /// (Guard conditions and events are of this process alone and may be anybody's.)
    ///
    /// # Safety
    /// The arrays hold what rmw says, and all of it lives.
    unsafe fn check_context(&self, own: &Arc<Context>) -> Result<()> {
        let mut stranger = None;
        let mut check = |context: &Arc<Context>, name: &dyn Fn() -> String| {
            if !Arc::ptr_eq(context, own) {
                stranger = Some(name());
            }
            stranger.is_none()
        };
        // SAFETY: by the caller's contract, here and below.
        let _ = unsafe {
            self.subscriptions.visit::<Subscription>(|s| check(s.context(), &|| format!("topic '{}'", s.topic())))
        }
            // SAFETY: as above.
            && unsafe { self.services.visit::<Service>(|s| check(s.context(), &|| format!("service '{}'", s.name()))) }
            // SAFETY: as above.
            && unsafe { self.clients.visit::<Client>(|c| check(c.context(), &|| format!("service '{}'", c.name()))) };
        let Some(stranger) = stranger else { return Ok(()) };
        // rcl takes what is not null for ready.
        for entries in [&self.subscriptions, &self.guard_conditions, &self.services, &self.clients, &self.events] {
            // SAFETY: by the caller's contract.
            unsafe { entries.clear() };
        }
        Err(Failure::invalid(format!("{stranger}: the wait set belongs to another context")))
    }

    /// Sets to null what is not ready; tells whether anything is left.
    ///
    /// # Safety
    /// The arrays hold what rmw says, and all of it lives.
    unsafe fn keep_ready(&self) -> bool {
        let mut any = false;
        // SAFETY: by the caller's contract, here and below.
        any |= unsafe { self.guard_conditions.keep_ready::<GuardCondition>(|entity| entity.take()) };
        // Looking at a subscription may find that messages were lost, which its event tells below.
        // SAFETY: as above.
        any |= unsafe {
            self.subscriptions.keep_ready::<Subscription>(|entity| {
                let ready = entity.is_ready();
                entity.collect_losses();
                ready
            })
        };
        // SAFETY: as above.
        any |= unsafe { self.services.keep_ready::<Service>(Waitable::is_ready) };
        // SAFETY: as above.
        any |= unsafe { self.clients.keep_ready::<Client>(Waitable::is_ready) };
        // SAFETY: as above.
        any |= unsafe {
            self.events.keep_ready::<ffi::rmw_event_t>(|event| {
                waitable_of(event).is_some_and(|condition| condition.is_ready())
            })
        };
        any
    }
}

/// Waits until at least one of the entities is ready. What is not ready is null afterwards, also after a timeout.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_wait(
    subscriptions: *mut ffi::rmw_subscriptions_t,
    guard_conditions: *mut ffi::rmw_guard_conditions_t,
    services: *mut ffi::rmw_services_t,
    clients: *mut ffi::rmw_clients_t,
    events: *mut ffi::rmw_events_t,
    wait_set: *mut ffi::rmw_wait_set_t,
    wait_timeout: *const ffi::rmw_time_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let wait_set = unsafe { entity(wait_set.cast_const()) }?;
        // SAFETY: each argument is null or points to an array with its count, here and below.
        let all = All {
            // SAFETY: see above.
            subscriptions: unsafe { subscriptions.as_ref() }
                // SAFETY: see above.
                .map_or_else(Entries::none, |a| unsafe { Entries::new(a.subscribers, a.subscriber_count) }),
            // SAFETY: see above.
            guard_conditions: unsafe { guard_conditions.as_ref() }
                // SAFETY: see above.
                .map_or_else(Entries::none, |a| unsafe { Entries::new(a.guard_conditions, a.guard_condition_count) }),
            // SAFETY: see above.
            services: unsafe { services.as_ref() }
                // SAFETY: see above.
                .map_or_else(Entries::none, |a| unsafe { Entries::new(a.services, a.service_count) }),
            // SAFETY: see above.
            clients: unsafe { clients.as_ref() }
                // SAFETY: see above.
                .map_or_else(Entries::none, |a| unsafe { Entries::new(a.clients, a.client_count) }),
            // SAFETY: see above.
            events: unsafe { events.as_ref() }
                // SAFETY: see above.
                .map_or_else(Entries::none, |a| unsafe { Entries::new(a.events, a.event_count) }),
        };
        // SAFETY: rmw's contract for the arrays.
        unsafe { all.check_context(wait_set.context()) }?;
        // SAFETY: null or a duration.
        let timeout = unsafe { wait_timeout.as_ref() }.and_then(|time| {
            let nanos = time_nanos(*time);
            (nanos < i64::MAX as u64).then(|| Duration::from_nanos(nanos))
        });
        // SAFETY: rmw's contract for the arrays.
        let visit = |each: &mut dyn FnMut(&dyn Waitable) -> bool| unsafe { all.visit(each) };
        let outcome = wait_set.core().wait_with(&visit, timeout).or_error(|| "cannot wait".to_owned())?;
        // SAFETY: rmw's contract for the arrays.
        let any = unsafe { all.keep_ready() };
        // Ready and taken by another thread meanwhile: woken for nothing, which is allowed.
        if outcome == WaitOutcome::TimedOut && !any {
            return Err(Failure::timeout());
        }
        Ok(())
    })
}
