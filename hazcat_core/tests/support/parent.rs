//! Children of test programs end with them, also when they loop for ever and their parent is killed.

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{raise, Signal};
use std::process::Command;

const PARENT: &str = "HAZCAT_TEST_PARENT";

/// In a parent, for a child that it starts itself: says whose child it is. (The kernel takes the thread that starts it for the
/// parent: it has to live for as long as the child is wanted.)
pub fn name_parent(command: &mut Command) {
    command.env(PARENT, std::process::id().to_string());
}

/// In a child, first of all: it is killed when its parent has ended, or ends.
pub fn end_with_parent() {
    set_pdeathsig(Signal::SIGKILL).expect("a signal that there is");
    let named = std::env::var(PARENT).ok();
    if named.is_some_and(|parent| parent != std::os::unix::process::parent_id().to_string()) {
        raise(Signal::SIGKILL).expect("one's own");
    }
}
