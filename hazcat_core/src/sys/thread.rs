//! Threads of our own, in programs that know nothing of them.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread that hardly any signal is delivered to. The program's signals are for its own threads: it may have blocked one there,
/// to wait for it, and a thread that has not would be killed by it, or run the program's handler. The exceptions tell of what the
/// thread itself has done: one that blocks them dies of them, without any handler being asked ([`super::bus_error`]).
///
/// # Errors
/// There is no thread to be had.
pub fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    // A thread begins with the mask of the one that starts it.
    let mut blocked = SigSet::all();
    for own_fault in [Signal::SIGBUS, Signal::SIGSEGV, Signal::SIGFPE, Signal::SIGILL] {
        blocked.remove(own_fault);
    }
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let spawned = Builder::new().name(name.to_owned()).spawn(body);
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    spawned
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{SigSet, Signal};

    #[test]
    fn signals_are_blocked_there_and_only_there() {
        let here = SigSet::thread_get_mask().unwrap();
        let thread = super::spawn("signals", || {
            let mask = SigSet::thread_get_mask().unwrap();
            assert!([Signal::SIGINT, Signal::SIGTERM, Signal::SIGALRM].into_iter().all(|signal| mask.contains(signal)));
            assert!(!mask.contains(Signal::SIGBUS));
        });
        thread.unwrap().join().unwrap();
        assert_eq!(SigSet::thread_get_mask().unwrap(), here);
    }
}
