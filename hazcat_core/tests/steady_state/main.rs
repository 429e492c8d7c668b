//! In steady state a message costs no heap allocation and, while nobody sleeps, no system call: neither to publish nor to
//! take, nor to look whether something is there.
//!
//! Allocations are counted by this binary's global allocator, system calls by a filter on the measured thread
//! ([`system_calls`]); both per thread, so that a participant's own sleeping thread does not count. That the counters see
//! anything at all is a test of its own.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(loom), not(miri)))]

mod allocations;
#[path = "../support/mod.rs"]
mod support;
mod system_calls;

use hazcat_core::{
    History, MessageMeta, Publisher, PublisherOptions, Subscription, SubscriptionOptions, WaitOutcome, WaitSet,
};
use std::hint::black_box;
use std::time::Duration;
use support::*;

/// What a piece of work cost its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cost {
    allocations: u64,
    system_calls: u64,
    /// Number of the last system call, to know where to look.
    last_call: i64,
}

const NOTHING: Cost = Cost { allocations: 0, system_calls: 0, last_call: -1 };

/// Runs `prepare` and then, counted, what it returns; on a thread of its own, which stays filtered until it ends.
fn cost_of<W: FnOnce()>(prepare: impl FnOnce() -> W + Send) -> Cost {
    std::thread::scope(|scope| {
        let counted = scope.spawn(|| {
            let work = prepare();
            system_calls::count_on_this_thread();
            let (allocations, calls) = (allocations::so_far(), system_calls::so_far());
            work();
            Cost {
                allocations: allocations::so_far() - allocations,
                system_calls: system_calls::so_far() - calls,
                last_call: system_calls::last(),
            }
        });
        counted.join().expect("the counted work does not fail")
    })
}

fn send(publisher: &Publisher, size: usize, number: u64) {
    let mut loan = publisher.loan(size).expect("loan");
    loan[..8].copy_from_slice(&number.to_le_bytes());
    publisher.publish(loan, &MessageMeta::default()).expect("publish");
}

fn receive(subscription: &Subscription) -> Option<u64> {
    let sample = subscription.take().expect("take")?;
    sample.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Enough messages to go through the ring once and through every pool several times.
const WARM_UP: u64 = 10_000;
const COUNTED: u64 = 20_000;

#[test]
fn the_counters_count() {
    let cost = cost_of(|| {
        || {
            black_box(Box::new(7_u64));
            // SAFETY: asks for a number.
            unsafe { libc::getppid() };
            // SAFETY: asks for a number.
            unsafe { libc::getppid() };
        }
    });
    assert_eq!(cost, Cost { allocations: 1, system_calls: 2, last_call: libc::SYS_getppid });
}

#[test]
fn counted_system_calls_still_do_their_work() {
    let (mut received, process) = (0, std::process::id());
    cost_of(|| {
        let result = &mut received;
        move || *result = std::process::id()
    });
    assert_eq!(received, process);
}

#[test]
fn a_message_of_any_size_costs_nothing() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for size in [8, 64, 8 << 10, 1 << 20] {
        let name = format!("size {size}");
        let publisher = publisher(&here, &name, PublisherOptions::default());
        let subscription = subscription(&there, &name, SubscriptionOptions::default());
        let round = |number| {
            send(&publisher, size, number);
            assert_eq!(receive(&subscription), Some(number));
            assert_eq!(receive(&subscription), None);
        };
        let cost = cost_of(|| {
            (0..WARM_UP).for_each(round);
            || (0..COUNTED).for_each(round)
        });
        assert_eq!(cost, NOTHING, "{COUNTED} messages of {size} bytes");
    }
}

