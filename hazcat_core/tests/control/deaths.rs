//! Whoever dies is noticed; whoever lives is not taken for dead.

use crate::support::{add_node, sees, wait_for_graph, wait_until, Peer, Recorder, Starting, TestRoot};
use hazcat_core::doorbell;
use hazcat_core::participant::{NewsListener, Participant};
use hazcat_core::Config;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn a_killed_process_is_noticed(root: &TestRoot) {
    let survivor = root.join();
    let recorder = Recorder::on(&survivor);
    let bell = survivor.bells().allocate().expect("a bell");
    let mut victim = Peer::start(root);
    assert_eq!(victim.ask("node victim"), "ok");
    wait_for_graph(&survivor, || sees(&survivor, "victim"));
    assert!(survivor.is_alive(victim.identity) && !survivor.is_known_dead(victim.identity));

    let armed = doorbell::arm(bell.word());
    let killed = std::time::Instant::now();
    victim.kill();
    wait_for_graph(&survivor, || !sees(&survivor, "victim"));
    println!("out of the graph {:?} after SIGKILL", killed.elapsed());
    wait_until("the listener is told", || recorder.has(victim.identity));
    assert!(!survivor.is_alive(victim.identity) && survivor.is_known_dead(victim.identity));
    wait_until("sleepers are rung", || doorbell::rung_since(bell.word(), armed));
    assert!(!survivor.directory().participant_path(victim.identity).exists());
    assert!(!survivor.directory().bells_path(victim.identity).exists());
    assert_eq!(recorder.deaths.lock().expect("no panic").len(), 1, "told once");
    drop(survivor);
    assert!(root.is_empty());
}

#[test]
fn a_killed_process_is_noticed_by_inotify() {
    a_killed_process_is_noticed(&TestRoot::new());
}

#[test]
fn a_killed_process_is_noticed_by_polling() {
    a_killed_process_is_noticed(&TestRoot::polling());
}

#[test]
fn who_lived_between_two_looks_is_noticed_and_removed() {
    let root = TestRoot::polling();
    let rarely = Config { poll_interval: Duration::from_secs(1), ..root.config() };
    let survivor = Participant::join(&rarely).expect("join");
    let recorder = Recorder::on(&survivor);
    for _ in 0..2 {
        let mut victim = Peer::start(&root);
        victim.kill();
        victim.wait();
        wait_until("the listener is told", || recorder.has(victim.identity));
        assert!(survivor.is_known_dead(victim.identity));
        wait_until("its files are removed", || {
            !survivor.directory().participant_path(victim.identity).exists()
                && !survivor.directory().bells_path(victim.identity).exists()
        });
    }
    assert_eq!(recorder.deaths.lock().expect("no panic").len(), 2, "told once");
}

#[test]
fn sleepers_are_rung_by_a_death_not_only_by_the_tick() {
    let root = TestRoot::new();
    let survivor = root.join();
    let recorder = Recorder::on(&survivor);
    let ticks = || recorder.ticks.load(std::sync::atomic::Ordering::Relaxed);
    let bell = survivor.bells().allocate().expect("a bell");
    // A tick, which rings too, may come in between now and then.
    let by_death = (0..10).filter(|_| {
        let mut victim = Peer::start(&root);
        let before = ticks();
        let armed = doorbell::arm(bell.word());
        victim.kill();
        wait_until("a ring", || doorbell::rung_since(bell.word(), armed));
        ticks() == before
    });
    let by_death = by_death.count();
    assert!(by_death > 5, "{by_death} of 10");
}

/// The first news of a death may be the newcomer that has taken the place.
#[test]
fn one_that_was_replaced_at_once_is_missed_at_once() {
    let root = TestRoot::new();
    let survivor = root.join();
    let recorder = Recorder::on(&survivor);
    let ticks = || recorder.ticks.load(Ordering::Relaxed);
    let other = root.join();
    // Holds the news up: the listener is called by them, and waits.
    let gate = Arc::new(Mutex::new(()));
    let gated = Arc::clone(&gate);
    survivor.graph().add_listener(Box::new(move || drop(gated.lock().expect("no panic"))));
    let at_once = (0..10).filter(|round| {
        let former = root.join();
        let listed = || survivor.graph().snapshot().participant(former.identity()).is_some();
        wait_until("it is known", listed);
        let held = gate.lock().expect("no panic");
        let node = format!("node {round}");
        add_node(&other, &node);
        wait_until("the news have come as far as the gate", || sees(&survivor, &node));
        former.leave();
        let next = root.join();
        assert_eq!(former.identity().index(), next.identity().index());
        let before = ticks();
        drop(held);
        wait_until("the former one is missed", || !listed() && recorder.has(former.identity()));
        // A sweep finds it too; once a second it comes in between.
        ticks() == before
    });
    let at_once = at_once.count();
    assert!(at_once > 5, "{at_once} of 10");
}

