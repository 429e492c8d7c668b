//! Who may read and write what: nobody outside the user or group reads a byte, and what one has published no other user of the
//! group can change; a process of the same user only on purpose.
//!
//! Needs root, to become others; without, these tests say so and end. On Linux a thread can have ids of its own, as long as the
//! raw system calls are used (the C library would change all threads).

use crate::support::*;
use hazcat_core::domain::DomainId;
use hazcat_core::graph::NodeRecord;
use hazcat_core::{Config, Participant, PublisherOptions, SubscriptionOptions};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

const GROUP: u32 = 54321;
const ALICE: u32 = 54322;
const BOB: u32 = 54323;
const STRANGER: u32 = 54324;

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

/// Tries everything on every file, as somebody who has no right to any of it.
fn assert_out_of_reach(files: &[PathBuf], root: &std::path::Path) {
    let denied = |what: &str, path: &PathBuf, result: std::io::Result<()>| {
        let error = result.err().unwrap_or_else(|| panic!("{}: {what} was possible", path.display()));
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}: {what}: {error}", path.display());
    };
    for path in files {
        denied("reading", path, File::open(path).map(drop));
        denied("writing", path, File::options().write(true).open(path).map(drop));
        denied("looking", path, fs::metadata(path).map(drop));
        denied("removing", path, fs::remove_file(path));
        denied("moving away", path, fs::rename(path, root.join("stolen")));
        denied("opening up", path, fs::set_permissions(path, PermissionsExt::from_mode(0o777)));
        denied("linking", path, fs::hard_link(path, root.join("linked")));
    }
}

fn talk(writer: (u32, &Config), reader: (u32, &Config), root: &Root) -> Option<Vec<PathBuf>> {
    let alice = as_user(writer.0, GROUP, || Participant::join(writer.1).expect("join"))?;
    let bob = as_user(reader.0, GROUP, || Participant::join(reader.1).expect("join"))?;
    let sub = as_user(reader.0, GROUP, || subscription(&bob, "t", SubscriptionOptions::default()))?;
    let simulated = DomainId::new("sim", 0).expect("in range");
    let (host, device) = as_user(writer.0, GROUP, || {
        let record = NodeRecord { name: "alice".into(), namespace: "/".into(), enclave: "/".into() };
        alice.graph().add_node(record).expect("node");
        let device = PublisherOptions { domain: simulated, ..PublisherOptions::default() };
        (publisher(&alice, "t", PublisherOptions::default()), publisher(&alice, "t", device))
    })?;
    as_user(writer.0, GROUP, || {
        publish(&host, 1, 1, 64);
        let loan = device.loan_on_device(64).expect("loan");
        loan.publish(&hazcat_core::MessageMeta::default()).expect("publish");
    })?;
    let taken = as_user(reader.0, GROUP, || {
        let first = take(&sub);
        (first, sub.take().expect("take").map(|sample| sample.len()))
    })?;
    assert_eq!(taken, (Some((1, 1)), Some(64)), "of the host, and of the device");
    let files = root.files();
    let has = |part: &str| files.iter().filter(|path| path.to_string_lossy().contains(part)).count();
    assert!(has("/payload/") >= 2 && has("/topics/") == 2 && has("/participants/") == 2 && has("/bells/") == 2);
    assert!(has("/lease") == 1);

    for path in &files {
        assert_eq!(fs::metadata(path).expect("metadata").mode() & 0o7, 0, "{}", path.display());
    }
    as_user(STRANGER, STRANGER, || assert_out_of_reach(&files, root.path()))?;
    if reader.0 != writer.0 {
        // What Alice alone writes, Bob can read and cannot change.
        as_user(reader.0, GROUP, || {
            let hers = |path: &&PathBuf| {
                let text = path.to_string_lossy();
                let own = text.contains("/payload/") || text.contains("/participants/");
                own && fs::metadata(path).is_ok_and(|meta| meta.uid() == writer.0)
            };
            let mut count = 0;
            for path in files.iter().filter(hers) {
                let mut bytes = [0; 8];
                assert!(File::open(path).expect("open").read_at(&mut bytes, 0).expect("read") > 0);
                let error = File::options().write(true).open(path).expect_err("not to be written to");
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", path.display());
                count += 1;
            }
            assert!(count >= 3, "{count} files");
        })?;
    }
    as_user(writer.0, GROUP, || {
        drop((host, device));
        alice.leave();
    })?;
    as_user(reader.0, GROUP, || {
        drop(sub);
        bob.leave();
    })?;
    Some(files)
}

#[test]
fn strangers_reach_nothing_and_members_of_a_group_change_nothing_of_one_another() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    fs::set_permissions(root.path(), PermissionsExt::from_mode(0o1777)).expect("like /dev/shm");
    let shared = Config { group: Some(GROUP), mode: 0o770, ..root.config() };
    if talk((ALICE, &shared), (BOB, &shared), &root).is_none() {
        println!("skipped: needs root");
        return;
    }
    // The last one out was not the one who made it, and the root is sticky.
    let left: Vec<PathBuf> = fs::read_dir(root.path()).expect("root").flatten().map(|entry| entry.path()).collect();
    left.iter().for_each(|directory| fs::remove_dir(directory).expect("an empty directory"));

    // Without configuration: the user alone, whatever groups others are in.
    let files = talk((ALICE, &root.config()), (ALICE, &root.config()), &root).expect("root");
    assert!(files.iter().all(|path| path.to_string_lossy().contains(&format!("hazcat-{ALICE}-"))));
    root.assert_empty();
}

#[test]
fn files_of_a_user_are_out_of_reach_for_the_members_of_its_group() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    fs::set_permissions(root.path(), PermissionsExt::from_mode(0o1777)).expect("like /dev/shm");
    let joined = as_user(ALICE, GROUP, || Participant::join(&root.config()).expect("join"));
    let Some(alice) = joined else { return println!("skipped: needs root") };
    let files = root.files();
    assert!(files.len() >= 3);
    as_user(BOB, GROUP, || assert_out_of_reach(&files, root.path())).expect("root");
    as_user(ALICE, GROUP, || alice.leave()).expect("root");
}

/// A child: does what no application may.
pub fn write_to_a_sample(config: &Config) {
    let here = Participant::join(config).expect("join");
    let sub = subscription(&here, "t", SubscriptionOptions::default());
    answer("ready");
    let _ = next_line();
    let sample = sub.take().expect("take").expect("a message");
    answer(format!("{:?}", whole(&sample)));
    let at = sample.as_ptr().cast_mut();
    // AddressSanitizer would turn the fault into a report of its own.
    // SAFETY: the default action is to die of it.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    // SAFETY: none: this is the mistake that the memory management unit is to catch. The process is expected to die of it.
    unsafe { at.write_volatile(0xff) };
    answer("written");
}

#[test]
fn a_careless_store_into_a_received_message_hurts_its_process_alone() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", SubscriptionOptions::default());
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let mut careless = Peer::started(&root, "write-to-a-sample");
    publish(&publisher, 1, 1, 64);
    careless.send("go");
    assert_eq!(careless.answer(), "Some((1, 1))");
    assert_eq!(careless.try_answer(), None, "the store went through");
    assert_eq!(careless.finish().signal(), Some(libc::SIGSEGV));
    assert_eq!(take_numbers(&sub), [1], "as it was published");
    publish(&publisher, 1, 2, 64);
    assert_eq!(take_numbers(&sub), [2]);
}
