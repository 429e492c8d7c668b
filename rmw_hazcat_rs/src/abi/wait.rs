//! Wait sets and the wait itself.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

use hazcat_core::{WaitOutcome, Waitable};

use super::event::waitable_of;
use super::init;
use crate::entity::arriving::{Across, Arriving};
use crate::entity::client::Client;
use crate::entity::context::Context;
use crate::entity::guard_condition::GuardCondition;
use crate::entity::handle::{entity, into_data, reclaim};
use crate::entity::service::Service;
use crate::entity::subscription::Subscription;
use crate::entity::wait_set::WaitSet;
use crate::error::{guard, guard_ptr, Code, Context as _, Failure};
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

    /// # Safety
    /// `index` is less than the count, and nobody else uses the array.
    unsafe fn get(&self, index: usize) -> *mut c_void {
        // SAFETY: by the caller's contract.
        unsafe { self.pointers.wrapping_add(index).read() }
    }

    /// Whether no element is null.
    fn are_complete(&self) -> bool {
        // SAFETY: less than the count, of an array of the wait.
        (0..self.count).all(|index| !unsafe { self.get(index) }.is_null())
    }

    /// Has every entity stay where it is until [`Entries::release`], even if it is destroyed meanwhile.
    ///
    /// # Safety
    /// The elements are the `data` of handles of `T`s.
    unsafe fn hold<T>(&self) {
        for index in 0..self.count {
            // SAFETY: less than the count.
            let pointer = unsafe { self.get(index) };
            // SAFETY: a handle's `data` is a reference count of its entity, and the handle is there when a wait begins.
            unsafe { Arc::increment_strong_count(pointer.cast::<T>()) };
        }
    }

    /// Calls `each` with the entities until it answers `false`; tells whether it never did.
    ///
    /// # Safety
    /// The elements point to live `T`s.
    unsafe fn visit<T>(&self, mut each: impl FnMut(&T) -> bool) -> bool {
        (0..self.count).all(|index| {
            // SAFETY: less than the count.
            let pointer = unsafe { self.get(index) };
            // SAFETY: by the caller's contract.
            each(unsafe { &*pointer.cast::<T>() })
        })
    }

    /// Sets to null what is not ready; tells whether anything is left.
    fn retain(&self, mut is_ready: impl FnMut(*mut c_void) -> bool) -> bool {
        let mut any = false;
        for index in 0..self.count {
            // SAFETY: less than the count, of an array of the wait.
            let ready = is_ready(unsafe { self.get(index) });
            if !ready {
                // SAFETY: as above.
                unsafe { self.pointers.wrapping_add(index).write(std::ptr::null_mut()) };
            }
            any |= ready;
        }
        any
    }

    /// The same, and lets go of the entities.
    ///
    /// # Safety
    /// [`Entries::hold`] was called with the same `T`.
    unsafe fn release<T>(&self, mut is_ready: impl FnMut(&T) -> bool) -> bool {
        self.retain(|pointer| {
            // SAFETY: one of the reference counts of `hold`, given up here.
            let entity = unsafe { Arc::from_raw(pointer.cast::<T>()) };
            is_ready(&entity)
        })
    }
}

/// All arrays of a wait.
struct All<'a> {
    subscriptions: Entries,
    guard_conditions: Entries,
    services: Entries,
    clients: Entries,
    events: Entries,
    /// The wait set's context.
    context: &'a Arc<Context>,
}

