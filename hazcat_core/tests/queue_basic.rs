//! Publishing and taking: what arrives, in which order, with which information, and what counts as lost.

mod support;

use hazcat_core::{Gid, History, MessageMeta, PublisherInfo, PublisherOptions, SubscriptionOptions, TopicKey};
use std::sync::{Arc, Mutex};
use support::*;

fn keep_last(depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

#[test]
fn messages_arrive_in_order_with_all_that_is_known_about_them() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&there, "t", keep_last(200));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    for number in 1..=100u64 {
        let mut loan = publisher.loan(64).expect("loan");
        assert_eq!((loan.len(), loan.as_ptr().addr() % 64), (64, 0));
        fill(&mut loan, 9, number);
        let meta = MessageMeta { encoding: 3, source_timestamp: -(number as i64), correlation: number as i64 * 7 };
        assert_eq!(publisher.next_number(), number);
        let published = publisher.publish(loan, &meta).expect("publish");
        assert_eq!(published.number.0, number);
    }
    let mut last = None;
    for number in 1..=100u64 {
        assert!(sub.has_data());
        let sample = sub.take().expect("take").expect("a message");
        assert_eq!(sample.as_ptr().addr() % 64, 0);
        assert_eq!(expect_whole(&sample), (9, number));
        let info = sample.info();
        assert_eq!((info.number.0, info.encoding), (number, 3));
        assert_eq!((info.source_timestamp, info.correlation), (-(number as i64), number as i64 * 7));
        assert_eq!(info.gid, publisher.gid());
        assert!(last.is_none_or(|last| info.sequence.0 == last + 1), "positions without gaps");
        last = Some(info.sequence.0);
    }
    assert!(!sub.has_data());
    assert!(sub.take().expect("take").is_none());
    assert_eq!(sub.take_lost().total, 0);
    drop((sub, publisher, here, there));
    root.assert_empty();
}

#[test]
fn every_length_arrives_as_it_is() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    for length in [0usize, 1, 63, 64, 65, 4031, 4096, 70_000, 1 << 20] {
        let mut loan = publisher.loan(length).expect("loan");
        loan.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 7) as u8);
        publisher.publish(loan, &MessageMeta::default()).expect("publish");
        let sample = sub.take().expect("take").expect("a message");
        assert_eq!(sample.len(), length);
        assert!(sample.iter().enumerate().all(|(at, byte)| *byte == (at * 7) as u8));
    }
    // Less than was asked for.
    let raw = publisher.loan_raw(1000).expect("loan");
    assert!(raw.capacity >= 1000);
    publisher.publish_raw(raw, 10, &MessageMeta::default()).expect("publish");
    assert_eq!(sub.take().expect("take").expect("a message").len(), 10);
    // More than was asked for.
    let raw = publisher.loan_raw(1000).expect("loan");
    let error = publisher.publish_raw(raw, raw.capacity + 1, &MessageMeta::default()).expect_err("too long");
    assert!(error.to_string().contains(&raw.capacity.to_string()), "{error}");
    assert!(!sub.has_data());
}

#[test]
fn who_joins_gets_what_is_published_from_then_on() {
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", PublisherOptions::default());
    publish(&publisher, 1, 1, 16);
    let sub = subscription(&here, "t", keep_last(10));
    assert!(!sub.has_data());
    publish(&publisher, 1, 2, 16);
    assert_eq!(take_numbers(&sub), [2]);
}

