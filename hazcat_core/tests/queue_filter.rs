//! Filtered subscriptions: what is rejected is neither taken, nor wakes anybody, nor uses up the depth.

mod support;

use hazcat_core::{FilterFn, History, PublisherOptions, Subscription, SubscriptionOptions, WaitOutcome, WaitSet};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;
use support::*;

/// Wants the numbers that `divisor` divides.
fn multiples_of(divisor: u64) -> FilterFn {
    Box::new(move |encoding, payload| {
        assert_eq!(encoding, 0);
        whole(payload).expect("a whole message").1 % divisor == 0
    })
}

fn keep_last(depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

fn filtered(depth: usize, divisor: u64) -> SubscriptionOptions {
    SubscriptionOptions { filter: Some(multiples_of(divisor)), ..keep_last(depth) }
}

#[test]
fn what_is_rejected_is_not_there() {
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&here, "t", filtered(10, 3));
    let publisher = publisher(&there, "t", PublisherOptions::default());
    for number in 1..=2 {
        publish(&publisher, 1, number, 64);
        assert!(!sub.has_data(), "{number}");
        assert_eq!((take(&sub), sub.unread_estimate()), (None, 0));
    }
    let before = sub.arrivals();
    for number in 3..=20 {
        publish(&publisher, 1, number, 64);
    }
    assert!(sub.has_data());
    assert_eq!((sub.unread_estimate(), sub.arrivals() - before), (6, 6));
    assert_eq!(take_numbers(&sub), [3, 6, 9, 12, 15, 18]);
    assert!(!sub.has_data());
    assert_eq!(sub.take_lost().total, 0);
    drop((sub, publisher, here, there));
    root.assert_empty();
}

#[test]
fn what_is_rejected_wakes_nobody() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for history in [History::KeepLast(5), History::KeepAll] {
        let sub = subscription(&here, "t", SubscriptionOptions { history, ..filtered(5, 100) });
        let publisher = publisher(&there, "t", PublisherOptions::default());
        let set = WaitSet::new(&here).expect("wait set");
        publish(&publisher, 1, 1, 16);
        assert_eq!(set.wait(&[&sub], Some(Duration::from_millis(50))), Ok(WaitOutcome::TimedOut));
        let published = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=100 {
                    published.store(number as usize, Ordering::SeqCst);
                    publish(&publisher, 1, number, 16);
                    std::thread::sleep(Duration::from_micros(500));
                }
            });
            assert_eq!(set.wait(&[&sub], None), Ok(WaitOutcome::Ready));
            assert_eq!(published.load(Ordering::SeqCst), 100, "woken too early");
        });
        assert_eq!(take_numbers(&sub), [100], "{history:?}");
    }
}

#[test]
fn what_is_rejected_does_not_use_up_the_depth() {
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&here, "t", filtered(3, 4));
    let publisher = publisher(&there, "t", PublisherOptions::default());
    // As many as publishers keep for it.
    for number in 1..=12 {
        publish(&publisher, 1, number, 64);
    }
    assert_eq!(take_numbers(&sub), [4, 8, 12]);
    assert_eq!(sub.take_lost().total, 0);
    // However many there are, if somebody looks in between.
    for number in 13..=100 {
        publish(&publisher, 1, number, 64);
        if number % 10 == 0 {
            sub.has_data();
        }
    }
    // What passes does use up the depth.
    assert_eq!(take_numbers(&sub), [92, 96, 100]);
    assert_eq!(sub.take_lost().change, 22 - 3);
}

#[test]
fn what_could_not_be_judged_is_lost_in_proportion() {
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&here, "t", filtered(10, 2));
    let publisher = publisher(&there, "t", PublisherOptions::default());
    for rounds in [500, 10_000] {
        for number in 1..=rounds {
            publish(&publisher, 1, number, 64);
        }
        let taken = take_numbers(&sub);
        assert_eq!(
            taken,
            (1..=rounds).filter(|number| number % 2 == 0).skip(rounds as usize / 2 - 10).collect::<Vec<_>>()
        );
        let lost = sub.take_lost().change;
        let expected = rounds / 2 - 10;
        assert!(lost.abs_diff(expected) <= 2, "{lost} lost of {rounds} messages, {expected} expected");
    }
}