impl All<'_> {
    fn are_complete(&self) -> bool {
        [&self.subscriptions, &self.guard_conditions, &self.services, &self.clients, &self.events]
            .iter()
            .all(|entries| entries.are_complete())
    }

    /// Has all entities stay until [`All::release`]: who destroys one meanwhile has made a mistake, but must not crash.
    /// (Events belong to the caller; their endpoint must stay.)
    ///
    /// # Safety
    /// The arrays hold what rmw says, and all of it lives.
    unsafe fn hold(&self) {
        // SAFETY: by the caller's contract, here and below.
        unsafe { self.guard_conditions.hold::<GuardCondition>() };
        // SAFETY: as above.
        unsafe { self.subscriptions.hold::<Subscription>() };
        // SAFETY: as above.
        unsafe { self.services.hold::<Service>() };
        // SAFETY: as above.
        unsafe { self.clients.hold::<Client>() };
    }

    /// Hands an entity on as what it is for this wait set.
    fn offer<E: Arriving>(&self, entity: &E, each: &mut dyn FnMut(&dyn Waitable) -> bool) -> bool {
        if Arc::ptr_eq(entity.context(), self.context) {
            each(entity)
        } else {
            each(&Across(entity))
        }
    }

    /// # Safety
    /// All entities are held, and the events live.
    unsafe fn visit(&self, each: &mut dyn FnMut(&dyn Waitable) -> bool) {
        // SAFETY: by the caller's contract, here and below.
        let _ = unsafe { self.guard_conditions.visit::<GuardCondition>(|entity| each(&**entity)) }
            // SAFETY: as above.
            && unsafe { self.subscriptions.visit::<Subscription>(|entity| self.offer(entity, each)) }
            // SAFETY: as above.
            && unsafe { self.services.visit::<Service>(|entity| self.offer(entity, each)) }
            // SAFETY: as above.
            && unsafe { self.clients.visit::<Client>(|entity| self.offer(entity, each)) }
            // SAFETY: as above.
            && unsafe {
                self.events.visit::<ffi::rmw_event_t>(|event| {
                    waitable_of(event).is_none_or(|event| each(&event.in_wait_set_of(self.context)))
                })
            };
    }

    /// Sets to null what is not ready (everything where `look` is false), and lets go of all entities; tells whether anything
    /// is left.
    ///
    /// # Safety
    /// All entities are held, and the events live.
    unsafe fn release(&self, look: bool) -> bool {
        let is_there = |entity: &dyn Arriving| look && !entity.presence().has_ended() && entity.is_ready();
        let mut any = false;
        // SAFETY: by the caller's contract, here and below.
        any |= unsafe {
            self.guard_conditions.release::<GuardCondition>(|entity| look && !entity.is_retired() && entity.take())
        };
        // Looking at a subscription may find that messages were lost, which its event tells below.
        // SAFETY: as above.
        any |= unsafe {
            self.subscriptions.release::<Subscription>(|entity| {
                let ready = is_there(entity);
                entity.collect_losses();
                ready
            })
        };
        // SAFETY: as above.
        any |= unsafe { self.services.release::<Service>(|entity| is_there(entity)) };
        // SAFETY: as above.
        any |= unsafe { self.clients.release::<Client>(|entity| is_there(entity)) };
        any |= self.events.retain(|event| {
            // SAFETY: as above.
            let event = unsafe { &*event.cast::<ffi::rmw_event_t>() };
            look && waitable_of(event).is_some_and(|condition| condition.is_ready())
        });
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
            context: wait_set.context(),
        };
        if !all.are_complete() {
            return Err(Failure::invalid("an entry of the arrays to wait for is null"));
        }
        // SAFETY: null or a duration.
        let timeout = unsafe { wait_timeout.as_ref() }.and_then(|time| {
            let nanos = time_nanos(*time);
            (nanos < i64::MAX as u64).then(|| Duration::from_nanos(nanos))
        });
        // SAFETY: rmw's contract for the arrays.
        unsafe { all.hold() };
        // SAFETY: the entities are held, and the events live by rmw's contract.
        let visit = |each: &mut dyn FnMut(&dyn Waitable) -> bool| unsafe { all.visit(each) };
        let outcome = wait_set.core().wait_with(&visit, timeout).or_error(|| "cannot wait".to_owned());
        // SAFETY: the entities were held above, and the events live by rmw's contract.
        let any = unsafe { all.release(outcome.is_ok()) };
        let outcome = outcome?;
        // Ready and taken by another thread meanwhile: woken for nothing, which is allowed.
        if outcome == WaitOutcome::TimedOut && !any {
            return Err(Failure::timeout());
        }
        Ok(())
    })
}