#[test]
fn several_publishers_and_subscriptions_see_one_order() {
    const EACH: u64 = 3000;
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let participants: Vec<_> = (0..3).map(|_| root.join()).collect();
    let depth = 4096 / 4;
    let subs: Vec<_> = participants.iter().map(|here| subscription(here, "t", keep_last(depth))).collect();
    let done = std::sync::atomic::AtomicU64::new(0);
    let received: Vec<Vec<(u64, u64, u64)>> = std::thread::scope(|scope| {
        for (who, here) in participants.iter().enumerate() {
            let done = &done;
            scope.spawn(move || {
                let publisher = publisher(here, "t", PublisherOptions::default());
                for number in 1..=EACH {
                    publish(&publisher, who as u64, number, 64);
                    if number % 100 == 0 {
                        std::thread::yield_now();
                    }
                }
                done.fetch_add(1, std::sync::atomic::Ordering::Release);
            });
        }
        let takers: Vec<_> = subs
            .iter()
            .map(|sub| {
                let done = &done;
                scope.spawn(move || {
                    let mut got = Vec::new();
                    loop {
                        let ended = done.load(std::sync::atomic::Ordering::Acquire) == 3;
                        while let Some(sample) = sub.take().expect("take") {
                            let (who, number) = expect_whole(&sample);
                            assert_eq!(sample.info().number.0, number);
                            got.push((sample.info().sequence.0, who, number));
                        }
                        if ended {
                            return got;
                        }
                        std::thread::yield_now();
                    }
                })
            })
            .collect();
        takers.into_iter().map(|taker| taker.join().expect("no panic")).collect()
    });
    for (sub, got) in subs.iter().zip(&received) {
        assert_eq!(got.len() as u64 + sub.take_lost().total, 3 * EACH, "every message was taken or counted as lost");
        assert!(got.windows(2).all(|pair| pair[0].0 < pair[1].0), "in the order of the ring, each once");
        for who in 0..3 {
            let own: Vec<u64> = got.iter().filter(|message| message.1 == who).map(|message| message.2).collect();
            assert!(own.windows(2).all(|pair| pair[0] < pair[1]), "in the order of the publisher");
        }
    }
    // The same position means the same message for everybody.
    let mut all: Vec<_> = received.concat();
    all.sort_unstable();
    all.dedup();
    assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn keep_last_keeps_the_last_and_counts_the_rest_as_lost() {
    let root = Root::new();
    let here = root.join();
    for depth in [1usize, 2, 5, 100, 1024] {
        let name = format!("depth{depth}");
        let sub = subscription(&here, &name, keep_last(depth));
        let publisher = publisher(&here, &name, PublisherOptions::default());
        let mut published = 0;
        for burst in [depth - 1, depth, depth + 1, 3 * depth, 9000] {
            for _ in 0..burst {
                published += 1;
                publish(&publisher, 1, published, 16);
            }
            let kept = burst.min(depth) as u64;
            assert_eq!(sub.unread_estimate(), kept);
            assert_eq!(take_numbers(&sub), (published - kept + 1..=published).collect::<Vec<_>>(), "depth {depth}");
            let lost = sub.take_lost();
            assert_eq!(lost.change, burst as u64 - kept, "depth {depth}, burst {burst}");
            assert_eq!(sub.take_lost().change, 0);
        }
    }
}

#[test]
fn depth_zero_is_one_and_more_than_the_ring_allows_is_cut() {
    let root = Root::new();
    let here = root.join();
    let one = subscription(&here, "t", keep_last(0));
    let most = subscription(&here, "t", keep_last(1_000_000));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    for number in 1..=5000 {
        publish(&publisher, 1, number, 16);
    }
    assert_eq!(take_numbers(&one), [5000]);
    assert_eq!(take_numbers(&most).len(), 1024);
    // The first endpoint decides how large the ring is.
    let deep = subscription(&here, "deep", keep_last(10_000));
    let publisher = support::publisher(&here, "deep", PublisherOptions::default());
    for number in 1..=12_000 {
        publish(&publisher, 1, number, 16);
    }
    assert_eq!(take_numbers(&deep), (2001..=12_000).collect::<Vec<_>>());
}

#[test]
fn refused_publishers_do_not_use_up_depth_and_are_not_lost() {
    let root = Root::new();
    let here = root.join();
    let asked = Arc::new(Mutex::new(Vec::<PublisherInfo>::new()));
    let noted = Arc::clone(&asked);
    let options = SubscriptionOptions {
        accept: Box::new(move |info| {
            noted.lock().expect("no panic").push(*info);
            info.traits == 1
        }),
        ..keep_last(3)
    };
    let sub = subscription(&here, "t", options);
    let good = publisher(&here, "t", PublisherOptions { traits: 1, ..PublisherOptions::default() });
    let bad = publisher(&here, "t", PublisherOptions { traits: 2, ..PublisherOptions::default() });
    // Before either of them was ever met.
    publish(&good, 1, 1, 16);
    for number in 1..=500 {
        publish(&bad, 2, number, 16);
    }
    publish(&good, 1, 2, 16);
    for number in 501..=900 {
        publish(&bad, 2, number, 16);
    }
    assert_eq!(take_all(&sub), [(1, 1), (1, 2)]);
    assert_eq!(sub.take_lost().total, 0, "what is refused is not lost");
    // And when both are known: more good ones than the depth, bad ones between.
    for number in 3..=12 {
        publish(&good, 1, number, 16);
        for _ in 0..50 {
            publish(&bad, 2, 1000, 16);
        }
    }
    assert_eq!(take_all(&sub), [(1, 10), (1, 11), (1, 12)]);
    assert_eq!(sub.take_lost().total, 7);
    // Only refused ones: nothing is there.
    publish(&bad, 2, 2000, 16);
    assert!(!sub.has_data());
    let asked = asked.lock().expect("no panic");
    for publisher in [&good, &bad] {
        let info = asked.iter().find(|info| info.gid == publisher.gid()).expect("asked about it");
        assert_eq!(info.owner, Some(here.identity()));
    }
}

#[test]
fn a_long_run_of_refused_messages_is_passed_quickly() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let options = SubscriptionOptions { accept: Box::new(|info| info.traits == 1), ..keep_last(16_384) };
    let sub = subscription(&here, "t", options);
    let good = publisher(&here, "t", PublisherOptions { traits: 1, ..PublisherOptions::default() });
    let bad = publisher(&here, "t", PublisherOptions::default());
    // Three quarters of the ring, read position by position, with more than the depth ahead most of the time.
    for _ in 0..3 {
        for number in 0..48_000 {
            publish(&bad, 2, number, 16);
        }
        publish(&good, 1, 1, 16);
        assert_eq!(take_all(&sub), [(1, 1)]);
    }
    assert_eq!(sub.take_lost().total, 0);
}

