//! Waiting: no wake-up is lost between processes, between threads, between wait sets; and nobody turns in circles.
//!
//! A wake-up that is lost is made good by the news thread, which rings all bells of its process once a second. So these tests
//! count the rounds that took nearly that long. A busy machine may delay a round as well, hardly ever so many.

mod support;

use hazcat_core::wait::WaitError;
use hazcat_core::{
    GuardCondition, History, Participant, PublisherOptions, SubscriptionOptions, WaitOutcome, WaitSet, Waitable,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::*;

/// A round that took so long was saved by the news thread.
const LOST: Duration = Duration::from_millis(800);

fn keep_last(depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

/// A wait set that sleeps at once: what is to be tested is the sleep.
fn sleeper(participant: &Arc<Participant>) -> WaitSet {
    let mut set = WaitSet::new(participant).expect("a bell");
    set.set_spin(Duration::ZERO);
    set
}

fn assert_few_lost(slow: u64, rounds: u64) {
    assert!(slow * 500 <= rounds, "{slow} of {rounds} rounds were only saved by the news thread");
}

/// Not a test: what a child runs.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    let participant = Participant::join(&config).expect("join");
    match role.as_str() {
        // Answers every ping with a pong of the same number.
        "pong" => {
            let _watchdog = Watchdog::new();
            let pings = subscription(&participant, "ping", keep_last(10));
            let pongs = publisher(&participant, "pong", PublisherOptions::default());
            let set = sleeper(&participant);
            answer("ready");
            loop {
                set.wait(&[&pings], None).expect("wait");
                while let Some((_, number)) = take(&pings) {
                    publish(&pongs, 2, number, 16);
                    if number == 0 {
                        return;
                    }
                }
            }
        }
        // Publishes on one of 64 topics when told to.
        "many" => {
            let publishers: Vec<_> = (0..64)
                .map(|index| publisher(&participant, &format!("many{index}"), PublisherOptions::default()))
                .collect();
            answer("ready");
            while let Some(line) = next_line() {
                let index: usize = line.parse().expect("a number");
                publish(&publishers[index], 1, 1, 16);
            }
        }
        // Publishes without end, to be killed in the middle of it.
        "flood" => {
            let publisher = publisher(&participant, "flood", PublisherOptions::default());
            answer("ready");
            for number in 1.. {
                publish(&publisher, 1, number, 16);
            }
        }
        other => panic!("{other}"),
    }
}

#[test]
fn thousands_of_rounds_between_processes_without_a_lost_wake_up() {
    let _watchdog = Watchdog::with_patience(Duration::from_secs(if long() { 600 } else { 120 }));
    let root = Root::new();
    let here = root.join();
    let pongs = subscription(&here, "pong", keep_last(10));
    let pings = publisher(&here, "ping", PublisherOptions::default());
    let mut peer = Peer::started(&root, "pong");
    let set = sleeper(&here);
    let rounds = if long() { 300_000 } else { 6000 };
    let mut slow = 0;
    let mut random = Random::new(1);
    for number in 1..=rounds {
        let before = Instant::now();
        publish(&pings, 1, number, 16);
        loop {
            assert_eq!(set.wait(&[&pongs], None).expect("wait"), WaitOutcome::Ready);
            let Some((_, got)) = take(&pongs) else { continue };
            assert_eq!(got, number);
            break;
        }
        slow += u64::from(before.elapsed() > LOST);
        // Now and then let the other side fall asleep for real, or be in the middle of it.
        for _ in 0..random.below(400) {
            std::hint::spin_loop();
        }
    }
    publish(&pings, 1, 0, 16);
    assert!(peer.finish().success());
    assert_few_lost(slow, rounds);
}

#[test]
fn two_wait_sets_on_one_subscription_both_wake_up() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&here, "t", keep_last(100));
    let publisher = publisher(&there, "t", PublisherOptions::default());
    let rounds: u64 = if long() { 100_000 } else { 3000 };
    let taken = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let mut slow = 0;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let set = sleeper(&here);
                while !stop.load(Ordering::Acquire) {
                    set.wait(&[&sub], Some(Duration::from_secs(5))).expect("wait");
                    while take(&sub).is_some() {
                        taken.fetch_add(1, Ordering::AcqRel);
                    }
                }
            });
        }
        for number in 1..=rounds {
            let before = Instant::now();
            publish(&publisher, 1, number, 16);
            while taken.load(Ordering::Acquire) < number {
                std::thread::yield_now();
            }
            slow += u64::from(before.elapsed() > LOST);
        }
        stop.store(true, Ordering::Release);
        publish(&publisher, 1, 0, 16);
        // The other one too, whoever took that.
        std::thread::sleep(Duration::from_millis(5));
        publish(&publisher, 1, 0, 16);
    });
    assert_few_lost(slow, rounds);
    assert_eq!(sub.take_lost().total, 0);
}

