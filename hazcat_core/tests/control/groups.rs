//! Several users, one domain: the group that is configured, and who is not in it.
//!
//! Needs root, to become others; without, the test says so and ends. On Linux a thread can have ids of its own, as long as
//! the raw system calls are used (the C library would change all threads).

use crate::support::{add_node, sees, wait_for_graph, TestRoot};
use hazcat_core::config::Config;
use hazcat_core::participant::{JoinError, Participant};
use std::os::unix::fs::PermissionsExt;

const GROUP: u32 = 54321;
const MEMBER: u32 = 54322;
const STRANGER: u32 = 54323;

/// Runs `act` on a thread with these ids and no supplementary groups.
fn as_user<T: Send>(user: u32, group: u32, act: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // SAFETY: changes this thread's credentials only; it ends with the scope.
            let groups = unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) };
            // SAFETY: as above.
            let gid = unsafe { libc::syscall(libc::SYS_setresgid, group, group, group) };
            // SAFETY: as above.
            let uid = unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) };
            (groups == 0 && gid == 0 && uid == 0).then(act)
        });
        thread.join().expect("no panic")
    })
}

#[test]
fn members_of_the_group_share_a_domain_and_strangers_are_told_why_not() {
    let root = TestRoot::new();
    std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o1777)).expect("like /dev/shm");
    let config = Config { group: Some(GROUP), mode: 0o770, ..root.config() };
    // Who comes first has to be a member too, to make the directory.
    if let Some(too_early) = as_user(STRANGER, STRANGER, || Participant::join(&config).err()) {
        let text = too_early.expect("refused").to_string();
        assert!(text.contains("is not a member") && text.contains(&GROUP.to_string()), "{text}");
        assert!(root.is_empty(), "nothing is left of the attempt");
    }
    let Some(first) = as_user(MEMBER, GROUP, || Participant::join(&config).expect("join")) else {
        println!("skipped: needs root");
        return;
    };
    add_node(&first, "first");
    let second = as_user(MEMBER + 100, GROUP, || Participant::join(&config).expect("join")).expect("root");
    assert!(sees(&second, "first"));
    as_user(MEMBER + 100, GROUP, || add_node(&second, "second"));
    wait_for_graph(&first, || sees(&first, "second"));
    let bell = first.bells().allocate().expect("a bell");
    let armed = hazcat_core::doorbell::arm(bell.word());
    as_user(MEMBER + 100, GROUP, || second.bells().ring(first.identity(), bell.index()));
    assert!(hazcat_core::doorbell::rung_since(bell.word(), armed), "members ring each other");

    let refused = as_user(STRANGER, STRANGER, || Participant::join(&config).err()).expect("root").expect("refused");
    let text = refused.to_string();
    assert!(matches!(refused, JoinError::Directory(_) | JoinError::Lease(_)), "{refused:?}");
    for part in [first.directory().path().display().to_string(), MEMBER.to_string(), STRANGER.to_string()] {
        assert!(text.contains(&part), "{text} names {part}");
    }

    // Without a group everybody has a directory of their own.
    let alone = as_user(STRANGER, STRANGER, || Participant::join(&root.config()).expect("join")).expect("root");
    assert!(!sees(&alone, "first"));
    as_user(STRANGER, STRANGER, || alone.leave());
    as_user(MEMBER, GROUP, || first.leave());
    as_user(MEMBER + 100, GROUP, || second.leave());
    // The last one out was not the one who made the directory, and the root is sticky: an empty directory stays, and one for
    // second names.
    let directory = first.directory().path();
    let left: Vec<_> = std::fs::read_dir(root.path()).expect("root").flatten().map(|entry| entry.path()).collect();
    assert!(left.len() == 2 && left.iter().any(|path| path == directory), "{left:?}");
    assert!(left.iter().all(|path| std::fs::read_dir(path).expect("list").count() == 0));
    let again = as_user(MEMBER, GROUP, || Participant::join(&config).expect("join")).expect("root");
    as_user(MEMBER, GROUP, || again.leave());
    assert!(root.is_empty(), "its maker removes it");
}
