//! Keep-all: nothing is lost between keep-all publishers and keep-all subscriptions; publishers wait, within bounds.

mod support;

use hazcat_core::{History, MessageMeta, PublishError, Publisher, PublisherOptions, Subscription, SubscriptionOptions};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::*;

/// Messages that fit before a publisher waits: half of the smallest ring.
const WINDOW: u64 = 2048;

fn keep_all_publisher(max_blocking: Duration) -> PublisherOptions {
    PublisherOptions { history: History::KeepAll, max_blocking, ..PublisherOptions::default() }
}

fn keep_all() -> SubscriptionOptions {
    SubscriptionOptions { history: History::KeepAll, ..SubscriptionOptions::default() }
}

fn try_publish(publisher: &Publisher, who: u64, number: u64) -> Result<(), PublishError> {
    let mut loan = publisher.loan(64).expect("loan");
    fill(&mut loan, who, number);
    publisher.publish(loan, &MessageMeta::default()).map(|_| ())
}

/// Not a test: what a child runs.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    let participant = hazcat_core::Participant::join(&config).expect("join");
    match role.as_str() {
        "idle" => {
            let _sub = subscription(&participant, "t", keep_all());
            answer("ready");
            while next_line().is_some() {}
        }
        // Takes everything until the line comes that says how much there is to be.
        "reader" => {
            let sub = subscription(&participant, "t", keep_all());
            answer("ready");
            let total: u64 = next_line().and_then(|line| line.parse().ok()).expect("a number");
            let mut next = 1;
            while next <= total {
                match take(&sub) {
                    Some((_, number)) => {
                        assert_eq!(number, next);
                        next += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
            answer(sub.take_lost().total);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_publisher_waits_times_out_and_goes_on_when_there_is_room() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_all());
    let publisher = publisher(&here, "t", keep_all_publisher(Duration::from_millis(30)));
    for number in 1..=WINDOW {
        try_publish(&publisher, 1, number).expect("fits");
    }
    let before = Instant::now();
    assert_eq!(try_publish(&publisher, 1, 99_999), Err(PublishError::TimedOut));
    assert!(before.elapsed() >= Duration::from_millis(30), "it waited as long as it may");
    assert_eq!(take(&sub), Some((1, 1)));
    try_publish(&publisher, 1, WINDOW + 1).expect("one was taken");
    assert_eq!(try_publish(&publisher, 1, 99_999), Err(PublishError::TimedOut));
    assert_eq!(take_numbers(&sub), (2..=WINDOW + 1).collect::<Vec<_>>(), "and nothing of what timed out");
    assert_eq!(sub.take_lost().total, 0);
    try_publish(&publisher, 1, 1).expect("room again");
}

#[test]
fn a_waiting_publisher_is_woken_by_a_take() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_all());
    let publisher = publisher(&here, "t", keep_all_publisher(Duration::MAX));
    let total = 5 * WINDOW;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=total {
                try_publish(&publisher, 1, number).expect("it waits without limit");
            }
        });
        let mut next = 1;
        while next <= total {
            // Slower than the publisher, in bursts.
            for number in take_numbers(&sub) {
                assert_eq!(number, next);
                next += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    assert_eq!(sub.take_lost().total, 0);
}

#[test]
fn nothing_is_lost_between_processes() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", keep_all_publisher(Duration::from_secs(60)));
    let total: u64 = if long() { 5_000_000 } else { 200_000 };
    let mut readers: Vec<_> = (0..2).map(|_| Peer::started(&root, "reader")).collect();
    readers.iter_mut().for_each(|reader| reader.send(&total.to_string()));
    for number in 1..=total {
        try_publish(&publisher, 1, number).expect("publish");
    }
    for reader in &mut readers {
        assert_eq!(reader.answer(), "0", "lost");
        assert!(reader.finish().success());
    }
}