#[test]
fn different_types_do_not_meet() {
    let root = Root::new();
    let here = root.join();
    let key = topic("t");
    let other_name = TopicKey { type_name: "test/Other".into(), ..key.clone() };
    let other_hash = TopicKey { type_hash: 8, ..key.clone() };
    let sub = subscription(&here, "t", keep_last(10));
    for key in [&other_name, &other_hash] {
        let publisher = hazcat_core::Publisher::new(&here, key, PublisherOptions::default()).expect("publisher");
        publish(&publisher, 1, 1, 16);
    }
    assert!(!sub.has_data());
}

#[test]
fn names_that_are_too_long_are_refused_and_long_ones_work() {
    let root = Root::new();
    let here = root.join();
    let long = TopicKey { name: "/ü".repeat(300), type_name: "x".repeat(900), type_hash: 0 };
    let too_long = TopicKey { name: "n".repeat(901), ..long.clone() };
    let error = hazcat_core::Publisher::new(&here, &too_long, PublisherOptions::default()).err().expect("refused");
    assert!(error.to_string().contains("900"), "{error}");
    let sub = hazcat_core::Subscription::new(&here, &long, keep_last(1)).expect("subscription");
    let publisher = hazcat_core::Publisher::new(&here, &long, PublisherOptions::default()).expect("publisher");
    publish(&publisher, 1, 1, 16);
    assert_eq!(take(&sub), Some((1, 1)));
}

#[test]
fn sixty_four_subscriptions_each_get_everything_and_records_are_reused() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let publisher = publisher(&here, "t", PublisherOptions::default());
    for round in 0..3u64 {
        let subs: Vec<_> = (0..64).map(|_| subscription(&there, "t", keep_last(20))).collect();
        for number in 1..=15 {
            publish(&publisher, round, number, 256);
        }
        for sub in &subs {
            assert_eq!(take_all(sub), (1..=15).map(|number| (round, number)).collect::<Vec<_>>());
        }
        let used = publisher.topic().layout().subscriptions().len();
        assert_eq!(used, 64, "no more records than subscriptions at a time");
    }
}

#[test]
fn five_hundred_and_twelve_subscriptions_fit_and_one_more_is_refused() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let mut subs: Vec<_> = (0..512).map(|_| subscription(&here, "t", keep_last(2))).collect();
    let error = hazcat_core::Subscription::new(&here, &topic("t"), keep_last(2)).err().expect("full");
    assert!(error.to_string().contains("512"), "{error}");
    publish(&publisher, 1, 1, 64);
    assert!(subs.iter().all(|sub| take_numbers(sub) == [1]));
    subs.pop();
    let late = subscription(&here, "t", keep_last(2));
    publish(&publisher, 1, 2, 64);
    assert_eq!(take_numbers(&late), [2]);
}

