//! Somebody removes files that are in use (rm, systemd's RemoveIPC): liveness goes by lock, not by name.

use crate::support::{add_node, sees, wait_for_graph, wait_until, Peer, TestRoot};
use hazcat_core::config::Config;
use hazcat_core::participant::Participant;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

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

/// Everybody knows everybody, nobody is taken for dead, and who joins now finds and rings the others.
fn all_are_there(root: &TestRoot, old: &[&Arc<Participant>]) {
    let mut newcomer = Peer::start(root);
    newcomer.ask("node newcomer");
    for (number, one) in old.iter().enumerate() {
        wait_for_graph(one, || sees(one, "newcomer"));
        add_node(one, &format!("later {number}"));
        assert!(old.iter().all(|other| one.is_alive(other.identity()) && !one.is_known_dead(other.identity())));
    }
    let witness = root.join();
    for (number, one) in old.iter().enumerate() {
        wait_for_graph(&witness, || sees(&witness, &format!("later {number}")));
        assert!(witness.is_alive(one.identity()));
        let bell = one.bells().allocate().expect("a bell");
        let armed = hazcat_core::doorbell::arm(bell.word());
        witness.bells().ring(one.identity(), bell.index());
        assert!(hazcat_core::doorbell::rung_since(bell.word(), armed));
    }
    let identity = newcomer.identity;
    newcomer.kill();
    newcomer.wait();
    for one in old {
        wait_for_graph(one, || !sees(one, "newcomer"));
        assert!(!one.is_alive(identity));
    }
}

fn a_removed_directory_is_made_anew_with_all_who_were_in_it(root: &TestRoot) {
    let (one, other) = (root.join(), root.join());
    add_node(&one, "one");
    wait_for_graph(&other, || sees(&other, "one"));
    let aside = root.path().join("aside");
    fs::rename(one.directory().path(), &aside).expect("rename");
    fs::remove_dir_all(aside).expect("remove");
    wait_until("all is made anew", || {
        let present = one.directory().participants().unwrap_or_default();
        [&one, &other].iter().all(|participant| present.contains(&participant.identity()))
            && one.directory().bells_path(one.identity()).exists()
            && other.directory().bells_path(other.identity()).exists()
    });
    all_are_there(root, &[&one, &other]);
    drop((one, other));
    wait_until("the last one out removes it", || root.is_empty());
}

#[test]
fn a_removed_directory_is_made_anew_by_inotify() {
    a_removed_directory_is_made_anew_with_all_who_were_in_it(&TestRoot::new());
}

#[test]
fn a_removed_directory_is_made_anew_by_polling() {
    a_removed_directory_is_made_anew_with_all_who_were_in_it(&TestRoot::polling());
}

#[test]
fn who_lost_the_lease_file_takes_the_same_place_in_the_new_one() {
    for root in [TestRoot::new(), TestRoot::polling()] {
        let (one, other) = (root.join(), root.join());
        add_node(&one, "one");
        wait_for_graph(&other, || sees(&other, "one"));
        fs::remove_file(one.directory().lease_path()).expect("remove");
        // It may be the first to make a new one, and to take what lies there for leftovers.
        let newcomer = root.join();
        wait_for_graph(&newcomer, || sees(&newcomer, "one"));
        wait_until("both are back", || newcomer.is_alive(one.identity()) && newcomer.is_alive(other.identity()));
        all_are_there(&root, &[&one, &other, &newcomer]);
    }
}

