//! Somebody removes and replaces the lease file again and again while participants come and go. Those who stay never lose one
//! another, and keep no descriptors of what was removed.

use crate::support::{add_node, sees, wait_for_graph, wait_until, Peer, Random, TestRoot};
use hazcat_core::participant::Participant;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many files of that name this process has open that have lost it.
fn lost_files(path: &Path) -> usize {
    let lost = format!("{} (deleted)", path.display());
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).filter(|path| path.as_os_str() == lost.as_str()).count()
}

/// Takes the name from the lease file, or gives it to another file.
fn strike(path: &Path, older: &mut Vec<Vec<u8>>, random: &mut Random) {
    let (aside, elsewhere) = (path.with_file_name(".aside"), path.with_file_name(".elsewhere"));
    let replace = |bytes: &[u8]| drop(fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, path)));
    match random.below(6) {
        0 | 1 => drop(fs::remove_file(path)),
        // A copy, with the generations of all who were there.
        2 => drop(fs::read(path).map(|bytes| {
            replace(&bytes);
            older.push(bytes);
        })),
        3 if !older.is_empty() => replace(&older[random.below(older.len() as u64) as usize]),
        4 => replace(b"no lease"),
        // Away, and back again.
        _ => {
            let _ = fs::rename(path, &elsewhere);
            std::thread::sleep(Duration::from_micros(random.below(3000)));
            let _ = fs::rename(&elsewhere, path);
        }
    }
}

#[test]
fn who_stays_never_loses_the_others_and_keeps_no_lost_files() {
    let duration = Duration::from_secs(if std::env::var_os("HAZCAT_LONG").is_some() { 120 } else { 3 });
    let root = TestRoot::new();
    let mut random = Random::seeded("lost leases");
    let here: Vec<Arc<Participant>> = (0..3).map(|_| root.join()).collect();
    for (number, one) in here.iter().enumerate() {
        add_node(one, &format!("here_{number}"));
    }
    let mut there: Vec<Peer> = (0..2).map(|_| Peer::start(&root)).collect();
    there.iter_mut().enumerate().for_each(|(number, peer)| drop(peer.ask(&format!("node there_{number}"))));
    let names = ["here_0", "here_1", "here_2", "there_0", "there_1"];
    let all_see_all = || here.iter().for_each(|one| wait_for_graph(one, || names.iter().all(|name| sees(one, name))));
    all_see_all();

    let path = here[0].directory().lease_path();
    let (stop, joins, mut strikes, mut most) = (AtomicBool::new(false), AtomicU64::new(0), 0, 0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // What stands there may be no lease at this moment.
                    match Participant::join(&root.config()) {
                        Ok(guest) => {
                            joins.fetch_add(1, Ordering::Relaxed);
                            std::thread::sleep(Duration::from_millis(2));
                            guest.leave();
                        }
                        Err(error) => println!("{error}"),
                    }
                }
            });
        }
        let end = Instant::now() + duration;
        let mut older = Vec::new();
        while Instant::now() < end {
            strike(&path, &mut older, &mut random);
            strikes += 1;
            older.truncate(8);
            most = most.max(lost_files(&path));
            let calm = if random.below(8) == 0 { 30_000 } else { 4000 };
            std::thread::sleep(Duration::from_micros(random.below(calm)));
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("{strikes} strikes, {joins:?} joins, at most {most} lost files open");
    for one in &here {
        for other in here.iter().map(|other| other.identity()).chain(there.iter().map(|peer| peer.identity)) {
            wait_until("all are alive to all", || one.is_alive(other));
            assert!(!one.is_known_dead(other), "{} takes {other} for dead", one.identity());
        }
    }
    // All come back to one file: newcomers find everybody, and everybody them.
    let newcomer = root.join();
    wait_for_graph(&newcomer, || names.iter().all(|name| sees(&newcomer, name)));
    add_node(&newcomer, "newcomer");
    here.iter().for_each(|one| wait_for_graph(one, || sees(one, "newcomer")));
    all_see_all();
    // One each, should it have been made after the present one.
    wait_until("lost files are closed", || lost_files(&path) <= here.len());
    // And deaths are still known.
    let dead = there[0].identity;
    there[0].kill();
    there[0].wait();
    here.iter().chain([&newcomer]).for_each(|one| wait_until("a death is noticed", || one.is_known_dead(dead)));
}

#[test]
fn removing_the_lease_without_end_costs_no_descriptors() {
    let root = TestRoot::new();
    let (one, other) = (root.join(), root.join());
    add_node(&one, "one");
    wait_for_graph(&other, || sees(&other, "one"));
    let path = one.directory().lease_path();
    // One that is stopped keeps one file open, and no more.
    let stopped = Peer::start(&root);
    stopped.signal(libc::SIGSTOP);
    let mut most = 0;
    for _ in 0..300 {
        let _ = fs::remove_file(&path);
        wait_until("made anew", || path.exists());
        most = most.max(lost_files(&path));
    }
    println!("at most {most} lost files open");
    assert!(one.is_alive(stopped.identity) && other.is_alive(stopped.identity));
    assert!(!one.is_known_dead(stopped.identity) && !other.is_known_dead(stopped.identity));
    wait_until("the stopped one's and one more each", || lost_files(&path) <= 4);
    stopped.signal(libc::SIGCONT);
    wait_until("none of the stopped one's", || lost_files(&path) <= 2);
    assert!(one.is_alive(stopped.identity) && !other.is_known_dead(stopped.identity));
}

#[test]
fn a_newcomer_does_not_take_those_for_dead_who_have_not_come_along() {
    let root = TestRoot::new();
    let one = root.join();
    let mut late = Peer::start(&root);
    late.ask("node late");
    wait_for_graph(&one, || sees(&one, "late"));
    late.signal(libc::SIGSTOP);
    let path = one.directory().lease_path();
    // A copy says of everybody who was there that it holds its byte or is dead.
    for bytes in [None, Some(fs::read(&path).expect("read"))] {
        match bytes {
            None => fs::remove_file(&path).expect("remove"),
            Some(bytes) => {
                let aside = path.with_file_name(".aside");
                fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, &path)).expect("replace");
            }
        }
        let newcomer = root.join();
        wait_until("they meet", || newcomer.is_alive(one.identity()));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!newcomer.is_known_dead(late.identity), "dead to the newcomer");
        assert!(one.is_alive(late.identity), "dead to who was there");
        assert!(newcomer.directory().participant_path(late.identity).exists());
        late.signal(libc::SIGCONT);
        wait_for_graph(&newcomer, || sees(&newcomer, "late") && newcomer.is_alive(late.identity));
        late.signal(libc::SIGSTOP);
    }
    late.signal(libc::SIGCONT);
}
