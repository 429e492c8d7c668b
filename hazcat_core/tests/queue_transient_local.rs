//! What a late transient-local subscription gets of the past: once, in order, as deep as both sides keep.

mod support;

use hazcat_core::{History, Publisher, PublisherOptions, Subscription, SubscriptionOptions};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use support::*;

fn keeps(depth: usize) -> PublisherOptions {
    PublisherOptions { transient_local: true, history: History::KeepLast(depth), ..PublisherOptions::default() }
}

fn late(depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { transient_local: true, history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

/// Not a test: what a child runs.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    let participant = hazcat_core::Participant::join(&config).expect("join");
    match role.as_str() {
        // Publishes three messages and waits.
        "keeper" => {
            let publisher = publisher(&participant, "t", keeps(10));
            for number in 1..=3 {
                publish(&publisher, 7, number, 300);
            }
            answer("ready");
            while next_line().is_some() {}
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_late_subscription_gets_the_past_and_then_the_present() {
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let publisher = publisher(&here, "t", keeps(10));
    for number in 1..=5 {
        publish(&publisher, 1, number, 100);
    }
    let sub = subscription(&there, "t", late(10));
    let volatile = subscription(&there, "t", SubscriptionOptions { transient_local: false, ..late(10) });
    assert_eq!(sub.unread_estimate(), 5);
    publish(&publisher, 1, 6, 100);
    assert!(sub.has_data());
    let mut numbers = Vec::new();
    while let Some(sample) = sub.take().expect("take") {
        let (_, number) = expect_whole(&sample);
        assert_eq!((sample.info().number.0, sample.info().gid), (number, publisher.gid()));
        numbers.push(number);
    }
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert!(!sub.has_data());
    assert_eq!(sub.take_lost().total, 0);
    assert_eq!(take_numbers(&volatile), [6]);
}

#[test]
fn the_smaller_depth_counts() {
    let root = Root::new();
    let here = root.join();
    for (kept, wanted) in [(1, 1), (1, 10), (3, 10), (10, 3), (5, 5), (1000, 1000)] {
        let name = format!("{kept}-{wanted}");
        let publisher = publisher(&here, &name, keeps(kept));
        for number in 1..=2500 {
            publish(&publisher, 1, number, 16);
        }
        let sub = subscription(&here, &name, late(wanted));
        let count = kept.min(wanted) as u64;
        assert_eq!(take_numbers(&sub), (2501 - count..=2500).collect::<Vec<_>>(), "{name}");
        assert_eq!(sub.take_lost().total, 0);
    }
}

#[test]
fn a_volatile_publishers_past_is_past() {
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", PublisherOptions { transient_local: false, ..keeps(10) });
    publish(&publisher, 1, 1, 16);
    assert_eq!(take_numbers(&subscription(&here, "t", late(10))), []);
}

#[test]
fn the_past_of_several_publishers_comes_in_the_order_of_the_ring() {
    let root = Root::new();
    let participants: Vec<_> = (0..3).map(|_| root.join()).collect();
    let publishers: Vec<_> = participants.iter().map(|here| publisher(here, "t", keeps(4))).collect();
    let mut published = Vec::new();
    let mut random = Random::new(3);
    for _ in 0..60 {
        let who = random.below(3);
        let publisher = &publishers[who as usize];
        let number = publisher.next_number();
        publish(publisher, who, number, 40);
        published.push((who, number));
    }
    let sub = subscription(&participants[0], "t", late(10));
    // Each keeps its last four, wherever they lie among those of the others.
    let mut expected = Vec::new();
    for who in 0..3 {
        let own: Vec<usize> = (0..published.len()).filter(|at| published[*at].0 == who).collect();
        expected.extend_from_slice(&own[own.len() - 4..]);
    }
    expected.sort_unstable();
    let expected: Vec<_> = expected.into_iter().map(|at| published[at]).collect();
    assert_eq!(take_all(&sub), expected);
}

#[test]
fn others_may_have_lapped_the_ring_long_ago() {
    let root = Root::new();
    let here = root.join();
    let quiet = publisher(&here, "t", keeps(3));
    for number in 1..=3 {
        publish(&quiet, 1, number, 16);
    }
    let busy = publisher(&here, "t", PublisherOptions::default());
    for number in 1..=20_000 {
        publish(&busy, 2, number, 16);
    }
    let sub = subscription(&here, "t", late(10));
    publish(&busy, 2, 20_001, 16);
    assert_eq!(take_all(&sub), [(1, 1), (1, 2), (1, 3), (2, 20_001)]);
}

#[test]
fn nothing_remains_of_a_publisher_that_has_left() {
    let root = Root::new();
    let here = root.join();
    let _other = publisher(&here, "t", keeps(1));
    let publisher = publisher(&here, "t", keeps(10));
    publish(&publisher, 1, 1, 5000);
    assert_eq!(root.files_in("payload").len(), 2);
    drop(publisher);
    assert_eq!(take_numbers(&subscription(&here, "t", late(10))), []);
    assert_eq!(root.files_in("payload").len(), 1, "its memory is given back at once: nobody has anything to read");
}

#[test]
fn nothing_remains_of_a_publisher_that_was_killed() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let anchor = subscription(&here, "t", late(10));
    let mut keeper = Peer::started(&root, "keeper");
    assert_eq!(take_numbers(&anchor), [1, 2, 3]);
    assert_eq!(take_numbers(&subscription(&here, "t", late(10))), [1, 2, 3]);
    keeper.kill();
    wait_until("the dead publisher's past is gone", || take_numbers(&subscription(&here, "t", late(10))).is_empty());
    wait_until("its memory is back", || root.files_in("payload").is_empty());
}

#[test]
fn what_was_noted_may_be_taken_after_its_publisher_is_gone_and_another_has_its_place() {
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let first = publisher(&here, "t", keeps(5));
    for number in 1..=5 {
        publish(&first, 1, number, 64);
    }
    let sub = subscription(&there, "t", late(5));
    assert_eq!(take(&sub), Some((1, 1)));
    drop(first);
    // The same record, the same chunks, the same numbers.
    let second = publisher(&here, "t", keeps(5));
    for number in 1..=5 {
        publish(&second, 2, number, 64);
    }
    let got = take_all(&sub);
    let of = |who| got.iter().filter(|message| message.0 == who).map(|message| message.1).collect::<Vec<_>>();
    assert_eq!(of(2), [1, 2, 3, 4, 5], "everything of the second, once: {got:?}");
    let first = of(1);
    assert!(first.iter().all(|number| (2..=5).contains(number)) && first.is_sorted(), "{got:?}");
    assert_eq!(first.len() as u64 + sub.take_lost().total, 4, "taken or counted as lost");
}

#[test]
fn what_falls_out_of_the_history_before_it_is_taken_is_lost_and_counted() {
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", keeps(3));
    for number in 1..=3 {
        publish(&publisher, 1, number, 64);
    }
    let sub = subscription(&here, "t", late(100));
    let held = sub.take().expect("take").expect("a message");
    for number in 4..=6 {
        publish(&publisher, 1, number, 64);
    }
    // Enough for the publisher to look for memory a few times.
    for _ in 0..300 {
        drop(publisher.loan(64).expect("loan"));
    }
    assert_eq!(expect_whole(&held), (1, 1), "what was taken stays");
    let got = take_numbers(&sub);
    assert!(got.ends_with(&[4, 5, 6]), "{got:?}");
    assert_eq!(got.len() as u64 + sub.take_lost().total, 5);
}

#[test]
fn the_past_is_not_delivered_to_who_refuses_the_publisher() {
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", keeps(3));
    publish(&publisher, 1, 1, 64);
    let sub = subscription(&here, "t", SubscriptionOptions { accept: Box::new(|_| false), ..late(3) });
    assert!(!sub.has_data() && take_numbers(&sub).is_empty());
    assert_eq!(sub.take_lost().total, 0);
}

#[test]
fn a_full_history_keeps_its_memory_and_no_more() {
    let root = Root::new();
    let here = root.join();
    let reader = subscription(&here, "t", late(1));
    let publisher = publisher(&here, "t", PublisherOptions { byte_budget: 8 << 20, ..keeps(50) });
    for number in 1..=5000 {
        publish(&publisher, 1, number, 100_000);
        assert_eq!(take_numbers(&reader), [number]);
    }
    let sub = subscription(&here, "t", late(50));
    assert_eq!(take_numbers(&sub), (4951..=5000).collect::<Vec<_>>());
}

#[test]
fn under_memory_pressure_the_oldest_of_the_past_goes_first() {
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", PublisherOptions { byte_budget: 1 << 20, ..keeps(50) });
    for number in 1..=100 {
        publish(&publisher, 1, number, 60_000);
    }
    let got = take_numbers(&subscription(&here, "t", late(50)));
    assert!(got.len() >= 8, "{}", got.len());
    assert_eq!(got, (101 - got.len() as u64..=100).collect::<Vec<_>>());
}

/// Joins over and over while everybody publishes: from its first message on, a subscription misses nothing and gets nothing
/// twice.
fn join_storm(publishers: u64, kept: usize, joins: u64) {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let stop = AtomicBool::new(false);
    let joined = AtomicU64::new(0);
    // Keeps the topic, and is never a reason to lap the readers: publishers wait for the joiner now and then.
    let pace = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (stop, pace) = (&stop, &pace);
        for who in 0..publishers {
            let here = &here;
            scope.spawn(move || {
                let publisher = publisher(here, "t", keeps(kept));
                while !stop.load(Ordering::Relaxed) {
                    let number = publisher.next_number();
                    publish(&publisher, who, number, 64);
                    let seen = pace.load(Ordering::Relaxed);
                    if number % 64 == 0 {
                        while pace.load(Ordering::Relaxed) == seen && !stop.load(Ordering::Relaxed) {
                            std::thread::yield_now();
                        }
                    }
                }
            });
        }
        let stopper = StopOnDrop(stop);
        for _ in 0..joins {
            // Not as deep as the histories: what is noted does not fall out before it is taken.
            let sub = subscription(&there, "t", late(256));
            let mut last = vec![0u64; publishers as usize];
            let mut count = 0;
            for turn in 0..30 {
                while let Some((who, number)) = take(&sub) {
                    let last = &mut last[who as usize];
                    assert!(
                        *last == 0 || number == *last + 1,
                        "publisher {who}: {number} after {last}, {count} messages, turn {turn}, lost {:?}",
                        sub.lost()
                    );
                    *last = number;
                    count += 1;
                }
                pace.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
            assert_eq!(sub.take_lost().total, 0);
            joined.fetch_add(u64::from(count > 0), Ordering::Relaxed);
        }
        drop(stopper);
    });
    assert!(joined.load(Ordering::Relaxed) > joins / 2, "the subscriptions got something");
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn who_joins_in_the_middle_misses_nothing_and_gets_nothing_twice() {
    let joins = if long() { 20_000 } else { 600 };
    join_storm(1, 512, joins);
    join_storm(3, 512, joins);
}

#[test]
fn publishers_come_and_go_while_subscriptions_join() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let key = topic("t");
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = if long() { 20_000 } else { 1500 };
    std::thread::scope(|scope| {
        let stop = &*stop;
        scope.spawn({
            let (here, key) = (&here, &key);
            move || {
                let mut who = 0;
                while !stop.load(Ordering::Relaxed) {
                    who += 1;
                    let options = PublisherOptions { gid: gid(here), ..keeps(8) };
                    let publisher = Publisher::new(here, key, options).expect("publisher");
                    for number in 1..=10 {
                        publish(&publisher, who, number, 64);
                    }
                }
            }
        });
        let stopper = StopOnDrop(stop);
        for _ in 0..rounds {
            let options = SubscriptionOptions { gid: gid(&there), ..late(100) };
            let sub = Subscription::new(&there, &key, options).expect("subscription");
            let mut last = (0, 0);
            for _ in 0..3 {
                while let Some((who, number)) = take(&sub) {
                    assert!((who, number) > last, "{:?} after {last:?}", (who, number));
                    last = (who, number);
                }
                std::thread::yield_now();
            }
        }
        drop(stopper);
    });
    drop((here, there));
    root.assert_empty();
}
