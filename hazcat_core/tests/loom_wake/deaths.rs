//! Publishers that end between the swap and the wake: killed, which is news to the sleeper's process, or stopped, which is
//! not.

use crate::harness::{first, holds, is_found, message};
use crate::topic::{never_rung, Fate, Topic, Twin, ENDS};
use hazcat_core::sync::seeded::Fault;
use loom::thread;
use std::sync::Arc;

const PREEMPTIONS: Option<usize> = Some(2);

/// One publisher is killed at `fate`, whereupon the sleeper's process hears of it; one lives, in the sleeper's process or
/// not. The sleeper waits for both messages.
fn killed(fate: Fate, neighbour: bool, twin: Twin) {
    let topic = Topic::new();
    // What the sleeper's process remembers of its own bell.
    let own = never_rung();
    let killed = thread::spawn({
        let (topic, own) = (Arc::clone(&topic), Arc::clone(&own));
        move || {
            topic.publish(0, 0, &never_rung(), fate, twin);
            topic.news(&own, twin);
        }
    });
    let living = thread::spawn({
        let topic = Arc::clone(&topic);
        let last = if neighbour { own } else { never_rung() };
        move || assert!(topic.publish(1, 0, &last, Fate::Lives, twin))
    });
    let sleeper = thread::spawn(move || {
        let mut cursor = first::<2>();
        for _ in 0..2 {
            topic.wait(cursor, twin);
            assert!(topic.take(&mut cursor).is_some(), "the wait ended for nothing");
        }
    });
    killed.join().unwrap();
    living.join().unwrap();
    sleeper.join().unwrap();
}

#[test]
fn a_killed_publisher_delays_nothing_once_its_death_is_news() {
    for fate in ENDS {
        let name = format!("wake/killed, {fate:?}");
        holds(&name, PREEMPTIONS, &["it slept", "it rang"], move || killed(fate, false, Twin::None));
    }
}

#[test]
fn the_living_publisher_may_be_the_sleepers_neighbour() {
    holds("wake/killed, beside a neighbour", PREEMPTIONS, &["it slept", "it rang"], || {
        killed(Fate::EndsBeforeRing, true, Twin::None);
    });
}

#[test]
fn twin_without_news_is_found() {
    for fate in ENDS {
        let name = format!("wake/killed, {fate:?}, no news");
        is_found(&name, PREEMPTIONS, None, "deadlock", move || killed(fate, false, Twin::NoNews));
    }
}

#[test]
fn twin_whose_news_trust_an_earlier_ring_is_found() {
    is_found("wake/killed, news with the ringer's shortcut", PREEMPTIONS, None, "deadlock", || {
        killed(Fate::EndsBeforeRing, true, Twin::NewsWithShortcut);
    });
}

/// One publisher stops at `fate` and nobody hears of it; the sleeper waits for the other's message. Both may be threads of
/// one process.
fn stopped(fate: Fate, in_one_process: bool, twin: Twin) {
    let topic = Topic::new();
    let last = never_rung();
    let stopped = thread::spawn({
        let (topic, last) = (Arc::clone(&topic), Arc::clone(&last));
        move || {
            topic.publish(0, 0, &last, fate, twin);
        }
    });
    let living = thread::spawn({
        let topic = Arc::clone(&topic);
        let last = if in_one_process { last } else { never_rung() };
        move || assert!(topic.publish(1, 0, &last, Fate::Lives, twin))
    });
    let sleeper = thread::spawn(move || {
        let mut cursor = first::<2>();
        loop {
            topic.wait(cursor, twin);
            let taken = topic.take(&mut cursor).expect("the wait ended for nothing");
            if taken == message(1, 0) {
                return;
            }
        }
    });
    stopped.join().unwrap();
    living.join().unwrap();
    sleeper.join().unwrap();
}

#[test]
fn a_stopped_publisher_takes_nothing_from_others() {
    for fate in ENDS {
        for in_one_process in [false, true] {
            let name = format!("wake/stopped, {fate:?}, {} process", if in_one_process { "one" } else { "another" });
            holds(&name, PREEMPTIONS, &["it slept", "it rang"], move || stopped(fate, in_one_process, Twin::None));
        }
    }
}

#[test]
fn twin_that_takes_the_marks_before_the_ring_is_found() {
    is_found("wake/stopped, marks taken first", PREEMPTIONS, None, "deadlock", || {
        stopped(Fate::EndsBeforeWake, false, Twin::TakesMarksFirst);
    });
}

#[test]
fn twin_that_remembers_a_ring_before_the_wake_is_found() {
    let fault = Some(Fault::RememberedBeforeWake);
    is_found("wake/stopped, ring remembered early", PREEMPTIONS, fault, "deadlock", || {
        stopped(Fate::EndsBeforeWake, true, Twin::None);
    });
}
