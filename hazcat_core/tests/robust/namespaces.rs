//! Processes in namespaces of their own, as containers have them: process ids, mounts, IPC, network, users. All that they share is
//! the folder in shared memory. They find one another, talk, wake one another, and notice who dies.

use crate::support::*;
use hazcat_core::graph::NodeRecord;
use hazcat_core::{Config, History, Participant, PublisherOptions, SubscriptionOptions, WaitSet, Waitable};
use std::process::Command;
use std::time::Duration;

/// What the kernel tells apart for a container; `unshare` itself stays outside, and dies with its child.
const CONTAINER: &[&str] =
    &["unshare", "--pid", "--mount", "--ipc", "--uts", "--net", "--mount-proc", "--fork", "--kill-child", "--"];
/// The same with a user namespace, as containers without root have them.
const ROOTLESS: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--pid",
    "--mount",
    "--ipc",
    "--mount-proc",
    "--fork",
    "--kill-child",
    "--",
];

fn is_permitted(starter: &[&str]) -> bool {
    let Some((program, arguments)) = starter.split_first() else { return false };
    let tried = Command::new(program).args(arguments).arg("true").output();
    let permitted = tried.as_ref().is_ok_and(|output| output.status.success());
    if !permitted {
        let why = tried.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        println!("skipped: {} is not permitted here: {why:?}", starter.join(" "));
    }
    permitted
}

fn sees(participant: &Participant, node: &str) -> bool {
    participant.graph().snapshot().nodes().any(|view| view.record.name == node)
}

/// A child: a node of this name that does what it is told.
pub fn live_in_a_container(config: &Config, name: &str) {
    let here = Participant::join(config).expect("join");
    let record = NodeRecord { name: name.into(), namespace: "/".into(), enclave: "/".into() };
    here.graph().add_node(record).expect("node");
    let deep = SubscriptionOptions { history: History::KeepLast(100), ..SubscriptionOptions::default() };
    let sub = subscription(&here, "t", deep);
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let set = WaitSet::new(&here).expect("wait set");
    answer("ready");
    while let Some(line) = next_line() {
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        match command {
            "pid" => answer(std::process::id()),
            "see" => {
                wait_until("it is seen", || sees(&here, argument));
                answer("seen");
            }
            "miss" => {
                wait_until("it is missed", || !sees(&here, argument));
                answer("missed");
            }
            "publish" => {
                publish(&publisher, 1, argument.parse().expect("a number"), 64);
                answer("published");
            }
            // Asleep until somebody's message with the number comes.
            "await" => {
                let wanted: u64 = argument.parse().expect("a number");
                answer("waiting");
                while !take_all(&sub).iter().any(|(_, number)| *number == wanted) {
                    let items: [&dyn Waitable; 1] = [&sub];
                    set.wait(&items, Some(Duration::from_secs(60))).expect("wait");
                }
                answer("there");
            }
            other => panic!("unknown command {other}"),
        }
    }
}

fn containers_live_together(starters: [&[&str]; 2]) {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let start = |starter: &[&str], name: &str| {
        let mut peer = Peer::start_through(starter, &root, &format!("live-in-a-container {name}"));
        assert_eq!(peer.answer(), "ready");
        peer
    };
    let mut one = start(starters[0], "one");
    let mut other = start(starters[1], "other");
    let mut outside = start(&[], "outside");
    // Process ids say nothing here: both are the first of their kind.
    assert_eq!((one.ask("pid"), other.ask("pid")), ("1".into(), "1".into()));
    let here = root.join();
    for name in ["one", "other", "outside"] {
        for peer in [&mut one, &mut other, &mut outside] {
            assert_eq!(peer.ask(&format!("see {name}")), "seen");
        }
        wait_until("it is seen from here", || sees(&here, name));
    }
    let mut number = 0;
    let mut talk = |from: &mut Peer, to: [&mut Peer; 2]| {
        number += 1;
        let [first, second] = to;
        for peer in [&mut *first, &mut *second] {
            assert_eq!(peer.ask(&format!("await {number}")), "waiting");
        }
        // Long enough asleep, most of the time.
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(from.ask(&format!("publish {number}")), "published");
        for peer in [first, second] {
            assert_eq!(peer.answer(), "there");
        }
    };
    for _ in 0..3 {
        talk(&mut one, [&mut other, &mut outside]);
        talk(&mut other, [&mut one, &mut outside]);
        talk(&mut outside, [&mut one, &mut other]);
    }
    // Who is killed is missed, by all.
    let dead = here.graph().snapshot().nodes().find(|view| view.record.name == "one").map(|view| view.participant);
    let dead = dead.expect("listed");
    one.kill();
    for peer in [&mut other, &mut outside] {
        assert_eq!(peer.ask("miss one"), "missed");
    }
    wait_until("its death is known here", || here.is_known_dead(dead) && !here.is_alive(dead));
    let mut again = start(starters[0], "one");
    talk(&mut again, [&mut other, &mut outside]);
    for mut peer in [again, other, outside] {
        assert!(peer.finish().success());
    }
    here.leave();
    root.assert_empty();
}

#[test]
fn containers_find_wake_and_miss_one_another() {
    if is_permitted(CONTAINER) {
        containers_live_together([CONTAINER, CONTAINER]);
    }
}

#[test]
fn containers_with_user_namespaces_do_so_too() {
    if is_permitted(ROOTLESS) {
        containers_live_together([ROOTLESS, ROOTLESS]);
    }
}