#[test]
fn a_new_filter_concerns_what_arrives_from_then_on() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let burst = || (1..=6).for_each(|number| publish(&publisher, 1, number, 16));
    burst();
    sub.set_filter(Some(multiples_of(3)));
    burst();
    sub.set_filter(Some(multiples_of(2)));
    burst();
    // What was rejected stays so; and then there is no filter at all.
    sub.set_filter(None);
    assert_eq!(sub.unread_estimate(), 10);
    assert_eq!(take_numbers(&sub), [2, 3, 4, 5, 6, 3, 6, 2, 4, 6]);
    assert_eq!(sub.take_lost().total, 1, "eleven passed");
    burst();
    assert_eq!(take_numbers(&sub), [1, 2, 3, 4, 5, 6]);
    sub.set_filter(None);
    burst();
    assert!(sub.has_data());
    assert_eq!(take_numbers(&sub).len(), 6);
}

#[test]
fn a_keep_all_subscription_loses_nothing() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&here, "t", SubscriptionOptions { history: History::KeepAll, ..filtered(1, 5) });
    let options = PublisherOptions { history: History::KeepAll, ..PublisherOptions::default() };
    let publisher = publisher(&there, "t", options);
    let mut taken = Vec::new();
    for number in 1..=20_000 {
        publish(&publisher, 1, number, 16);
        if number % 1000 == 0 {
            assert!(sub.arrivals() >= number / 5);
            // Looking alone makes room for the publisher where the message at the cursor is rejected.
            assert!(sub.has_data());
            taken.append(&mut take_numbers(&sub));
        }
    }
    assert_eq!(taken, (1..=4000).map(|n| n * 5).collect::<Vec<_>>());
    assert_eq!(sub.take_lost().total, 0);
    // Removed, it wants all.
    sub.set_filter(None);
    publish(&publisher, 1, 1, 16);
    assert_eq!(take_numbers(&sub), [1]);
}

#[test]
fn of_the_past_the_last_wanted_ones_come() {
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let kept =
        || PublisherOptions { transient_local: true, history: History::KeepLast(20), ..PublisherOptions::default() };
    let (one, two) = (publisher(&there, "t", kept()), publisher(&there, "t", kept()));
    for number in 1..=20 {
        publish(&one, 1, number, 64);
        publish(&two, 2, number, 64);
    }
    let late = subscription(&here, "t", SubscriptionOptions { transient_local: true, ..filtered(2, 6) });
    // A look at what arrives must not give the past twice.
    assert!(late.has_data());
    late.arrivals();
    assert_eq!(late.unread_estimate(), 4);
    publish(&one, 1, 21, 64);
    publish(&two, 2, 24, 64);
    late.arrivals();
    assert_eq!(take_all(&late), [(1, 12), (2, 12), (1, 18), (2, 18), (2, 24)]);
    assert_eq!(late.take_lost().total, 0);
    // With a filter that wants nothing, there is no past.
    let nothing = subscription(&here, "t", SubscriptionOptions { transient_local: true, ..filtered(2, 1000) });
    assert!(!nothing.has_data());
}

#[test]
fn messages_on_loan_leave_room_for_judging_or_wait_for_it() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", filtered(100, 2));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let mut held = Vec::new();
    for number in 1..=2 * hazcat_core::queue::MAX_HELD as u64 {
        publish(&publisher, 1, number, 16);
        held.extend(sub.take().expect("take"));
    }
    assert_eq!(held.len(), hazcat_core::queue::MAX_HELD);
    publish(&publisher, 1, 1, 16);
    publish(&publisher, 1, 2, 16);
    sub.take().err().expect("all places are taken");
    held.clear();
    assert_eq!(take_numbers(&sub), [2]);
}