#[test]
fn two_keep_all_publishers_never_overtake_the_reader_together() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&here, "t", keep_all());
    let each: u64 = if long() { 1_000_000 } else { 60_000 };
    std::thread::scope(|scope| {
        for who in 0..2u64 {
            let there = &there;
            scope.spawn(move || {
                let publisher = publisher(there, "t", keep_all_publisher(Duration::MAX));
                for number in 1..=each {
                    try_publish(&publisher, who, number).expect("publish");
                }
            });
        }
        let mut last = [0u64; 2];
        let mut random = Random::new(5);
        while last != [each, each] {
            for _ in 0..random.below(5000) {
                let Some((who, number)) = take(&sub) else { break };
                assert_eq!(number, last[who as usize] + 1, "publisher {who}");
                last[who as usize] = number;
            }
            if random.below(4) == 0 {
                std::thread::sleep(Duration::from_micros(random.below(500)));
            }
        }
    });
    assert_eq!(sub.take_lost().total, 0);
}

#[test]
fn what_a_keep_last_publisher_laps_is_fetched_from_the_history() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_all());
    let keeper = publisher(&here, "t", keep_all_publisher(Duration::from_millis(1)));
    let lapper = publisher(&here, "t", PublisherOptions::default());
    for number in 1..=100 {
        try_publish(&keeper, 1, number).expect("publish");
    }
    for number in 1..=20_000 {
        publish(&lapper, 2, number, 16);
    }
    // The keeper has to look for memory, and must not take that of what is still to be fetched.
    for _ in 0..1000 {
        drop(keeper.loan(64).expect("loan"));
    }
    let mut got = Vec::new();
    for _ in 0..10 {
        got.push(take(&sub).expect("kept"));
        for _ in 0..300 {
            drop(keeper.loan(64).expect("loan"));
        }
    }
    // Lapped again while it fetches.
    for number in 20_001..=40_000 {
        publish(&lapper, 2, number, 16);
    }
    for _ in 0..1000 {
        drop(keeper.loan(64).expect("loan"));
    }
    got.extend(take_all(&sub));
    let kept: Vec<u64> = got.iter().filter(|message| message.0 == 1).map(|message| message.1).collect();
    assert_eq!(kept, (1..=100).collect::<Vec<_>>(), "every message of the keep-all publisher, once, in order");
    let lapped: Vec<u64> = got.iter().filter(|message| message.0 == 2).map(|message| message.1).collect();
    assert!(lapped.is_sorted() && lapped.last() == Some(&40_000));
    assert_eq!(sub.take_lost().total, 40_000 - lapped.len() as u64);
    // And the publisher goes on.
    try_publish(&keeper, 1, 101).expect("there is room");
    assert_eq!(take(&sub), Some((1, 101)));
}

#[test]
fn nothing_of_keep_all_publishers_is_lost_while_a_keep_last_one_laps_all_the_time() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&here, "t", keep_all());
    let stop = AtomicBool::new(false);
    let total: u64 = if long() { 100_000 } else { 3_000 };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let lapper = publisher(&there, "t", PublisherOptions::default());
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                publish(&lapper, 9, number, 16);
            }
        });
        for who in 0..2 {
            let there = &there;
            scope.spawn(move || {
                // Leaves when it is done: what is not read yet, and lapped, is still to be had.
                let keeper = publisher(there, "t", keep_all_publisher(Duration::MAX));
                for number in 1..=total {
                    try_publish(&keeper, who, number).expect("publish");
                }
            });
        }
        let mut last = [0u64; 10];
        while last[0] < total || last[1] < total {
            let Some((who, number)) = take(&sub) else {
                std::thread::yield_now();
                continue;
            };
            let last = &mut last[who as usize];
            if who == 9 {
                assert!(number > *last);
            } else {
                assert_eq!(number, *last + 1, "publisher {who}");
            }
            *last = number;
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_a_publisher_leaves_behind_is_read_although_it_was_lapped() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&here, "t", keep_all());
    let keeper = publisher(&there, "t", keep_all_publisher(Duration::from_millis(1)));
    for number in 1..=500 {
        try_publish(&keeper, 1, number).expect("publish");
    }
    drop(keeper);
    drop(there);
    let left = root.files_in("payload");
    assert!(!left.is_empty());
    let lapper = publisher(&here, "t", PublisherOptions::default());
    for number in 1..=10_000 {
        publish(&lapper, 2, number, 16);
    }
    // Sweeping frees nothing that is promised.
    drop(subscription(&here, "t", keep_all()));
    let got = take_all(&sub);
    let kept: Vec<u64> = got.iter().filter(|message| message.0 == 1).map(|message| message.1).collect();
    assert_eq!(kept, (1..=500).collect::<Vec<_>>());
    let late = subscription(&here, "t", SubscriptionOptions { transient_local: true, ..keep_all() });
    assert_eq!(take(&late), None, "who comes late gets nothing of it");
    drop((sub, late));
    // Now nobody needs it: the next sweep takes its memory away.
    wait_until("its segments are removed", || root.files_in("payload").iter().all(|path| !left.contains(path)));
}

