//! A place for a value that many threads use without waiting while one replaces it.
//!
//! [`SharedSlot::with`] is wait-free: it counts itself in, loads the pointer, uses the value, counts itself out. Who
//! replaces the value keeps the old one until it has once seen nobody inside; it never waits for that.

use crate::sync::atomic::{fence, AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

pub(crate) struct SharedSlot<T> {
    pointer: AtomicPtr<T>,
    users: AtomicU32,
    retired: Mutex<Vec<Box<T>>>,
}

/// Counts out even if the user's code unwinds.
struct Inside<'a>(&'a AtomicU32);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        // SYNC slot-leave: all uses of the value come before; pairs with the load in `collect`.
        self.0.fetch_sub(1, Ordering::Release);
    }
}

impl<T> SharedSlot<T> {
    pub(crate) fn new() -> Self {
        Self {
            pointer: AtomicPtr::new(std::ptr::null_mut()),
            users: AtomicU32::new(0),
            retired: Mutex::new(Vec::new()),
        }
    }

    /// Runs `use_it` with the value, if there is one. The value stays at least until `use_it` returns.
    #[inline]
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(Option<&T>) -> R) -> R {
        self.users.fetch_add(1, Ordering::Relaxed);
        let _inside = Inside(&self.users);
        // SYNC slot-fence: with the fence in `collect`: either we load the new pointer, or they see us inside.
        fence(Ordering::SeqCst);
        // SYNC slot-value
        let pointer = self.pointer.load(Ordering::Acquire);
        // SAFETY: null, or a box turned into a pointer by `replace`. It is freed only after it was swapped out and nobody
        // was seen inside (`collect`); by the fences, whoever loaded it is seen.
        use_it(unsafe { pointer.as_ref() })
    }

    /// Puts `value` in place of what is there.
    pub(crate) fn replace(&self, value: Option<Box<T>>) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let pointer = value.map_or(std::ptr::null_mut(), Box::into_raw);
        // SYNC slot-value
        let old = self.pointer.swap(pointer, Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: made by `Box::into_raw` above in an earlier call and swapped out just now, so ours alone to free.
            // Moving the box does not touch the value, which users may still read.
            retired.push(unsafe { Box::from_raw(old) });
        }
        let freed = self.collect(&mut retired);
        drop(retired);
        drop(freed);
    }

    /// Frees former values that nobody uses any more.
    pub(crate) fn tidy(&self) {
        let freed = match self.retired.try_lock() {
            Ok(mut retired) if !retired.is_empty() => self.collect(&mut retired),
            _ => return,
        };
        drop(freed);
    }

    /// The retired values, if nobody is inside: those who come in later load another pointer.
    fn collect(&self, retired: &mut Vec<Box<T>>) -> Vec<Box<T>> {
        // SYNC slot-fence
        fence(Ordering::SeqCst);
        // SYNC slot-leave
        if self.users.load(Ordering::Acquire) == 0 {
            std::mem::take(retired)
        } else {
            Vec::new()
        }
    }
}

impl<T> Drop for SharedSlot<T> {
    fn drop(&mut self) {
        let pointer = self.pointer.swap(std::ptr::null_mut(), Ordering::Relaxed);
        if !pointer.is_null() {
            // SAFETY: made by `Box::into_raw`; nobody can be inside while the slot itself is dropped.
            drop(unsafe { Box::from_raw(pointer) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Overwritten when freed, so that a use after free shows.
    struct Value {
        number: u64,
        copy: u64,
        freed: std::sync::Arc<AtomicUsize>,
    }

    impl Drop for Value {
        fn drop(&mut self) {
            self.number = u64::MAX;
            self.copy = 0;
            self.freed.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn values_are_whole_while_used_and_all_freed_in_the_end() {
        let slot = SharedSlot::new();
        let freed = std::sync::Arc::new(AtomicUsize::new(0));
        let rounds = 20_000;
        let stop = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while stop.load(Ordering::Relaxed) == 0 {
                        slot.with(|value: Option<&Value>| {
                            if let Some(value) = value {
                                assert_eq!(value.number, value.copy);
                            }
                        });
                    }
                });
            }
            for number in 0..rounds {
                slot.replace(Some(Box::new(Value { number, copy: number, freed: freed.clone() })));
            }
            stop.store(1, Ordering::Relaxed);
        });
        slot.tidy();
        assert_eq!(freed.load(Ordering::Relaxed), rounds as usize - 1);
        drop(slot);
        assert_eq!(freed.load(Ordering::Relaxed), rounds as usize);
    }

    #[test]
    fn a_value_in_use_is_not_freed_until_tidied_later() {
        let freed = std::sync::Arc::new(AtomicUsize::new(0));
        let slot = SharedSlot::new();
        slot.replace(Some(Box::new(Value { number: 5, copy: 5, freed: freed.clone() })));
        slot.with(|value| {
            slot.replace(None);
            assert_eq!(value.map(|v| v.number), Some(5));
            assert_eq!(freed.load(Ordering::Relaxed), 0);
        });
        slot.with(|value| assert!(value.is_none()));
        slot.tidy();
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    }
}