/// Any order of publishing, looking, taking and changing the filter, against a model of it.
#[test]
fn it_is_as_the_model_says() {
    let mut random = Random::seeded("queue_filter");
    for _ in 0..if long() { 200 } else { 10 } {
        let root = Root::new();
        let (here, there) = (root.join(), root.join());
        let depth = 1 + random.below(6) as usize;
        let sub: Subscription = subscription(&here, "t", keep_last(depth));
        let publishers: Vec<_> = (0..2).map(|_| publisher(&there, "t", PublisherOptions::default())).collect();
        let (mut model, mut wanted, mut lost) = (VecDeque::new(), None, 0);
        for number in 0..2_000u64 {
            match random.below(8) {
                0 => {
                    wanted = (!random.next().is_multiple_of(3)).then(|| 1 + random.below(4));
                    sub.set_filter(wanted.map(multiples_of));
                }
                1..=3 => {
                    let expected = model.pop_front();
                    assert_eq!(take(&sub).map(|(_, number)| number), expected);
                }
                _ => {
                    publish(&publishers[random.below(2) as usize], 1, number, 16);
                    if wanted.is_none_or(|divisor| number % divisor == 0) {
                        if model.len() == depth {
                            model.pop_front();
                            lost += 1;
                        }
                        model.push_back(number);
                    }
                    assert_eq!(sub.has_data(), !model.is_empty());
                }
            }
        }
        assert_eq!(take_numbers(&sub), Vec::from(model));
        assert_eq!(sub.take_lost().total, lost);
    }
}

/// One thread publishes, one takes, one changes the filter: whatever is taken was wanted by one of the filters.
#[test]
fn threads_may_change_it_meanwhile() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = Arc::new(subscription(&here, "t", filtered(50, 2)));
    let publisher = publisher(&there, "t", PublisherOptions::default());
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..=20_000).for_each(|number| publish(&publisher, 1, number, 64));
            done.store(1, Ordering::SeqCst);
        });
        scope.spawn(|| {
            for turn in 0.. {
                if done.load(Ordering::SeqCst) == 1 {
                    break;
                }
                sub.set_filter(Some(multiples_of(2 + turn % 2 * 2)));
                std::thread::yield_now();
            }
        });
        let mut last = 0;
        while done.load(Ordering::SeqCst) == 0 || sub.has_data() {
            if let Some((_, number)) = take(&sub) {
                assert!(number % 2 == 0 && number > last, "{number} after {last}");
                last = number;
            }
        }
        assert!(last > 0);
    });
}

/// Messages that come faster than a filter can judge them are no damage: what passes arrives, and who waits goes on looking.
#[test]
fn a_filter_that_is_slower_than_the_publishers_is_no_error() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for history in [History::KeepLast(5), History::KeepAll] {
        for (divisor, expected) in [(1, true), (u64::MAX, false)] {
            // The worst that can be: for every message that is judged, another one arrives.
            let publisher = publisher(&there, "t", PublisherOptions::default());
            publish(&publisher, 1, 1, 16);
            let flood = Arc::new(AtomicUsize::new(1));
            let count = Arc::clone(&flood);
            let filter: FilterFn = Box::new(move |_, payload| {
                let number = count.load(Ordering::Relaxed);
                if number > 0 {
                    count.store(number + 1, Ordering::Relaxed);
                    publish(&publisher, 1, number as u64 + 1, 16);
                }
                whole(payload).expect("a whole message").1 % divisor == 0
            });
            let options = SubscriptionOptions { filter: Some(filter), history, ..keep_last(5) };
            let sub = subscription(&here, "t", options);
            let opener = support::publisher(&there, "t", PublisherOptions::default());
            publish(&opener, 1, 1, 16);
            assert!(sub.has_data(), "there is more than it could judge");
            assert_eq!(take(&sub).is_some(), expected, "{history:?}");
            // The flood ends.
            flood.store(0, Ordering::Relaxed);
            let rest = take_numbers(&sub);
            assert_eq!((!rest.is_empty(), sub.has_data()), (expected, false), "{history:?}");
        }
    }
}