#[test]
fn a_keep_last_publisher_does_not_shut_keep_all_ones_out() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_all());
    let keepers = [0, 1].map(|_| publisher(&here, "t", keep_all_publisher(Duration::from_millis(1))));
    let lapper = publisher(&here, "t", PublisherOptions::default());
    // Far more than a ring behind, and it reads nothing.
    for number in 1..=10_000 {
        publish(&lapper, 9, number, 16);
    }
    let share = WINDOW / 2;
    for number in 1..=share {
        for (who, keeper) in (0..).zip(&keepers) {
            try_publish(keeper, who, number).expect("its fair share");
        }
    }
    for keeper in &keepers {
        assert_eq!(try_publish(keeper, 1, 99_999), Err(PublishError::TimedOut), "and no more");
    }
    for number in 10_001..=20_000 {
        publish(&lapper, 9, number, 16);
    }
    let got = take_all(&sub);
    for who in 0..2 {
        let kept: Vec<u64> = got.iter().filter(|message| message.0 == who).map(|message| message.1).collect();
        assert_eq!(kept, (1..=share).collect::<Vec<_>>(), "publisher {who}");
    }
    assert!(got.contains(&(9, 20_000)));
}

#[test]
fn who_refuses_a_publisher_does_not_hold_it_up() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let refuses = SubscriptionOptions { traits: 7, accept: Box::new(|_| false), ..keep_all() };
    let refusing = subscription(&here, "t", refuses);
    let listening = subscription(&here, "t", keep_all());
    let options = PublisherOptions {
        waits_for: |_, traits| traits != 7,
        byte_budget: 1 << 20,
        ..keep_all_publisher(Duration::from_millis(1))
    };
    let publisher = publisher(&here, "t", options);
    for number in 1..=3 * WINDOW {
        let mut loan = publisher.loan(1000).expect("its memory comes back");
        fill(&mut loan, 1, number);
        publisher.publish(loan, &MessageMeta::default()).expect("nobody to wait for");
        assert_eq!(take(&listening), Some((1, number)));
    }
    assert_eq!(take(&refusing), None);
    assert_eq!(refusing.take_lost().total, 0);
}

#[test]
fn a_stalled_keep_all_subscription_does_not_pin_what_it_cannot_find() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_all());
    let publisher = publisher(&here, "t", PublisherOptions { history: History::KeepLast(1), ..Default::default() });
    for number in 1..=3 * 4096 {
        publish(&publisher, 1, number, 4096);
    }
    let sizes = root.files_in("payload").into_iter().map(|path| std::fs::metadata(path).expect("segment").len());
    let bytes: u64 = sizes.sum();
    // A ring of messages and what gathers between two looks, in segments that double.
    assert!(bytes < 4 * 4096 * 4300, "{bytes} bytes for messages of which most were lapped");
    assert_eq!(take_numbers(&sub).last(), Some(&(3 * 4096)));
}

#[test]
fn a_killed_subscription_blocks_nobody() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", keep_all_publisher(Duration::MAX));
    for _ in 0..3 {
        let mut idle = Peer::started(&root, "idle");
        std::thread::scope(|scope| {
            let killer = scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                idle.kill();
            });
            // Fills the window and would wait for ever.
            for number in 1..=2 * WINDOW {
                try_publish(&publisher, 1, number).expect("publish");
            }
            killer.join().expect("no panic");
        });
    }
}