#[test]
fn a_wait_set_that_does_not_take_leaves_the_message_to_the_other() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    for number in 1..=50 {
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let set = sleeper(&here);
                        let before = Instant::now();
                        assert_eq!(set.wait(&[&sub], None).expect("wait"), WaitOutcome::Ready);
                        before.elapsed()
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(2));
            publish(&publisher, 1, number, 16);
            for waiter in waiters {
                assert!(waiter.join().expect("no panic") < LOST, "woken by the message, not by the news thread");
            }
        });
        assert_eq!(take_numbers(&sub), [number]);
    }
}

#[test]
fn guard_conditions_wake_whoever_waits_for_them() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let (ping, pong) = (GuardCondition::new(), GuardCondition::new());
    let rounds = if long() { 500_000 } else { 10_000 };
    let mut slow = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let set = sleeper(&here);
            for _ in 0..rounds {
                set.wait(&[&ping], None).expect("wait");
                assert!(ping.take());
                pong.trigger();
            }
        });
        let set = sleeper(&here);
        for _ in 0..rounds {
            let before = Instant::now();
            ping.trigger();
            set.wait(&[&pong], None).expect("wait");
            assert!(pong.take());
            slow += u64::from(before.elapsed() > LOST);
        }
    });
    assert_few_lost(slow, rounds);
    assert!(!ping.is_triggered() && !pong.take());
}

#[test]
fn a_guard_condition_wakes_all_wait_sets() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let guard = GuardCondition::new();
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let before = Instant::now();
                    assert_eq!(sleeper(&here).wait(&[&guard], None), Ok(WaitOutcome::Ready));
                    before.elapsed()
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(20));
        guard.trigger();
        for waiter in waiters {
            assert!(waiter.join().expect("no panic") < LOST);
        }
    });
}

#[test]
fn timeouts_are_kept() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let set = WaitSet::new(&here).expect("a bell");
    assert_eq!(set.wait(&[&sub], Some(Duration::ZERO)), Ok(WaitOutcome::TimedOut));
    assert_eq!(set.wait(&[], Some(Duration::from_micros(1))), Ok(WaitOutcome::TimedOut));
    for milliseconds in [1u64, 20, 150] {
        let timeout = Duration::from_millis(milliseconds);
        let before = Instant::now();
        assert_eq!(set.wait(&[&sub], Some(timeout)), Ok(WaitOutcome::TimedOut));
        assert!(before.elapsed() >= timeout, "{:?} instead of {timeout:?}", before.elapsed());
    }
    // A time that cannot be expressed is as good as none; and so is a spin.
    let guard = GuardCondition::new();
    let mut set = sleeper(&here);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            guard.trigger();
        });
        assert_eq!(set.wait(&[&sub, &guard], Some(Duration::MAX)), Ok(WaitOutcome::Ready));
    });
    set.set_spin(Duration::MAX);
    assert_eq!(set.wait(&[&guard], None), Ok(WaitOutcome::Ready));
    assert!(guard.take());
    assert_eq!(set.wait(&[&guard], Some(Duration::from_millis(1))), Ok(WaitOutcome::TimedOut));
}

#[test]
fn what_is_ready_stays_ready_until_it_is_taken() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let set = sleeper(&here);
    publish(&publisher, 1, 1, 16);
    publish(&publisher, 1, 2, 16);
    for _ in 0..3 {
        assert_eq!(set.wait(&[&sub], None), Ok(WaitOutcome::Ready));
    }
    take(&sub);
    assert_eq!(set.wait(&[&sub], None), Ok(WaitOutcome::Ready));
    take(&sub);
    assert_eq!(set.wait(&[&sub], Some(Duration::from_millis(1))), Ok(WaitOutcome::TimedOut));
    // The past of a transient-local publisher is something to take as well.
    let keeper =
        support::publisher(&here, "tl", PublisherOptions { transient_local: true, ..PublisherOptions::default() });
    publish(&keeper, 1, 1, 16);
    let late = subscription(&here, "tl", SubscriptionOptions { transient_local: true, ..keep_last(10) });
    assert_eq!(set.wait(&[&sub, &late], None), Ok(WaitOutcome::Ready));
    assert!(late.is_ready() && !sub.is_ready());
}

fn thread_cpu_time() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live timespec to be filled in.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) }, 0);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[test]
fn refused_messages_wake_nobody_for_long() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let refusing = SubscriptionOptions { accept: Box::new(|info| info.traits == 1), ..keep_last(10) };
    let sub = subscription(&here, "t", refusing);
    let bad = publisher(&there, "t", PublisherOptions::default());
    let good = publisher(&there, "t", PublisherOptions { traits: 1, ..PublisherOptions::default() });
    let set = sleeper(&here);
    publish(&bad, 2, 1, 16);
    let (before, cpu) = (Instant::now(), thread_cpu_time());
    assert_eq!(set.wait(&[&sub], Some(Duration::from_millis(300))), Ok(WaitOutcome::TimedOut));
    let (waited, cpu) = (before.elapsed(), thread_cpu_time() - cpu);
    assert!(cpu < waited / 3, "{cpu:?} of processor time in a wait of {waited:?}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=100 {
                publish(&bad, 2, number, 16);
                std::thread::sleep(Duration::from_millis(1));
            }
            publish(&good, 1, 1, 16);
        });
        assert_eq!(set.wait(&[&sub], None), Ok(WaitOutcome::Ready));
    });
    assert_eq!(take_all(&sub), [(1, 1)]);
}

