//! A callback that C registered for "something new", and the guarantee that it does not run after it was replaced.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use crate::entity::lock;
use crate::ffi;

/// A function of the caller and what it wants to be called with.
#[derive(Clone, Copy)]
struct Registered {
    function: unsafe extern "C" fn(*const c_void, usize),
    user_data: *const c_void,
}

// SAFETY: rmw's contract for these callbacks is that they may be called from any thread with their data.
unsafe impl Send for Registered {}

/// A place for one callback. Calls happen under its lock: once [`CallbackSlot::set`] returns, the callback that was
/// registered before is not running and will not be called again. A callback must not replace itself; whatever else it does,
/// such as taking messages, does not need that lock.
#[derive(Default)]
pub struct CallbackSlot {
    registered: Mutex<Option<Registered>>,
    /// Whether one is registered.
    is_set: AtomicBool,
    /// Events since a callback was last told of any.
    untold: AtomicUsize,
    /// Whether [`CallbackSlot::add`] has announced that a callback will be told.
    announced: AtomicBool,
}

impl CallbackSlot {
    /// Registers a callback, or none. `pending` answers how many events it has missed; it is told of them at once.
    pub fn set(
        &self,
        callback: ffi::rmw_event_callback_t,
        user_data: *const c_void,
        pending: impl FnOnce(usize) -> usize,
    ) {
        let mut registered = lock(&self.registered);
        *registered = callback.map(|function| Registered { function, user_data });
        self.is_set.store(registered.is_some(), Ordering::Relaxed);
        if registered.is_some() {
            let missed = pending(self.untold.swap(0, Ordering::Relaxed));
            // What is added meanwhile counts as well.
            self.untold.fetch_add(missed, Ordering::Relaxed);
            self.tell(&registered);
        }
    }

    /// Whether there is a callback.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    /// Notes events, to be told by [`CallbackSlot::deliver`]. Answers whether there is a callback to be told of them.
    pub fn add(&self, events: usize) -> bool {
        self.untold.fetch_add(events, Ordering::Relaxed);
        let is_set = self.is_set();
        if is_set {
            self.announced.store(true, Ordering::Relaxed);
        }
        is_set
    }

    /// Forgets what was noted while nobody was registered: whoever it was for has just seen it otherwise. (From within a
    /// callback, where the lock is held, there is nothing to forget.)
    pub fn forget_missed(&self) {
        if let Ok(registered) = self.registered.try_lock() {
            if registered.is_none() {
                self.untold.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Tells the callback, if there is one, of what was noted. Answers whether [`CallbackSlot::add`] has answered since the
    /// last time that there was one.
    pub fn deliver(&self) -> bool {
        self.tell(&lock(&self.registered));
        self.announced.swap(false, Ordering::Relaxed)
    }

    /// Tells the callback; `registered` is locked.
    fn tell(&self, registered: &Option<Registered>) {
        if let Some(Registered { function, user_data }) = *registered {
            let events = self.untold.swap(0, Ordering::Relaxed);
            if events > 0 {
                // SAFETY: the function and its data were registered together, and whoever registered them keeps them
                // valid until they are replaced, which waits for the lock held here.
                unsafe { function(user_data, events) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn count(data: *const c_void, events: usize) {
        // SAFETY: the tests register a counter that outlives the slot.
        unsafe { &*data.cast::<AtomicUsize>() }.fetch_add(events, Ordering::Relaxed);
    }

    #[test]
    fn what_was_missed_is_told_at_once() {
        let counter = AtomicUsize::new(0);
        let data = std::ptr::from_ref(&counter).cast();
        let slot = CallbackSlot::default();
        assert!(!slot.add(2));
        assert!(!slot.deliver());
        slot.set(Some(count), data, |untold| untold);
        assert_eq!(counter.load(Ordering::Relaxed), 2);
        assert!(slot.add(3));
        slot.forget_missed();
        assert_eq!(counter.load(Ordering::Relaxed), 2);
        assert!(slot.deliver());
        assert!(!slot.deliver());
        assert_eq!(counter.load(Ordering::Relaxed), 5);
        slot.set(None, std::ptr::null(), |untold| untold);
        assert!(!slot.add(1));
        assert!(!slot.deliver());
        assert_eq!(counter.load(Ordering::Relaxed), 5);
        slot.forget_missed();
        slot.set(Some(count), data, |untold| untold);
        assert_eq!(counter.load(Ordering::Relaxed), 5);
    }

    unsafe extern "C" fn add_more(data: *const c_void, _: usize) {
        // SAFETY: the test registers the slot itself, which outlives the call.
        let slot = unsafe { &*data.cast::<CallbackSlot>() };
        if slot.untold.load(Ordering::Relaxed) == 0 {
            assert!(slot.is_set() && slot.add(1));
            slot.forget_missed();
        }
    }

    #[test]
    fn a_callback_may_cause_events_of_its_own_kind() {
        let slot = CallbackSlot::default();
        slot.set(Some(add_more), std::ptr::from_ref(&slot).cast(), |untold| untold);
        slot.add(1);
        assert!(slot.deliver(), "it would wait for itself");
        assert_eq!(slot.untold.load(Ordering::Relaxed), 1, "told of next time");
    }
}