#[test]
fn looking_and_waiting_without_sleep_cost_nothing() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let participant = root.join();
    let publisher = publisher(&participant, "t", PublisherOptions::default());
    let subscription = subscription(&participant, "t", SubscriptionOptions::default());
    let wait_set = WaitSet::new(&participant).expect("wait set");
    let look = || wait_set.wait(&[&subscription], Some(Duration::ZERO)).expect("wait");
    let round = |number| {
        assert_eq!(look(), WaitOutcome::TimedOut);
        assert!(!subscription.has_data());
        send(&publisher, 64, number);
        assert_eq!(look(), WaitOutcome::Ready);
        assert!(subscription.has_data());
        // Ready, so a wait with a long timeout does not sleep either.
        let ready = wait_set.wait(&[&subscription], Some(Duration::from_secs(60))).expect("wait");
        assert_eq!((ready, receive(&subscription)), (WaitOutcome::Ready, Some(number)));
    };
    let cost = cost_of(|| {
        (0..WARM_UP).for_each(round);
        || (0..COUNTED).for_each(round)
    });
    assert_eq!(cost, NOTHING);
}

#[test]
fn readers_that_hold_messages_or_read_none_cost_nothing() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let holding = subscription(&there, "t", SubscriptionOptions::default());
    let _silent = subscription(&there, "t", SubscriptionOptions::default());
    let cost = cost_of(|| {
        let (publisher, holding) = (&publisher, &holding);
        let mut held = std::collections::VecDeque::with_capacity(8);
        let mut round = move |number| {
            send(publisher, 8 << 10, number);
            held.push_back(holding.take().expect("take").expect("a message"));
            if held.len() == 8 {
                held.pop_front();
            }
        };
        (0..WARM_UP).for_each(&mut round);
        move || (0..COUNTED).for_each(round)
    });
    assert_eq!(cost, NOTHING);
}

#[test]
fn history_and_keep_all_cost_nothing() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for history in [History::KeepLast(5), History::KeepAll] {
        let name = format!("{history:?}");
        let options = PublisherOptions { history, transient_local: true, ..PublisherOptions::default() };
        let publisher = publisher(&here, &name, options);
        let options = SubscriptionOptions { history, transient_local: true, ..SubscriptionOptions::default() };
        let subscription = subscription(&there, &name, options);
        let round = |number| {
            send(&publisher, 64, number);
            assert_eq!(receive(&subscription), Some(number));
        };
        let cost = cost_of(|| {
            (0..WARM_UP).for_each(round);
            || (0..COUNTED).for_each(round)
        });
        assert_eq!(cost, NOTHING, "{history:?}");
    }
}

/// Rounds between two processes; few, because on a single core each waits for the other's time slice.
const ROUNDS: u64 = 1000;

#[test]
fn neither_of_two_processes_pays_anything() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let mut peer = Peer::started(&root, "answer");
    let participant = root.join();
    let publisher = publisher(&participant, "ping", PublisherOptions::default());
    let subscription = subscription(&participant, "pong", SubscriptionOptions::default());
    let round = |number| {
        send(&publisher, 8 << 10, number);
        assert_eq!(poll(&subscription), number);
    };
    let cost = cost_of(|| {
        (0..ROUNDS).for_each(round);
        || (0..ROUNDS).for_each(round)
    });
    assert_eq!(cost, NOTHING);
    assert_eq!(peer.answer(), format!("{NOTHING:?}"));
    assert!(peer.finish().success());
}

/// What this same binary does where a test started it as another process; nothing in an ordinary run.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    assert_eq!(role, "answer");
    let participant = hazcat_core::Participant::join(&config).expect("join");
    let publisher = publisher(&participant, "pong", PublisherOptions::default());
    let subscription = subscription(&participant, "ping", SubscriptionOptions::default());
    answer("ready");
    let round = |number| {
        assert_eq!(poll(&subscription), number);
        send(&publisher, 8 << 10, number);
    };
    let cost = cost_of(|| {
        (0..ROUNDS).for_each(round);
        || (0..ROUNDS).for_each(round)
    });
    answer(format!("{cost:?}"));
    // The parent may still be reading our last message.
    while next_line().is_some() {}
}

fn poll(subscription: &Subscription) -> u64 {
    loop {
        if let Some(number) = receive(subscription) {
            return number;
        }
        std::hint::spin_loop();
    }
}
