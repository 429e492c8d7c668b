//! The end of the process: the driver takes itself down in a handler of its own, while our threads may be calling it and users'
//! objects are still to be destroyed. So everything here stops before that.
//!
//! From then on every operation fails with `HAZCAT_EXITING`, and nothing is unmapped or freed: all of it goes with the process.

use crate::sync::atomic::{fence, AtomicBool, AtomicUsize, Ordering};
use crate::sys::fork::ForkMark;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longest wait for calls that are under way.
const PATIENCE: Duration = Duration::from_millis(200);

static EXITING: AtomicBool = AtomicBool::new(false);
static INSIDE: AtomicUsize = AtomicUsize::new(0);
static PROCESS: OnceLock<ForkMark> = OnceLock::new();

/// A stretch of calls of the driver; there is none once the process is ending.
pub(super) struct Inside(());

impl Inside {
    pub(super) fn new() -> Option<Self> {
        INSIDE.fetch_add(1, Ordering::Relaxed);
        let inside = Self(());
        // SYNC cuda-exit: either `at_exit` sees that somebody is inside, or we see that it has come.
        fence(Ordering::SeqCst);
        (!is_exiting()).then_some(inside)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // SYNC cuda-exit
        INSIDE.fetch_sub(1, Ordering::Release);
    }
}

/// Whether the process is ending.
pub(super) fn is_exiting() -> bool {
    EXITING.load(Ordering::Relaxed)
}

/// Called once, behind the driver's initialisation.
pub(super) fn look_out() {
    if PROCESS.set(ForkMark::here()).is_ok() {
        // SAFETY: a function without arguments that does not unwind. Where there is no room for one more, the driver looks after
        // itself as well as it can.
        let _ = unsafe { libc::atexit(at_exit) };
    }
}

extern "C" fn at_exit() {
    EXITING.store(true, Ordering::Relaxed);
    // A forked child has no CUDA, and the count is its parent's.
    if PROCESS.get().is_none_or(|mark| mark.check().is_err()) {
        return;
    }
    // SYNC cuda-exit
    fence(Ordering::SeqCst);
    let began = Instant::now();
    while INSIDE.load(Ordering::Acquire) > 0 && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_micros(100));
    }
}