#[test]
fn a_place_that_a_newcomer_has_taken_is_left_to_it() {
    let root = TestRoot::new();
    let one = root.join();
    let other = root.join();
    // A whole directory by somebody else, in the place of ours, at once.
    let (ours, theirs) = (one.directory().path().to_path_buf(), root.path().join("theirs"));
    fs::create_dir(&theirs).expect("folder");
    let newcomer = Participant::join(&Config { root: theirs.clone(), ..root.config() }).expect("join");
    assert_eq!(newcomer.identity().index(), one.identity().index());
    let made = theirs.join(ours.file_name().expect("a name"));
    nix::fcntl::renameat2(
        nix::fcntl::AT_FDCWD,
        &made,
        nix::fcntl::AT_FDCWD,
        &ours,
        nix::fcntl::RenameFlags::RENAME_EXCHANGE,
    )
    .expect("exchange");
    wait_until("the other is back", || other.directory().participant_path(other.identity()).exists());
    let late = root.join();
    wait_for_graph(&late, || late.graph().snapshot().participant(other.identity()).is_some());
    assert!(late.graph().snapshot().participant(newcomer.identity()).is_some());
    assert!(late.graph().snapshot().participant(one.identity()).is_none(), "not found by its identity");
    assert!(other.is_alive(one.identity()), "but not dead: nothing that it holds is used again");
}

#[test]
fn an_overwritten_file_is_no_graph_and_is_made_anew_by_its_owner() {
    for root in [TestRoot::new(), TestRoot::polling()] {
        let (one, witness) = (root.join(), root.join());
        add_node(&one, "one");
        wait_for_graph(&witness, || sees(&witness, "one"));
        let path = one.directory().participant_path(one.identity());
        let whole = fs::read(&path).expect("read");
        let torn: Vec<u8> =
            whole.iter().enumerate().map(|(at, byte)| if at == 72 { byte ^ 1 } else { *byte }).collect();
        for junk in [&b""[..], &[0xff; 3000], b"hazcatPA", &torn] {
            fs::write(&path, junk).expect("write");
            let newcomer = root.join();
            assert!(newcomer.is_alive(one.identity()));
            wait_for_graph(&newcomer, || sees(&newcomer, "one"));
            drop(newcomer);
        }
        // What was said before, in place of what is said now.
        add_node(&one, "two");
        fs::write(&path, &whole).expect("write");
        wait_until("the older version is replaced", || fs::read(&path).is_ok_and(|bytes| bytes != whole));
        let newcomer = root.join();
        wait_for_graph(&newcomer, || sees(&newcomer, "two"));
        wait_for_graph(&witness, || sees(&witness, "one") && sees(&witness, "two"));
        // What is no file.
        let link = root.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("symlink");
        fs::rename(link, &path).expect("rename");
        wait_until("the link is gone", || fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()));
        assert!(fs::metadata("/etc/passwd").is_ok());
        assert!(witness.is_alive(one.identity()) && !witness.is_known_dead(one.identity()));
    }
}

#[test]
fn removed_and_overwritten_bells_are_made_anew_under_their_sleepers() {
    let root = TestRoot::new();
    let (one, old_peer) = (root.join(), root.join());
    wait_for_graph(&old_peer, || old_peer.graph().snapshot().participant(one.identity()).is_some());
    let bell = one.bells().allocate().expect("a bell");
    old_peer.bells().ring(one.identity(), bell.index());
    let path = one.directory().bells_path(one.identity());
    for round in 0..3 {
        let before = fs::metadata(&path).expect("bells").ino();
        match round {
            0 => fs::remove_file(&path).expect("remove"),
            1 => {
                let other = root.path().join("other");
                fs::write(&other, [1; 20480]).expect("write");
                fs::rename(other, &path).expect("rename");
            }
            _ => {
                while fs::create_dir(&path).is_err() {
                    let _ = fs::remove_file(&path);
                }
                let _ = fs::write(path.join("x"), "x");
            }
        }
        wait_until("made anew", || fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.ino() != before));
        // Who maps it now, and who had mapped the old one, both ring the word that is slept on.
        let newcomer = root.join();
        for ringer in [&newcomer, &old_peer] {
            wait_until("it rings", || {
                let armed = hazcat_core::doorbell::arm(bell.word());
                ringer.bells().ring(one.identity(), bell.index());
                hazcat_core::doorbell::rung_since(bell.word(), armed)
            });
        }
    }
    // A header that somebody overwrote.
    File::options().write(true).open(&path).expect("open").write_all_at(&[0; 24], 0).expect("write");
    wait_until("the header is put right", || fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"hazcatBE")));
}
