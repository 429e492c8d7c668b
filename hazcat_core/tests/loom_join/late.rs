//! A transient-local publisher, one who laps it, and a subscription that joins meanwhile.

use crate::harness::{holds, is_found};
use crate::topic::{Lapped, Subscription, Topic};
use hazcat_core::ids::Sequence;
use hazcat_core::ring::full_fence;
use loom::thread;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq)]
enum Twin {
    None,
    /// The publisher writes the history when the message is in the ring.
    HistoryLast,
    /// The subscription delivers what comes out of the ring without asking whether it has it.
    NoDedupe,
    /// The subscription reads the histories first and decides then where it begins.
    CollectsFirst,
}

/// What the subscription got, and where it began.
struct Joined {
    began: Sequence,
    got: Vec<u64>,
}

/// `Subscription::new`, `collect_past`, and takes until there is nothing.
fn join(topic: &Topic, twin: Twin) -> Joined {
    let ring = topic.ring.view();
    full_fence();
    let mut subscription = Subscription::new(topic, Sequence(0), twin != Twin::NoDedupe);
    if twin == Twin::CollectsFirst {
        subscription.collect(Sequence(0)..Sequence(u64::MAX));
    }
    let began = ring.helped_head();
    subscription.cursor = began;
    if twin != Twin::CollectsFirst {
        subscription.collect(Sequence(0)..began);
    }
    while subscription.take_noted(false) {}
    for _ in 0..4 {
        match subscription.take_from_ring(false) {
            Ok(true) => {}
            Ok(false) => break,
            // `fall_behind` with a depth of one.
            Err(Lapped) => subscription.cursor = Sequence(ring.helped_head().0 - 1).max(subscription.cursor),
        }
    }
    assert_eq!(subscription.lost, 0, "nothing falls out of a history of two");
    Joined { began, got: subscription.got }
}

fn model(messages: u64, twin: Twin) {
    let topic = Arc::new(Topic::new());
    let keeper = thread::spawn({
        let topic = Arc::clone(&topic);
        move || -> Vec<Sequence> {
            let publish = |number| topic.publish(number, twin != Twin::HistoryLast, |_| true);
            (1..=messages).filter_map(publish).collect()
        }
    });
    let lapper = thread::spawn({
        let topic = Arc::clone(&topic);
        move || topic.lap()
    });
    let subscription = thread::spawn(move || join(&topic, twin));
    let positions = keeper.join().unwrap();
    lapper.join().unwrap();
    let joined = subscription.join().unwrap();
    for (number, at) in (1..).zip(positions) {
        let times = joined.got.iter().filter(|got| **got == number).count();
        assert!(times <= 1, "message {number} was delivered {times} times");
        assert!(
            times == 1 || at >= joined.began,
            "message {number} at {at:?} was missed by who began at {:?}",
            joined.began
        );
    }
    assert!(joined.got.is_sorted(), "out of order: {:?}", joined.got);
}

const WANTED: [&str; 3] = [
    "a message came out of the history",
    "a message came out of the ring",
    "a message that came out of the history came out of the ring, too",
];

#[test]
fn a_late_subscription_gets_the_past_once() {
    holds("join/late", Some(3), &WANTED, || model(1, Twin::None));
}

#[test]
fn a_late_subscription_gets_two_messages_of_the_past_in_order() {
    holds("join/late, two messages", Some(1), &WANTED, || model(2, Twin::None));
}

#[test]
fn twin_that_writes_the_history_last_is_found() {
    is_found("join/late, history last", Some(3), None, "was missed", || model(1, Twin::HistoryLast));
}

#[test]
fn twin_that_delivers_twice_is_found() {
    is_found("join/late, no dedupe", Some(3), None, "was delivered 2 times", || model(1, Twin::NoDedupe));
}

#[test]
fn twin_that_collects_first_is_found() {
    is_found("join/late, collects first", Some(3), None, "was missed", || model(1, Twin::CollectsFirst));
}
