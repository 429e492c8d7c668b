//! A forked child owns nothing, and keeps nobody alive.

use crate::support::{add_node, sees, wait_for_graph, Peer, TestRoot};
use hazcat_core::graph::GraphError;

#[test]
fn a_surviving_forked_child_does_not_keep_its_parent_alive() {
    let root = TestRoot::new();
    let survivor = root.join();
    let mut victim = Peer::start(&root);
    victim.ask("node victim");
    wait_for_graph(&survivor, || sees(&survivor, "victim"));
    // The child lives on for 20 s; the watchdog is longer, so look at what happens before it ends.
    assert_eq!(victim.ask("fork"), "ok");
    let killed = std::time::Instant::now();
    victim.kill();
    wait_for_graph(&survivor, || !sees(&survivor, "victim"));
    assert!(killed.elapsed().as_secs() < 15, "noticed only when the child ended");
}

#[test]
fn a_forked_child_is_refused_and_its_end_harms_nobody() {
    let root = TestRoot::new();
    let parent = root.join();
    let witness = root.join();
    add_node(&parent, "parent");
    let bell = parent.bells().allocate().expect("a bell");
    for raw in [false, true] {
        // SAFETY: the child uses what it inherited only to be refused, and leaves by _exit.
        let pid = if raw { unsafe { libc::syscall(libc::SYS_fork) as i32 } } else { unsafe { libc::fork() } };
        if pid == 0 {
            let refused = parent.check_fork().is_err()
                && matches!(parent.graph().remove_node(hazcat_core::graph::NodeId(1)), Err(GraphError::Forked(_)));
            parent.leave();
            drop((parent, bell));
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(refused)) };
        }
        let mut status = 0;
        // SAFETY: waits for the child just made.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(libc::WEXITSTATUS(status), 1, "raw fork: {raw}, status {status:#x}");
        assert!(parent.check_fork().is_ok() && witness.is_alive(parent.identity()), "raw fork: {raw}");
        assert!(parent.directory().participant_path(parent.identity()).exists());
    }
    // The parent's news still work.
    let mut peer = Peer::start(&root);
    peer.ask("node peer");
    wait_for_graph(&parent, || sees(&parent, "peer"));
    wait_for_graph(&witness, || sees(&witness, "parent"));
}

#[test]
fn a_forked_child_may_join_anew() {
    let root = TestRoot::new();
    let parent = root.join();
    let config = root.config();
    // SAFETY: only async-signal-safe code is promised to work in a child of a threaded process; glibc makes malloc and
    // thread creation work as well, which is what real applications (Python's multiprocessing) rely on.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let joined = hazcat_core::Participant::join(&config).is_ok_and(|child| {
            let distinct = child.identity() != parent.identity() && child.is_alive(parent.identity());
            child.leave();
            distinct
        });
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(joined)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(libc::WEXITSTATUS(status), 1, "status {status:#x}");
}

#[test]
fn leaving_waits_a_moment_for_a_child_that_is_about_to_exec() {
    let root = TestRoot::new();
    let one = root.join();
    // As between fork and exec, and as no handler sees it: the child has all descriptors for a few milliseconds.
    // SAFETY: the child only sleeps and leaves by _exit.
    let pid = unsafe { libc::syscall(libc::SYS_fork) as i32 };
    if pid == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    one.leave();
    assert!(root.is_empty());
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }, pid);
}
