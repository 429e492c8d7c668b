//! Keep-all: two publishers that may be one message ahead of a subscription's cursor, on a ring of one slot.

use crate::harness::{first, holds, is_found, message, seen, Ring, EVERYTHING};
use hazcat_core::ids::Sequence;
use hazcat_core::ring::word::MessageRef;
use hazcat_core::ring::{full_fence, AppendError, Peek};
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::thread;
use std::sync::Arc;

/// Messages that may wait for a subscription (`History::KeepAll.depth_in`).
const WINDOW: u64 = 1;
const ACTIVE: u32 = 1;

/// The ring and the one subscription's record.
struct Topic {
    ring: Ring<1>,
    state: AtomicU32,
    cursor: AtomicU64,
}

impl Topic {
    fn new(state: u32) -> Arc<Self> {
        let cursor = AtomicU64::new(first::<1>().0);
        Arc::new(Self { ring: Ring::new(), state: AtomicU32::new(state), cursor })
    }

    /// `queue::cursors::Cursors::look` and `Publisher::has_space`.
    fn has_space(&self, claimed: Sequence) -> bool {
        self.ring.view().helped_head();
        full_fence();
        if self.state.load(Ordering::Acquire) != ACTIVE {
            return true;
        }
        claimed.0.saturating_sub(self.cursor.load(Ordering::Acquire)) < WINDOW
    }

    /// `Publisher::append` of a keep-all publisher, with two tries instead of a blocking time.
    fn publish(&self, message: MessageRef, tests_the_claim: bool) -> bool {
        let ring = self.ring.view();
        if !self.has_space(ring.head()) {
            seen("a publisher found no room at first");
            return false;
        }
        for _ in 0..2 {
            let appended = ring.append(message, |claimed| {
                if tests_the_claim && !self.has_space(claimed) {
                    return Err(());
                }
                Ok(())
            });
            match appended {
                Ok(_) => return true,
                Err(AppendError::Refused(())) => {
                    seen("a claim was refused");
                    thread::yield_now();
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        false
    }

    /// `Subscription::find` and `advance`: looks a few times; answers how many messages it took.
    fn take_some(&self, begin: Sequence, looks: u32) -> u64 {
        let mut cursor = begin;
        for _ in 0..looks {
            match self.ring.view().peek(cursor) {
                Peek::Empty => thread::yield_now(),
                Peek::Present(_) => {
                    cursor.0 += 1;
                    self.cursor.store(cursor.0, Ordering::Release);
                    full_fence();
                }
                Peek::Lapped => panic!("a keep-all subscription was lapped"),
            }
        }
        assert_ne!(self.ring.view().peek(cursor), Peek::Lapped, "a keep-all subscription was lapped");
        cursor.0 - begin.0
    }
}

fn two_publishers_and_a_subscription(tests_the_claim: bool) {
    let topic = Topic::new(ACTIVE);
    let publishers = [(0, 2), (1, 1)].map(|(publisher, messages)| {
        let topic = Arc::clone(&topic);
        thread::spawn(move || {
            for chunk in 0..messages {
                topic.publish(message(publisher, chunk), tests_the_claim);
            }
        })
    });
    let subscription = thread::spawn({
        let topic = Arc::clone(&topic);
        move || topic.take_some(first::<1>(), 2)
    });
    for publisher in publishers {
        publisher.join().unwrap();
    }
    match subscription.join().unwrap() {
        0 => seen("nothing was taken"),
        1 => seen("one message was taken"),
        _ => seen("two messages were taken"),
    }
}

#[test]
fn no_publisher_overtakes_a_keep_all_subscription() {
    let wanted = [
        "a publisher found no room at first",
        "a claim was refused",
        "nothing was taken",
        "one message was taken",
        "two messages were taken",
    ];
    holds("ring/keep-all", Some(3), &wanted, || two_publishers_and_a_subscription(true));
}

#[test]
fn twin_a_check_outside_of_the_claim_is_found() {
    is_found("ring/keep-all, check then publish", Some(3), None, "was lapped", || {
        two_publishers_and_a_subscription(false);
    });
}

/// A subscription that joins while two messages are published (`Subscription::new`).
fn joining_subscription(reads_head_again: bool) {
    let topic = Topic::new(0);
    let publisher = thread::spawn({
        let topic = Arc::clone(&topic);
        move || {
            for chunk in 0..2 {
                topic.publish(message(0, chunk), true);
            }
        }
    });
    let subscription = thread::spawn({
        let topic = Arc::clone(&topic);
        move || {
            let ring = topic.ring.view();
            let mut began = ring.helped_head();
            topic.cursor.store(began.0, Ordering::Relaxed);
            topic.state.store(ACTIVE, Ordering::Release);
            full_fence();
            if reads_head_again {
                began = ring.helped_head();
                topic.cursor.store(began.0, Ordering::Release);
            }
            match began.0 - first::<1>().0 {
                0 => seen("it joined before everything"),
                1 => seen("it joined in between"),
                _ => seen("it joined behind everything"),
            }
            topic.take_some(began, 2);
        }
    });
    publisher.join().unwrap();
    subscription.join().unwrap();
}

#[test]
fn a_joining_keep_all_subscription_misses_nothing() {
    let wanted = ["it joined before everything", "it joined in between", "it joined behind everything"];
    holds("ring/keep-all-join", EVERYTHING, &wanted, || joining_subscription(true));
}

#[test]
fn twin_a_first_cursor_from_before_the_activation_is_found() {
    is_found("ring/keep-all-join, head not read again", Some(3), None, "was lapped", || joining_subscription(false));
}
