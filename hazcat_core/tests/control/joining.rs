//! Joining and leaving, all at once and against each other.

use crate::support::{add_endpoint, add_node, sees, wait_for_graph, Peer, Starting, TestRoot};
use hazcat_core::graph::{GraphError, NodeRecord};
use hazcat_core::participant::Participant;
use std::collections::HashSet;
use std::sync::Mutex;

#[test]
fn processes_that_join_at_once_have_distinct_identities_and_see_each_other() {
    let root = TestRoot::new();
    let starting: Vec<Starting> = (0..20).map(|_| Starting::new(&root)).collect();
    let mut peers: Vec<Peer> = starting.into_iter().map(Starting::joined).collect();
    let identities: HashSet<_> = peers.iter().map(|peer| peer.identity).collect();
    let indices: HashSet<_> = identities.iter().map(|identity| identity.index()).collect();
    assert_eq!((identities.len(), indices.len()), (20, 20));
    for (number, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.ask(&format!("endpoints peer_{number}")), "ok");
    }
    for peer in &mut peers {
        peer.ask("see 20");
    }
    peers.into_iter().for_each(Peer::leave);
    assert!(root.is_empty(), "the last one out removes the directory");
}

#[test]
fn a_change_is_visible_to_whoever_joins_after_it() {
    let root = TestRoot::new();
    let first = root.join();
    for round in 0..50 {
        let node = add_node(&first, &format!("node_{round}"));
        let endpoint = add_endpoint(&first, node, &format!("/topic_{round}"));
        let second = root.join();
        let snapshot = second.graph().snapshot();
        assert!(snapshot.nodes().any(|view| view.record.name == format!("node_{round}")));
        let found = snapshot.endpoints().find(|view| view.id == endpoint).expect("listed");
        assert_eq!(found.node.expect("its node is listed too").name, format!("node_{round}"));
        assert_eq!(found.participant, first.identity());
    }
}

#[test]
fn ones_own_changes_are_in_the_snapshot_when_the_call_returns() {
    let root = TestRoot::new();
    let one = root.join();
    let version = one.graph().version();
    let node =
        one.graph().add_node(NodeRecord { name: "n".into(), namespace: "/".into(), enclave: "".into() }).expect("add");
    assert!(one.graph().version() > version && sees(&one, "n"));
    let endpoint = add_endpoint(&one, node.0, "/t");
    one.graph().update_endpoint(endpoint, vec![9; 9]).expect("update");
    let snapshot = one.graph().snapshot();
    assert_eq!(snapshot.endpoints().next().expect("one").record.attributes, [9; 9]);
    one.graph().remove_endpoint(endpoint).expect("remove");
    one.graph().remove_node(node).expect("remove");
    assert_eq!(one.graph().snapshot().nodes().count() + one.graph().snapshot().endpoints().count(), 0);
    assert_eq!(snapshot.endpoints().count(), 1, "a snapshot does not change");

    assert!(matches!(one.graph().remove_node(node), Err(GraphError::UnknownNode(_))));
    assert!(matches!(one.graph().remove_endpoint(endpoint), Err(GraphError::UnknownEndpoint(_))));
    let long = NodeRecord { name: "n".repeat(256), namespace: "/".into(), enclave: "".into() };
    assert!(matches!(one.graph().add_node(long), Err(GraphError::TooLong { what: "node name" })));
    one.leave();
    let late = NodeRecord { name: "late".into(), namespace: "/".into(), enclave: "".into() };
    assert!(matches!(one.graph().add_node(late), Err(GraphError::Left)));
    assert!(root.is_empty());
}

#[test]
fn listeners_hear_of_own_and_foreign_changes_until_removed() {
    let root = TestRoot::new();
    let (one, other) = (root.join(), root.join());
    wait_for_graph(&one, || one.graph().snapshot().participant(other.identity()).is_some());
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = calls.clone();
    let listener = one.graph().add_listener(Box::new(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }));
    let heard = || calls.load(std::sync::atomic::Ordering::SeqCst);
    add_node(&one, "own");
    assert_eq!(heard(), 1);
    add_node(&other, "foreign");
    crate::support::wait_until("a foreign change", || heard() >= 2 && sees(&one, "foreign"));
    one.graph().remove_listener(listener);
    let before = heard();
    add_node(&one, "unheard");
    assert_eq!(heard(), before);
}

/// Participants in several threads join and leave against each other, each time perhaps the last.
#[test]
fn storms_of_joining_and_leaving_lose_nothing() {
    let root = TestRoot::new();
    let seen = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (root, seen) = (&root, &seen);
            scope.spawn(move || {
                for round in 0..300 {
                    let participant = root.join();
                    assert!(seen.lock().expect("no panic").insert(participant.identity()), "identity reused");
                    let name = format!("node_{thread}_{round}");
                    add_node(&participant, &name);
                    assert!(sees(&participant, &name));
                    assert!(participant.directory().participant_path(participant.identity()).exists());
                    participant.leave();
                }
            });
        }
    });
    assert!(root.is_empty());
}

#[test]
fn domains_do_not_see_each_other() {
    let root = TestRoot::new();
    let one = root.join();
    let other = Participant::join(&hazcat_core::Config { domain_id: 1, ..root.config() }).expect("join");
    add_node(&one, "here");
    let third = Participant::join(&hazcat_core::Config { domain_id: 1, ..root.config() }).expect("join");
    assert!(!sees(&third, "here"));
    assert_eq!(other.identity().index(), 0);
}
