//! A hundred processes with ten endpoints each: they start together, see each other, exchange messages at 10 Hz without
//! loss, and leave nothing behind; one that is killed is off everybody's list soon.
//!
//! Prints what it measured; asserts what must hold whatever the machine is doing.

mod support;

use hazcat_core::graph::{EndpointKind, EndpointRecord, NodeRecord};
use hazcat_core::{Participant, PublisherOptions, Subscription, SubscriptionOptions, WaitSet, Waitable};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::*;

const PROCESSES: usize = 100;
/// Publishers, and as many subscriptions, per process.
const ENDPOINTS: usize = 5;
/// Messages per publisher, at 10 Hz.
const MESSAGES: u64 = 20;
const PERIOD: Duration = Duration::from_millis(100);

#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    let me: usize = role.parse().expect("a number");
    let here = Participant::join(&config).expect("join");
    let node = NodeRecord { name: format!("n{me}"), namespace: "/".into(), enclave: "/".into() };
    let node = here.graph().add_node(node).expect("node");
    let announce = |kind, name: String| {
        let record = EndpointRecord {
            kind,
            node: node.0,
            gid: gid(&here).0,
            name,
            type_name: "test/Type".into(),
            attributes: vec![0; 32],
        };
        here.graph().add_endpoint(record).expect("endpoint");
    };
    let topic_of = |process: usize, number: usize| format!("/t{}_{number}", process % PROCESSES);
    let publishers: Vec<_> = (0..ENDPOINTS)
        .map(|number| {
            announce(EndpointKind::Publisher, topic_of(me, number));
            publisher(&here, &topic_of(me, number), PublisherOptions::default())
        })
        .collect();
    // One topic of each of the next processes.
    let subscriptions: Vec<_> = (0..ENDPOINTS)
        .map(|number| {
            let name = topic_of(me + 1 + number, number);
            announce(EndpointKind::Subscription, name.clone());
            subscription(&here, &name, SubscriptionOptions::default())
        })
        .collect();
    answer("ready");
    let seen = |wanted: usize| here.graph().snapshot().participants().count() == wanted;
    while let Some(line) = next_line() {
        match line.split_once(' ') {
            Some(("see", wanted)) => {
                let wanted = wanted.parse().expect("a number");
                let began = Instant::now();
                wait_until("everybody is listed", || seen(wanted));
                answer(began.elapsed().as_micros());
            }
            _ => {
                let publishing = AtomicBool::new(true);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        for number in 1..=MESSAGES {
                            std::thread::sleep(PERIOD);
                            for publisher in &publishers {
                                publish(publisher, me as u64, number, 256);
                            }
                        }
                        publishing.store(false, Ordering::Release);
                    });
                    answer(receive(&here, &subscriptions, me));
                });
            }
        }
    }
    drop((publishers, subscriptions));
    here.leave();
}

/// Sleeps until messages arrive, and checks that each subscription gets all of its publisher's, in order.
fn receive(here: &Arc<Participant>, subscriptions: &[Subscription], me: usize) -> String {
    let wait_set = WaitSet::new(here).expect("wait set");
    let mut next = vec![1; subscriptions.len()];
    let items: Vec<&dyn Waitable> = subscriptions.iter().map(|subscription| subscription as &dyn Waitable).collect();
    let deadline = Instant::now() + PATIENCE / 2;
    while next.iter().any(|number| *number <= MESSAGES) {
        if Instant::now() > deadline {
            return format!("still missing: {next:?}");
        }
        wait_set.wait(&items, Some(Duration::from_secs(1))).expect("wait");
        for (number, subscription) in subscriptions.iter().enumerate() {
            for (who, got) in take_all(subscription) {
                let whose = ((me + 1 + number) % PROCESSES) as u64;
                if (who, got) != (whose, next[number]) {
                    return format!("got {got} of {who}, expected {} of {whose}", next[number]);
                }
                next[number] += 1;
            }
        }
    }
    let lost: u64 = subscriptions.iter().map(|subscription| subscription.lost().total).sum();
    if lost == 0 {
        "all".into()
    } else {
        format!("{lost} lost")
    }
}

#[test]
fn a_hundred_processes_exchange_messages_and_leave_nothing() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let began = Instant::now();
    let mut peers: Vec<Peer> = (0..PROCESSES).map(|number| Peer::start(&root, &number.to_string())).collect();
    for peer in &mut peers {
        assert_eq!(peer.answer(), "ready");
    }
    let started = began.elapsed();
    peers.iter_mut().for_each(|peer| peer.send(&format!("see {PROCESSES}")));
    peers.iter_mut().for_each(|peer| {
        peer.answer();
    });
    println!("{PROCESSES} processes started in {started:?}, saw each other after {:?}", began.elapsed());

    peers.iter_mut().for_each(|peer| peer.send("exchange"));
    for (number, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.answer(), "all", "process {number}");
    }
    println!("{} messages at 10 Hz, none lost", PROCESSES * ENDPOINTS * MESSAGES as usize);

    let mut victim = peers.swap_remove(PROCESSES / 2);
    peers.iter_mut().for_each(|peer| peer.send(&format!("see {}", PROCESSES - 1)));
    // Everybody is looking by now, or soon.
    std::thread::sleep(Duration::from_millis(200));
    let killed = Instant::now();
    victim.kill();
    let mut last = Duration::ZERO;
    for peer in &mut peers {
        peer.answer();
        last = last.max(killed.elapsed());
    }
    println!("a killed process was off everybody's list after {last:?}");

    for peer in &mut peers {
        assert!(peer.finish().success());
    }
    root.assert_empty();
}
