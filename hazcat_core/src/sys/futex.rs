//! Sleeping on, and waking, a 32-bit word in shared memory.

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// Why [`wait`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Somebody rang, a signal arrived, or the word had already changed: look again.
    Rung,
    /// The deadline passed.
    TimedOut,
}

/// Sleeps while `word` still holds `expected`, at the longest until `deadline` (`None`: without limit).
///
/// Works between processes. Spurious returns are reported as [`Woken::Rung`].
pub fn wait(word: &AtomicU32, expected: u32, deadline: Option<Instant>) -> Woken {
    let mut relative = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let timeout = match deadline {
        None => std::ptr::null(),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::TimedOut;
            }
            relative.tv_sec = libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX);
            relative.tv_nsec = libc::c_long::from(left.subsec_nanos() as i32);
            &raw const relative
        }
    };
    // SAFETY: the word is a live, aligned 32-bit atomic and the timeout is null or points to a live timespec.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, timeout) };
    if result == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ETIMEDOUT) {
        return Woken::TimedOut;
    }
    Woken::Rung
}

/// Wakes every sleeper on `word`, in all processes.
pub fn wake_all(word: &AtomicU32) {
    // SAFETY: the word is a live, aligned 32-bit atomic; FUTEX_WAKE only uses its address.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// The absolute deadline of a wait of `timeout` from now; `None` where there is no limit (or none that time can express).
pub fn deadline_after(timeout: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(timeout?)
}
