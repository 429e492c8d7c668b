//! Full memory, no inotify instance left.

use crate::support::{add_node, sees, wait_for_graph, Peer, TestRoot};
use hazcat_core::config::Config;
use hazcat_core::graph::{EndpointKind, EndpointRecord, GraphError};
use hazcat_core::participant::{JoinError, Participant};
use hazcat_core::sys::shm_file::FileError;
use std::process::Command;

/// A tmpfs of one mebibyte, unmounted on drop; `None` where we may not mount.
struct SmallMemory(std::path::PathBuf);

impl SmallMemory {
    fn new(root: &TestRoot) -> Option<Self> {
        let path = root.path().join("small");
        std::fs::create_dir(&path).expect("folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "hazcat-test"]).arg(&path).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(path)),
            _ => {
                println!("skipped: mounting a small tmpfs is not allowed here");
                None
            }
        }
    }
}

impl Drop for SmallMemory {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn full_memory_is_an_error_and_changes_nothing() {
    let root = TestRoot::new();
    let Some(small) = SmallMemory::new(&root) else { return };
    let config = Config { root: small.0.clone(), ..Config::default() };
    let one = Participant::join(&config).expect("join");
    let node = add_node(&one, "one");
    let endpoint = |number: usize| EndpointRecord {
        kind: EndpointKind::Client,
        node,
        gid: [0; 16],
        name: format!("/topic_{number}"),
        type_name: "t".into(),
        attributes: vec![0; 4000],
    };
    let mut ids = Vec::new();
    let error = loop {
        match one.graph().add_endpoint(endpoint(ids.len())) {
            Ok(id) => ids.push(id),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, GraphError::File(FileError::Full { .. })), "{error}");
    assert!(error.to_string().contains("no room"), "{error}");
    assert!(ids.len() > 50);
    assert_eq!(one.graph().snapshot().endpoints().count(), ids.len(), "nothing changed here");

    let error = Participant::join(&config).err().expect("no room for another participant's bells");
    assert!(matches!(error, JoinError::File(FileError::Full { .. })), "{error}");
    assert_eq!(one.directory().participants().expect("list").len(), 1, "a failed join leaves nothing");

    // What the file says is what was there before: another look at it, through a second participant with more room.
    let remount = Command::new("mount").args(["-o", "remount,size=4m"]).arg(&small.0).output().expect("mount");
    assert!(remount.status.success());
    let other = Participant::join(&config).expect("join");
    assert_eq!(other.graph().snapshot().endpoints().count(), ids.len(), "nothing changed there");
    one.graph().remove_endpoint(ids[0]).expect("shrinking needs no room");
    let more = one.graph().add_endpoint(endpoint(0)).expect("room again");
    wait_for_graph(&other, || other.graph().snapshot().endpoints().any(|view| view.id == more));
    assert_eq!(other.graph().snapshot().endpoints().count(), ids.len(), "what failed is not made up for later");
}

#[test]
fn without_an_inotify_instance_it_polls() {
    let root = TestRoot::new();
    // All instances of this user, for a moment; other participants that join meanwhile poll as well.
    let mut hoard = Vec::new();
    while let Ok(inotify) = nix::sys::inotify::Inotify::init(nix::sys::inotify::InitFlags::IN_CLOEXEC) {
        hoard.push(inotify);
        if hoard.len() > 4096 {
            println!("skipped: no limit on inotify instances here");
            return;
        }
    }
    let survivor = root.join();
    let mut victim = Peer::start(&root);
    drop(hoard);
    victim.ask("node victim");
    wait_for_graph(&survivor, || sees(&survivor, "victim"));
    victim.ask("endpoints later");
    wait_for_graph(&survivor, || sees(&survivor, "later"));
    victim.kill();
    wait_for_graph(&survivor, || !sees(&survivor, "victim"));
}
