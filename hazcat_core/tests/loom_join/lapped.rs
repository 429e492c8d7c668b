//! A keep-all publisher, a keep-last one that laps it, and a keep-all subscription that fetches from the history what it
//! could not read in time. The publisher takes back what every cursor has passed, and nothing else.

use crate::harness::{first, holds, is_found, message, seen};
use crate::topic::{Lapped, Subscription, Topic, KEEPER};
use hazcat_core::ids::{PublicationNumber, Sequence};
use hazcat_core::ring::full_fence;
use hazcat_core::ring::held::HeldScan;
use hazcat_core::ring::word::Tombstone;
use loom::sync::atomic::Ordering;
use loom::thread;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq)]
enum Twin {
    None,
    /// The subscription says that it has passed what it has only noted.
    CursorAhead,
}

/// `Cursors::look`, with one keep-all subscription.
fn slowest(topic: &Topic) -> Sequence {
    topic.ring.view().helped_head();
    full_fence();
    Sequence(topic.cursor.load(Ordering::Acquire))
}

/// Publishes one message, then wants its chunk back: `Publisher::append`, `Pool::reclaim`.
fn keeper(topic: &Topic) -> Option<Sequence> {
    let at = topic.publish(1, true, |claimed| claimed.0.saturating_sub(slowest(topic).0) < 1)?;
    if at >= slowest(topic) {
        seen("the message was still needed");
        return Some(at);
    }
    let message = message(KEEPER.0, 0);
    topic.ring.view().remove(at, message, Tombstone::Expired);
    topic.history().remove(PublicationNumber(1), message);
    let scan = HeldScan::start();
    let held = scan.read(&topic.held) == Some(message);
    scan.finish();
    if held {
        seen("the message was still held");
    } else {
        seen("the message was taken back");
        topic.fill(0, 7);
    }
    Some(at)
}

/// `Subscription::find` and `fall_behind` of a keep-all subscription.
fn subscription(topic: &Topic, twin: Twin) -> (Sequence, Vec<u64>) {
    let shows_backlog = twin != Twin::CursorAhead;
    let mut subscription = Subscription::new(topic, first::<1>(), true);
    for _ in 0..3 {
        if subscription.take_noted(shows_backlog) {
            continue;
        }
        match subscription.take_from_ring(true) {
            Ok(true) => {}
            Ok(false) => break,
            Err(Lapped) => {
                let target = Sequence(topic.ring.view().helped_head().0 - 1);
                subscription.collect(subscription.cursor..target);
                subscription.cursor = target;
                subscription.store_cursor(shows_backlog);
            }
        }
    }
    while subscription.take_noted(shows_backlog) {}
    assert_eq!(subscription.lost, 0, "a keep-all message was lost");
    (subscription.cursor, subscription.got)
}

fn model(twin: Twin) {
    let topic = Arc::new(Topic::new());
    let keeper = thread::spawn({
        let topic = Arc::clone(&topic);
        move || keeper(&topic)
    });
    let lapper = thread::spawn({
        let topic = Arc::clone(&topic);
        move || topic.lap()
    });
    let subscription = thread::spawn(move || subscription(&topic, twin));
    let at = keeper.join().unwrap();
    lapper.join().unwrap();
    let (cursor, got) = subscription.join().unwrap();
    match at {
        Some(at) if at < cursor => assert_eq!(got, [1], "a keep-all message was lost or repeated"),
        _ => assert!(got.len() <= 1),
    }
}

#[test]
fn a_lapped_keep_all_subscription_loses_nothing() {
    let wanted = [
        "the message was still needed",
        "the message was still held",
        "the message was taken back",
        "a message came out of the history",
        "a message came out of the ring",
    ];
    holds("join/lapped", Some(3), &wanted, || model(Twin::None));
}

#[test]
fn twin_whose_cursor_runs_ahead_is_found() {
    is_found("join/lapped, cursor ahead", Some(3), None, "a keep-all message was lost", || model(Twin::CursorAhead));
}
