//! The thread of a context that gives signs of life for publishers with automatic liveliness.
//!
//! It is not the dispatcher, because that one calls users' callbacks: a process whose callback takes long is alive all the
//! same. It begins with the first such publisher; most programs have none.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use hazcat_core::sys::clock::monotonic_nanos;
use hazcat_core::sys::thread;

use crate::entity::lock;
use crate::error::{Context as _, Result};
use crate::logging::{log, Severity};

/// Something that gives signs of life.
pub trait Beating: Send + Sync {
    /// Gives one, at `now` (nanoseconds of the monotonic clock); answers when the next one is due, `None` for never.
    fn beat(&self, now: u64) -> Option<u64>;
}

#[derive(Default)]
struct State {
    beating: Vec<Weak<dyn Beating>>,
    changed: bool,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

/// See the module.
#[derive(Default)]
pub struct Heartbeat {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Heartbeat {
    /// Has the thread ask for signs of life, as long as `beating` lives.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn add(&self, beating: Weak<dyn Beating>) -> Result<()> {
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let started = thread::spawn("hazcat-pulse", move || shared.run())
                .or_error(|| "cannot start the thread that shows liveliness".to_owned())?;
            *thread = Some(started);
        }
        drop(thread);
        let mut state = lock(&self.shared.state);
        state.beating.retain(|other| other.strong_count() > 0);
        state.beating.push(beating);
        state.changed = true;
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Ends the thread and waits for that, unless it is the one that calls. Idempotent.
    pub fn stop(&self) {
        lock(&self.shared.state).stop = true;
        self.shared.wake.notify_one();
        let Some(thread) = lock(&self.thread).take() else { return };
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            log(Severity::Error, format_args!("the thread that shows liveliness has panicked"));
        }
    }

    /// In a forked child: forgets the thread, which is the parent's.
    pub fn forget(&self) {
        // Whatever the parent had locked stays locked here.
        if let Ok(mut thread) = self.thread.try_lock() {
            std::mem::forget(thread.take());
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut due = Some(0);
        while self.wait_until(due) {
            let beating: Vec<Arc<dyn Beating>> = lock(&self.state).beating.iter().filter_map(Weak::upgrade).collect();
            due = beating.iter().filter_map(|one| one.beat(monotonic_nanos())).min();
        }
    }

    /// Sleeps until that time, or until something was added; `false` where the thread is to end.
    fn wait_until(&self, due: Option<u64>) -> bool {
        let mut state = lock(&self.state);
        loop {
            if state.stop {
                return false;
            }
            let left = due.map(|due| due.saturating_sub(monotonic_nanos()));
            if std::mem::take(&mut state.changed) || left == Some(0) {
                return true;
            }
            state = match left {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let waited = self.wake.wait_timeout(state, Duration::from_nanos(left));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
