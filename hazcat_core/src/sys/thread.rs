//! Threads of our own, in programs that know nothing of them.

use nix::sys::signal::{SigSet, SigmaskHow};
use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread that no signal is delivered to. The program's signals are for its own threads: it may have blocked one there,
/// to wait for it, and a thread that has not would be killed by it, or run the program's handler.
///
/// # Errors
/// There is no thread to be had.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    // A thread begins with the mask of the one that starts it.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
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
        });
        thread.unwrap().join().unwrap();
        assert_eq!(SigSet::thread_get_mask().unwrap(), here);
    }
}