#[test]
fn a_subscription_that_leaves_blocks_nobody() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", keep_all_publisher(Duration::MAX));
    let sub = subscription(&here, "t", keep_all());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(sub);
        });
        for number in 1..=2 * WINDOW {
            try_publish(&publisher, 1, number).expect("publish");
        }
    });
}

#[test]
fn a_keep_last_publisher_never_waits() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_all());
    let publisher =
        publisher(&here, "t", PublisherOptions { max_blocking: Duration::MAX, ..PublisherOptions::default() });
    for number in 1..=10_000 {
        publish(&publisher, 1, number, 16);
    }
    let got = take_numbers(&sub);
    assert_eq!(got.last(), Some(&10_000));
    assert_eq!(got.len() as u64 + sub.take_lost().total, 10_000);
}

#[test]
fn who_joins_late_is_waited_for_from_then_on() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let stop = AtomicBool::new(false);
    let published = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let publisher = publisher(&here, "t", keep_all_publisher(Duration::from_millis(20)));
            let mut number = 1;
            while !stop.load(Ordering::Relaxed) {
                if try_publish(&publisher, 1, number).is_ok() {
                    number += 1;
                    published.store(number, Ordering::Relaxed);
                }
            }
        });
        let key = topic("t");
        let rounds = if long() { 3000 } else { 150 };
        for _ in 0..rounds {
            let options = SubscriptionOptions { gid: gid(&there), ..keep_all() };
            let sub = Subscription::new(&there, &key, options).expect("subscription");
            let mut last = None;
            let mut count = 0;
            while count < 500 {
                let Some((_, number)) = take(&sub) else {
                    std::thread::yield_now();
                    continue;
                };
                assert!(last.is_none_or(|last| number == last + 1), "{number} after {last:?}");
                last = Some(number);
                count += 1;
            }
            assert_eq!(sub.take_lost().total, 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_keep_all_publisher_does_not_drop_for_want_of_memory() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_all());
    let options = PublisherOptions { byte_budget: 1 << 20, ..keep_all_publisher(Duration::from_millis(1)) };
    let publisher = publisher(&here, "t", options);
    let mut published = 0;
    let error = loop {
        match publisher.loan(60_000) {
            Ok(mut loan) => {
                published += 1;
                fill(&mut loan, 1, published);
                publisher.publish(loan, &MessageMeta::default()).expect("publish");
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, hazcat_core::LoanError::Exhausted { .. }), "{error}");
    assert_eq!(take_numbers(&sub), (1..=published).collect::<Vec<_>>());
    assert_eq!(sub.take_lost().total, 0);
    publisher.loan(60_000).expect("room again");
}

#[test]
fn the_past_of_a_keep_all_publisher_that_is_transient_local() {
    let root = Root::new();
    let here = root.join();
    let options = PublisherOptions { transient_local: true, ..keep_all_publisher(Duration::from_millis(10)) };
    let publisher = publisher(&here, "t", options);
    for number in 1..=5000 {
        try_publish(&publisher, 1, number).expect("nobody to wait for");
    }
    let late = || SubscriptionOptions { transient_local: true, ..keep_all() };
    let sub = subscription(&here, "t", late());
    assert_eq!(take_numbers(&sub).first(), Some(&(5001 - WINDOW)));
    for number in 5001..=5100 {
        try_publish(&publisher, 1, number).expect("publish");
    }
    assert_eq!(take_numbers(&sub), (5001..=5100).collect::<Vec<_>>());
    assert_eq!(sub.take_lost().total, 0);
    // The past is not what is waited for: it may fall out of the history before it is taken, and counts as lost then.
    let slow = subscription(&here, "t", late());
    for number in 5101..=5200 {
        try_publish(&publisher, 1, number).expect("publish");
    }
    let got = take_numbers(&slow);
    assert_eq!(got, (5201 - WINDOW..=5200).collect::<Vec<_>>());
    assert_eq!(slow.take_lost().total, 100);
}
