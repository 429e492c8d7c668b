//! Copies that fail, are slow, or for which there is no memory: an error says so, the message stays, and nobody else notices.

use crate::support::*;
use crate::talking::*;
use hazcat_core::domain::simulated::{SimulatedDevice, Trouble};
use hazcat_core::domain::{AllocateError, CopyError, DomainId};
use hazcat_core::queue::layout::taken;
use hazcat_core::queue::{AcrossError, MOST_FAILED_COPIES};
use hazcat_core::{Config, History, Participant, PublisherOptions, SubscriptionOptions, TakeError};
use std::time::Duration;

const HOST: DomainId = DomainId::HOST;

fn trouble(number: u32, trouble: Trouble) {
    SimulatedDevice::get(number).expect("in range").set_trouble(trouble);
}

fn failing(number: u32, failing_copies: u64) {
    trouble(number, Trouble { failing_copies, ..Trouble::default() });
}

#[test]
fn a_failed_copy_is_an_error_and_the_message_stays() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    // To the host, to a device, from one device to another.
    for (from, to, number) in [(sim(200), HOST, 200), (HOST, sim(201), 201), (sim(202), sim(203), 203)] {
        let name = format!("{from}-{to}");
        let publisher = publisher_in(&here, &name, from);
        let (one, other) = (subscription_in(&there, &name, to), subscription_in(&there, &name, to));
        send(&publisher, 1, 1000);
        send(&publisher, 2, 1000);
        let in_use = SimulatedDevice::get(number).expect("in range").counters().in_use();
        failing(number, 3);
        for _ in 0..3 {
            let error = receive_in(&one, to).expect_err("ordered");
            let text = error.to_string();
            assert!(
                matches!(error, TakeError::Across { error: AcrossError::Copy(CopyError::Device(_)), .. }),
                "{text}"
            );
            assert!(text.contains(&name) && text.contains("SIM_ERROR_ORDERED"), "{text}");
            assert!(one.has_data(), "the message is still there");
        }
        assert_eq!(SimulatedDevice::get(number).expect("in range").counters().in_use(), in_use, "memory leaked");
        // The place was given up: another one makes the copy, for both.
        assert_eq!(receive_all(&other, to), [1, 2]);
        assert_eq!(receive_all(&one, to), [1, 2]);
        assert_eq!((copies_by(&one), copies_by(&other), one.lost().total), (0, 2, 0), "{name}");
    }
}

#[test]
fn a_failed_copy_of_the_past_is_an_error_and_the_message_stays() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let participant = root.join();
    let options = hazcat_core::PublisherOptions { domain: sim(204), transient_local: true, ..Default::default() };
    let publisher = publisher(&participant, "past", options);
    (1..=3).for_each(|number| send(&publisher, number, 1000));
    let options = SubscriptionOptions { transient_local: true, ..deep(HOST, 10) };
    let late = subscription(&participant, "past", options);
    failing(204, 2);
    for _ in 0..2 {
        assert!(receive_in(&late, HOST).is_err());
    }
    assert_eq!(receive_all(&late, HOST), [1, 2, 3]);
    assert_eq!(late.lost().total, 0);
}

/// A device that has failed, from the point of view of one process, must stop neither a publisher that waits for its keep-all
/// subscriptions nor what comes later.
#[test]
fn copies_that_fail_for_good_hold_nobody_up() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let keep_all = |domain| SubscriptionOptions { history: History::KeepAll, ..deep(domain, 1) };
    let options = PublisherOptions { domain: sim(209), history: History::KeepAll, ..Default::default() };
    let publisher = publisher(&here, "broken", options);
    let (broken, whole) =
        (subscription(&there, "broken", keep_all(HOST)), subscription(&there, "broken", keep_all(sim(209))));
    let room = publisher.topic().layout().capacity() as u64;
    let mut errors = 0;
    for number in 1..=room {
        failing(209, 0);
        send(&publisher, number, 100);
        failing(209, u64::MAX);
        assert_eq!(receive_all(&whole, sim(209)), [number]);
        loop {
            match receive_in(&broken, HOST) {
                Ok(nothing) => break assert_eq!(nothing, None),
                Err(_) => errors += 1,
            }
        }
    }
    assert_eq!((errors, broken.lost().total), (u64::from(MOST_FAILED_COPIES) - 1, room));
    assert!(!broken.has_data());
    // It works again: one success, and a failure is an error again.
    failing(209, 0);
    send(&publisher, room + 1, 100);
    send(&publisher, room + 2, 100);
    assert_eq!(receive_in(&broken, HOST).expect("take"), Some(room + 1));
    failing(209, 1);
    assert!(receive_in(&broken, HOST).is_err());
    assert_eq!(receive_all(&broken, HOST), [room + 2]);
}

