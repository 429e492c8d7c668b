//! Somebody removes files that are in use (rm, systemd's RemoveIPC): liveness goes by lock, not by name.

use crate::support::{add_node, sees, wait_for_graph, wait_until, Peer, Recorder, TestRoot};
use std::fs;
use std::sync::atomic::Ordering;

#[test]
fn a_removed_participant_file_kills_nobody_and_comes_back() {
    let root = TestRoot::new();
    let (one, witness) = (root.join(), root.join());
    add_node(&one, "one");
    wait_for_graph(&witness, || sees(&witness, "one"));
    let path = one.directory().participant_path(one.identity());
    fs::remove_file(&path).expect("remove");
    wait_until("it is made anew", || path.exists());
    assert!(witness.is_alive(one.identity()) && !witness.is_known_dead(one.identity()) && sees(&witness, "one"));
    let newcomer = root.join();
    assert!(sees(&newcomer, "one"));
    add_node(&one, "later");
    wait_for_graph(&newcomer, || sees(&newcomer, "later"));
    wait_for_graph(&witness, || sees(&witness, "later"));
}

fn a_removed_folder_comes_back(root: &TestRoot) {
    let (one, witness) = (root.join(), root.join());
    add_node(&one, "one");
    wait_for_graph(&witness, || sees(&witness, "one"));
    // Aside first: they make their files anew faster than a folder can be removed.
    let aside = root.path().join("aside");
    fs::rename(one.directory().participants_path(), &aside).expect("rename");
    fs::remove_dir_all(aside).expect("remove");
    wait_until("all is made anew", || {
        let present = one.directory().participants().unwrap_or_default();
        present.contains(&one.identity()) && present.contains(&witness.identity())
    });
    let mut newcomer = Peer::start(root);
    newcomer.ask("node newcomer");
    wait_for_graph(&one, || sees(&one, "newcomer"));
    wait_for_graph(&witness, || sees(&witness, "newcomer"));
    assert!(!one.is_known_dead(witness.identity()) && sees(&witness, "one"));
}

#[test]
fn a_removed_folder_comes_back_by_inotify() {
    a_removed_folder_comes_back(&TestRoot::new());
}

#[test]
fn a_removed_folder_comes_back_by_polling() {
    a_removed_folder_comes_back(&TestRoot::polling());
}

#[test]
fn a_removed_directory_leaves_old_peers_together_and_lets_new_ones_start() {
    let root = TestRoot::new();
    let (one, other) = (root.join(), root.join());
    wait_for_graph(&one, || one.graph().snapshot().participant(other.identity()).is_some());
    let aside = root.path().join("aside");
    fs::rename(one.directory().path(), &aside).expect("rename");
    fs::remove_dir_all(aside).expect("remove");
    assert!(one.is_alive(other.identity()) && other.is_alive(one.identity()));
    let newcomer = root.join();
    add_node(&newcomer, "newcomer");
    assert_ne!(newcomer.identity(), one.identity(), "first generations are random");
    let bell = other.bells().allocate().expect("a bell");
    let armed = hazcat_core::doorbell::arm(bell.word());
    one.bells().ring(other.identity(), bell.index());
    assert!(hazcat_core::doorbell::rung_since(bell.word(), armed), "old peers still ring each other");
    // Changes of the old ones fail or succeed, but nothing panics; and they take nothing of the new with them.
    drop((one, other));
    let witness = root.join();
    assert!(sees(&witness, "newcomer") && witness.is_alive(newcomer.identity()));
}

#[test]
fn with_the_lease_removed_the_old_ones_keep_out_of_the_newcomers_way() {
    let root = TestRoot::new();
    let (one, other) = (root.join(), root.join());
    let folder = one.directory().participants_path();
    fs::remove_file(one.directory().lease_path()).expect("remove");
    let newcomer = root.join();
    // It took the files of the old ones for leftovers, since nobody holds the new lease. They must not put them back.
    let recorder = Recorder::on(&newcomer);
    wait_until("two sweeps", || recorder.ticks.load(Ordering::Relaxed) >= 2);
    let names: Vec<_> = fs::read_dir(&folder).expect("list").flatten().map(|entry| entry.path()).collect();
    assert_eq!(names, [newcomer.directory().participant_path(newcomer.identity())]);
    assert!(one.is_alive(other.identity()) && !one.is_known_dead(other.identity()));
    drop((one, other));
    assert!(newcomer.directory().lease_path().exists() && root.join().is_alive(newcomer.identity()));
}

#[test]
fn an_emptied_file_is_no_graph_and_the_next_change_heals_it() {
    let root = TestRoot::new();
    let (one, witness) = (root.join(), root.join());
    add_node(&one, "one");
    wait_for_graph(&witness, || sees(&witness, "one"));
    let path = one.directory().participant_path(one.identity());
    for junk in [&b""[..], &[0xff; 3000], b"hazcatPA"] {
        fs::write(&path, junk).expect("write");
        let newcomer = root.join();
        assert!(newcomer.graph().snapshot().participant(one.identity()).is_none_or(|graph| graph.nodes.is_empty()));
        assert!(newcomer.is_alive(one.identity()));
        drop(newcomer);
    }
    // The header is gone for good, so it stays unlisted; nobody takes it for dead.
    add_node(&one, "two");
    assert!(witness.is_alive(one.identity()) && !witness.is_known_dead(one.identity()));
}