#[test]
fn a_publisher_may_leave_before_its_message_is_read() {
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&there, "t", keep_last(10));
    let leaver = publisher(&here, "t", PublisherOptions::default());
    publish(&leaver, 1, 1, 4096);
    publish(&leaver, 1, 2, 300_000);
    drop(leaver);
    drop(here);
    assert_eq!(root.files_in("payload").len(), 2, "both segments remain for the reader");
    let first = sub.take().expect("take").expect("still there");
    assert_eq!(expect_whole(&first), (1, 1));
    assert_eq!(take(&sub), Some((1, 2)));
    // Its place is given to others only after that.
    assert_eq!(expect_whole(&first), (1, 1));
    drop(first);
    assert!(!sub.has_data());
    wait_until("the leaver's segments are removed", || root.files_in("payload").is_empty());
    drop(sub);
    drop(there);
    root.assert_empty();
}

#[test]
fn the_last_to_leave_a_topic_removes_its_file() {
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    // Both at once: neither may rely on the other.
    for _ in 0..200 {
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for participant in [&here, &there] {
                let barrier = &barrier;
                scope.spawn(move || {
                    let publisher = publisher(participant, "t", PublisherOptions::default());
                    publish(&publisher, 1, 1, 64);
                    barrier.wait();
                });
            }
        });
        assert_eq!(root.files_in("topics"), Vec::<std::path::PathBuf>::new());
        assert_eq!(root.files_in("payload"), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn more_one_shot_publishers_than_the_table_has_room_for() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let idle = subscription(&here, "t", keep_last(1024));
    for number in 1..=1100 {
        let one_shot = publisher(&here, "t", PublisherOptions::default());
        publish(&one_shot, 1, number, 16);
    }
    let got = take_numbers(&idle);
    let lost = idle.take_lost().total;
    assert_eq!(got.len() as u64 + lost, 1100);
    assert!(got.len() >= 1000, "only the oldest make room: {} left", got.len());
    assert_eq!(got, (1101 - got.len() as u64..=1100).collect::<Vec<_>>(), "the newest are still there, in order");
}

#[test]
fn many_at_once_find_room_in_a_full_table() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let participants: Vec<_> = (0..3).map(|_| root.join()).collect();
    let idle = subscription(&participants[0], "t", keep_last(1024));
    let each = 700;
    std::thread::scope(|scope| {
        for (who, here) in participants.iter().enumerate() {
            scope.spawn(move || {
                for number in 1..=each {
                    let one_shot = publisher(here, "t", PublisherOptions::default());
                    publish(&one_shot, who as u64, number, 16);
                }
            });
        }
    });
    let got = take_all(&idle);
    assert_eq!(got.len() as u64 + idle.take_lost().total, 3 * each);
    assert!(got.len() >= 900, "{}", got.len());
}

#[test]
fn a_thousand_publishers_one_after_the_other_use_one_record() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    for number in 1..=1000 {
        let one_shot = publisher(&here, "t", PublisherOptions::default());
        publish(&one_shot, 1, number, 16);
        assert_eq!(take_numbers(&sub), [number]);
    }
    assert!(sub.topic().layout().publishers().len() <= 2);
    wait_until("segments are removed", || root.files_in("payload").len() <= 1);
}

#[test]
fn publishers_without_a_gid_are_told_apart() {
    let root = Root::new();
    let here = root.join();
    let key = topic("t");
    let options = || PublisherOptions { transient_local: true, gid: Gid::default(), ..PublisherOptions::default() };
    let first = hazcat_core::Publisher::new(&here, &key, options()).expect("publisher");
    for number in 1..=3 {
        publish(&first, 1, number, 16);
    }
    let late = SubscriptionOptions { transient_local: true, ..keep_last(10) };
    let sub = hazcat_core::Subscription::new(&here, &key, late).expect("subscription");
    assert_eq!(take_numbers(&sub), [1, 2, 3]);
    drop(first);
    let second = hazcat_core::Publisher::new(&here, &key, options()).expect("publisher");
    publish(&second, 2, 1, 16);
    assert_eq!(take_all(&sub), [(2, 1)], "number 1 of another publisher is not number 1 of the first");
}