#[test]
fn want_of_room_loses_nothing_however_long_it_lasts() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let participant = root.join();
    let publisher = publisher_in(&participant, "full", sim(210));
    let subscription =
        subscription(&participant, "full", SubscriptionOptions { copy_budget: 256 << 10, ..deep(HOST, 9) });
    (1..=4).for_each(|number| send(&publisher, number, 100 << 10));
    let held: Vec<_> = std::iter::from_fn(|| subscription.take().ok().flatten()).collect();
    let so_far = held.len() as u64;
    assert!((1..4).contains(&so_far));
    (0..10 * MOST_FAILED_COPIES).for_each(|_| assert!(receive_in(&subscription, HOST).is_err()));
    drop(held);
    assert_eq!(receive_all(&subscription, HOST), (so_far + 1..=4).collect::<Vec<_>>());
    assert_eq!(subscription.lost().total, 0);
}

#[test]
fn no_memory_for_a_copy_is_an_error_and_the_message_stays() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let participant = root.join();
    for (from, to) in [(sim(205), HOST), (HOST, sim(205))] {
        let name = format!("{from}-{to}");
        let publisher = publisher_in(&participant, &name, from);
        let options = SubscriptionOptions { copy_budget: 256 << 10, ..deep(to, 10) };
        let (poor, rich) = (subscription(&participant, &name, options), subscription_in(&participant, &name, to));
        send(&publisher, 1, 1 << 20);
        send(&publisher, 2, 1000);
        let error = receive_in(&poor, to).expect_err("a MiB does not fit into a quarter of it");
        let never = |error: &TakeError| {
            matches!(error, TakeError::Across { error: AcrossError::Memory(AllocateError::NeverFits { .. }), .. })
        };
        assert!(never(&error) && error.to_string().contains(&name), "{error}");
        // Who does not insist on a copy gets it.
        let raw = poor.take_raw_as_it_lies().expect("take").expect("there");
        assert_eq!(raw.domain, from);
        poor.return_raw(raw.index).expect("held");
        assert_eq!(receive_all(&poor, to), [2]);
        assert_eq!(receive_all(&rich, to), [1, 2]);
    }
}

#[test]
fn copies_that_are_held_use_up_the_budget_and_return_it() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let participant = root.join();
    let publisher = publisher_in(&participant, "held", sim(206));
    let options = SubscriptionOptions { copy_budget: 1 << 20, ..deep(HOST, 30) };
    let subscription = subscription(&participant, "held", options);
    (1..=20).for_each(|number| send(&publisher, number, 100 << 10));
    let mut held = Vec::new();
    let error = loop {
        match subscription.take() {
            Ok(sample) => held.push(sample.expect("there are twenty")),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, TakeError::Across { error: AcrossError::Memory(AllocateError::Budget { .. }), .. }),
        "{error}"
    );
    assert!((5..=10).contains(&held.len()), "{} copies of 100 KiB in 1 MiB", held.len());
    let so_far = held.len() as u64;
    for (index, sample) in held.iter().enumerate() {
        assert_eq!(expect_whole(sample), (0, index as u64 + 1));
    }
    drop(held);
    assert_eq!(receive_all(&subscription, HOST), (so_far + 1..=20).collect::<Vec<_>>());
}

/// A participant that waits for others' copies for so long.
pub fn patient(root: &Root, copy_wait: Duration) -> std::sync::Arc<Participant> {
    Participant::join(&Config { copy_wait, ..root.config() }).expect("join")
}

#[test]
fn who_is_patient_shares_a_slow_copy_and_who_is_not_makes_their_own() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    for (number, wait, private) in [(207, PATIENCE, 0), (208, Duration::ZERO, 1)] {
        let name = format!("slow-{number}");
        let publisher = publisher_in(&here, &name, sim(number));
        let there = patient(&root, wait);
        let (first, second) = (subscription_in(&there, &name, HOST), subscription_in(&there, &name, HOST));
        send(&publisher, 1, 1000);
        trouble(number, Trouble { copy_delay: Duration::from_millis(300), ..Trouble::default() });
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| receive_in(&first, HOST).expect("take"));
            // Only when the first one has claimed the place, and has 300 ms to go.
            wait_until("the place is claimed", || {
                let at = hazcat_core::Sequence(first.topic().ring().head().0 - 1);
                let places = first.topic().layout().places(0);
                places.is_some_and(|places| matches!(places.look(at), hazcat_core::ring::place::Place::Claimed(..)))
            });
            trouble(number, Trouble::default());
            assert_eq!(receive_in(&second, HOST).expect("take"), Some(1));
            assert_eq!(slow.join().expect("no panic"), Some(1));
        });
        assert_eq!(copies_by(&first) + copies_by(&second), 1 + private, "{name}");
        assert_eq!(counted(&second, taken::PRIVATE_COPIES), private, "{name}");
        assert_eq!(counted(&second, taken::SHARED_COPIES), 1 - private, "{name}");
    }
}
