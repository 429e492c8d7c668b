//! The end of the process: the driver takes itself down in a handler of its own, while our threads may be calling it and users'
//! objects are still to be destroyed. So everything here stops before that.
//!
//! From then on every operation fails with `HAZCAT_EXITING`, and nothing is unmapped or freed: all of it goes with the process.

use crate::sync::atomic::{fence, AtomicBool, AtomicUsize, Ordering};
use crate::sys::fork::ForkMark;
use std::ffi::c_void;
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

/// Called behind everything that may have the driver register what it does at exit: what is registered last comes first.
pub(super) fn look_out() {
    PROCESS.get_or_init(ForkMark::here);
    stay_loaded();
    // SAFETY: a function without arguments that does not unwind, and may be called several times. Where there is no room for one
    // more, the driver looks after itself as well as it can.
    let _ = unsafe { libc::atexit(at_exit) };
}

/// Has the library in which this code lies stay when somebody closes it: threads of ours run in it, and `at_exit` is called in it.
fn stay_loaded() {
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: asks for a function's library; writes to `found`.
    if unsafe { libc::dladdr(at_exit as *const c_void, found.as_mut_ptr()) } == 0 {
        return;
    }
    // SAFETY: zeros are a value of it, and it has been filled in.
    let name = unsafe { found.assume_init() }.dli_fname;
    if !name.is_null() {
        // SAFETY: a text that the system has; loads nothing. A program, which has no such name, stays anyway.
        let _ = unsafe { libc::dlopen(name, libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE) };
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
