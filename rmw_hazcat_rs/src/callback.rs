//! A callback that C registered for "something new", and the guarantee that it does not run after it was replaced.

use std::ffi::c_void;
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

#[derive(Default)]
struct State {
    registered: Option<Registered>,
    /// Events since a callback was last told of any.
    untold: usize,
    /// Whether [`CallbackSlot::add`] has announced that a callback will be told.
    announced: bool,
}

/// A place for one callback. Calls happen under its lock: once [`CallbackSlot::set`] returns, the callback that was
/// registered before is not running and will not be called again. A callback must not replace itself.
#[derive(Default)]
pub struct CallbackSlot {
    state: Mutex<State>,
}

impl CallbackSlot {
    /// Registers a callback, or none. `pending` answers how many events it has missed; it is told of them at once.
    pub fn set(
        &self,
        callback: ffi::rmw_event_callback_t,
        user_data: *const c_void,
        pending: impl FnOnce(usize) -> usize,
    ) {
        let mut state = lock(&self.state);
        state.registered = callback.map(|function| Registered { function, user_data });
        if state.registered.is_some() {
            state.untold = pending(state.untold);
            Self::tell(&mut state);
        }
    }

    /// Whether there is a callback.
    pub fn is_set(&self) -> bool {
        lock(&self.state).registered.is_some()
    }

    /// Notes events, to be told by [`CallbackSlot::deliver`]. Answers whether there is a callback to be told of them.
    pub fn add(&self, events: usize) -> bool {
        let mut state = lock(&self.state);
        state.untold = state.untold.saturating_add(events);
        state.announced |= state.registered.is_some();
        state.registered.is_some()
    }

    /// Forgets what was noted while nobody was registered: whoever it was for has just seen it otherwise. (From within a
    /// callback, where the lock is held, there is nothing to forget.)
    pub fn forget_missed(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            if state.registered.is_none() {
                state.untold = 0;
            }
        }
    }

    /// Tells the callback, if there is one, of what was noted. Answers whether [`CallbackSlot::add`] has answered since the
    /// last time that there was one.
    pub fn deliver(&self) -> bool {
        let mut state = lock(&self.state);
        Self::tell(&mut state);
        std::mem::take(&mut state.announced)
    }

    fn tell(state: &mut State) {
        if let Some(Registered { function, user_data }) = state.registered {
            let events = std::mem::take(&mut state.untold);
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
    use std::sync::atomic::{AtomicUsize, Ordering};

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
}