#[test]
fn a_full_subscription_does_not_turn_a_wait_into_a_loop() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let refusing = SubscriptionOptions { accept: Box::new(|info| info.traits == 1), ..keep_last(100) };
    let sub = subscription(&here, "t", refusing);
    let good = publisher(&here, "t", PublisherOptions { traits: 1, ..PublisherOptions::default() });
    let bad = publisher(&here, "t", PublisherOptions::default());
    for number in 1..=25 {
        publish(&good, 1, number, 16);
    }
    let held: Vec<_> = (0..25).map(|_| sub.take().expect("take").expect("a message")).collect();
    let set = sleeper(&here);
    publish(&bad, 2, 1, 16);
    assert_eq!(set.wait(&[&sub], Some(Duration::from_millis(50))), Ok(WaitOutcome::TimedOut));
    publish(&good, 1, 26, 16);
    assert_eq!(set.wait(&[&sub], None), Ok(WaitOutcome::Ready));
    drop(held);
    assert_eq!(take_numbers(&sub), [26]);
}

#[test]
fn one_thread_at_a_time_waits_on_a_wait_set() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let guard = GuardCondition::new();
    let set = sleeper(&here);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| set.wait(&[&guard], None));
        wait_until("the first waits", || set.wait(&[&guard], Some(Duration::ZERO)) == Err(WaitError::Busy));
        guard.trigger();
        assert_eq!(waiter.join().expect("no panic"), Ok(WaitOutcome::Ready));
    });
    assert_eq!(set.wait(&[&guard], None), Ok(WaitOutcome::Ready));
}

#[test]
fn there_are_as_many_wait_sets_as_bells_and_they_come_back() {
    let root = Root::new();
    let here = root.join();
    let mut sets: Vec<WaitSet> = std::iter::from_fn(|| WaitSet::new(&here).ok()).collect();
    assert_eq!(sets.len(), hazcat_core::participant::MAX_BELLS);
    assert_eq!(WaitSet::new(&here).err(), Some(WaitError::NoBell));
    sets.pop();
    let last = WaitSet::new(&here).expect("one is free");
    let sub = subscription(&here, "t", keep_last(1));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    publish(&publisher, 1, 1, 16);
    assert_eq!(last.wait(&[&sub], None), Ok(WaitOutcome::Ready));
}

#[test]
fn one_of_sixty_four_subscriptions_wakes_the_wait() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let subs: Vec<_> = (0..64).map(|index| subscription(&here, &format!("many{index}"), keep_last(10))).collect();
    let mut peer = Peer::started(&root, "many");
    let set = sleeper(&here);
    let items: Vec<&dyn Waitable> = subs.iter().map(|sub| sub as &dyn Waitable).collect();
    let mut random = Random::seeded("one_of_sixty_four");
    let rounds = 500;
    let mut slow = 0;
    for _ in 0..rounds {
        let index = random.below(64);
        peer.send(&index.to_string());
        let before = Instant::now();
        assert_eq!(set.wait(&items, None), Ok(WaitOutcome::Ready));
        slow += u64::from(before.elapsed() > LOST);
        let ready: Vec<usize> = (0..64).filter(|at| subs[*at].has_data()).collect();
        assert_eq!(ready, [index as usize]);
        assert_eq!(take(&subs[index as usize]), Some((1, 1)));
    }
    assert_few_lost(slow, rounds);
}

#[test]
fn a_publisher_that_is_killed_takes_no_wake_up_with_it() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "flood", keep_last(1));
    let anchor = publisher(&here, "flood", PublisherOptions::default());
    let set = sleeper(&here);
    let mut random = Random::seeded("a_publisher_that_is_killed");
    for _ in 0..if long() { 300 } else { 15 } {
        let mut flood = Peer::started(&root, "flood");
        std::thread::sleep(Duration::from_micros(random.below(3000)));
        flood.kill();
        // Whatever it left: the wait ends for every message there is, and sleeps when there is none.
        while set.wait(&[&sub], Some(Duration::from_millis(5))) == Ok(WaitOutcome::Ready) {
            take_numbers(&sub);
        }
        assert!(!sub.has_data());
        // And the living are heard at once.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(2));
                publish(&anchor, 7, 7, 16);
            });
            assert_eq!(set.wait(&[&sub], None), Ok(WaitOutcome::Ready));
        });
        assert_eq!(take(&sub), Some((7, 7)));
    }
}