fn one_that_leaves_is_noticed(root: &TestRoot) {
    let survivor = root.join();
    let mut leaver = Peer::start(root);
    leaver.ask("node leaver");
    wait_for_graph(&survivor, || sees(&survivor, "leaver"));
    let identity = leaver.identity;
    leaver.leave();
    wait_for_graph(&survivor, || !sees(&survivor, "leaver"));
    wait_until("it is known as dead", || survivor.is_known_dead(identity));
}

#[test]
fn one_that_leaves_is_noticed_by_inotify() {
    one_that_leaves_is_noticed(&TestRoot::new());
}

#[test]
fn one_that_leaves_is_noticed_by_polling() {
    one_that_leaves_is_noticed(&TestRoot::polling());
}

#[test]
fn a_stopped_process_is_alive() {
    let root = TestRoot::new();
    let survivor = root.join();
    let recorder = Recorder::on(&survivor);
    let mut sleeper = Peer::start(&root);
    sleeper.ask("node sleeper");
    wait_for_graph(&survivor, || sees(&survivor, "sleeper"));
    sleeper.signal(libc::SIGSTOP);
    let ticks = recorder.ticks.load(std::sync::atomic::Ordering::Relaxed);
    wait_until("two sweeps", || recorder.ticks.load(std::sync::atomic::Ordering::Relaxed) >= ticks + 2);
    assert!(survivor.is_alive(sleeper.identity) && !survivor.is_known_dead(sleeper.identity));
    assert!(sees(&survivor, "sleeper"));
    sleeper.signal(libc::SIGCONT);
    sleeper.leave();
}

#[test]
fn everybody_killed_is_healed_by_who_joins_next() {
    let root = TestRoot::new();
    let mut peers: Vec<Peer> = (0..4).map(|_| Peer::start(&root)).collect();
    let dead: Vec<_> = peers.iter().map(|peer| peer.identity).collect();
    peers.iter_mut().for_each(Peer::kill);
    peers.iter_mut().for_each(Peer::wait);
    assert!(!root.is_empty(), "they had no chance to clean up");
    let next = root.join();
    assert!(!dead.contains(&next.identity()));
    assert_eq!(next.directory().participants().expect("list"), [next.identity()]);
    assert_eq!(next.graph().snapshot().participants().count(), 1);
    drop(next);
    assert!(root.is_empty());
}

/// Processes are killed at any point of starting, joining and being there, with a survivor and without.
#[test]
fn killed_while_joining_leaves_nothing_that_lasts() {
    let root = TestRoot::new();
    let mut keeper = Some(root.join());
    for round in 0..120_u64 {
        let starting = Starting::new(&root);
        // Starting takes a few milliseconds, joining less than one: most are killed in or near it.
        std::thread::sleep(Duration::from_micros(500 + round * 7919 % 9500));
        starting.kill();
        if round == 60 {
            keeper = None;
        }
    }
    drop(keeper);
    let last = root.join();
    let only = [last.identity()];
    assert_eq!(last.directory().participants().expect("list"), only);
    assert_eq!(last.graph().snapshot().participants().map(|p| p.identity).collect::<Vec<_>>(), only);
    for folder in ["participants", "bells"] {
        let names = std::fs::read_dir(last.directory().path().join(folder)).expect("list");
        assert_eq!(names.count(), 1, "{folder}");
    }
    drop(last);
    assert!(root.is_empty());
}

#[test]
fn a_listener_that_panics_does_not_end_the_news() {
    struct Panics;
    impl NewsListener for Panics {
        fn on_death(&self, _: hazcat_core::ids::Identity) {
            panic!("on purpose");
        }
        fn on_tick(&self) {}
    }
    let root = TestRoot::new();
    let survivor = root.join();
    let panics: Arc<dyn NewsListener> = Arc::new(Panics);
    survivor.add_news_listener(Arc::downgrade(&panics));
    for name in ["first", "second"] {
        let mut victim = Peer::start(&root);
        victim.ask(&format!("node {name}"));
        wait_for_graph(&survivor, || sees(&survivor, name));
        victim.kill();
        wait_for_graph(&survivor, || !sees(&survivor, name));
    }
}

#[test]
fn a_listener_may_drop_the_last_participant() {
    struct Drops(std::sync::Mutex<Option<Arc<Participant>>>);
    impl NewsListener for Drops {
        fn on_death(&self, _: hazcat_core::ids::Identity) {
            drop(self.0.lock().expect("no panic").take());
        }
        fn on_tick(&self) {}
    }
    let root = TestRoot::new();
    let survivor = root.join();
    add_node(&survivor, "survivor");
    let identity = survivor.identity();
    let watcher = root.join();
    let drops = Arc::new(Drops(std::sync::Mutex::new(None)));
    let listener: Arc<dyn NewsListener> = drops.clone();
    survivor.add_news_listener(Arc::downgrade(&listener));
    *drops.0.lock().expect("no panic") = Some(survivor);
    let mut victim = Peer::start(&root);
    victim.kill();
    wait_until("it has left, on its own news thread", || !watcher.is_alive(identity));
}
