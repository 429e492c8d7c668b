//! Publishers that live: every message ends the sleep that waits for it.

use crate::harness::{first, holds, is_found};
use crate::topic::{never_rung, Fate, Topic, Twin};
use hazcat_core::sync::seeded::Fault;
use loom::thread;
use std::sync::Arc;

/// One publisher of two messages, and a sleeper who waits for one after the other.
fn two_rounds(twin: Twin) {
    let topic = Topic::new();
    let publisher = thread::spawn({
        let topic = Arc::clone(&topic);
        move || {
            let last = never_rung();
            for chunk in 0..2 {
                topic.publish(0, chunk, &last, Fate::Lives, twin);
            }
        }
    });
    let sleeper = thread::spawn(move || sleep_twice(&topic, twin));
    publisher.join().unwrap();
    sleeper.join().unwrap();
}

fn sleep_twice(topic: &Topic, twin: Twin) {
    let mut cursor = first::<2>();
    for _ in 0..2 {
        topic.wait(cursor, twin);
        assert!(topic.take(&mut cursor).is_some(), "the wait ended for nothing");
    }
}

const WANTED: [&str; 5] =
    ["it slept", "the sleep did not begin", "it was woken for nothing", "nobody slept", "it rang"];

#[test]
fn every_message_ends_the_sleep_that_waits_for_it() {
    let mut wanted = WANTED.to_vec();
    wanted.push("it need not ring");
    holds("wake/two-rounds", Some(5), &wanted, || two_rounds(Twin::None));
}

fn is_found_with(name: &str, fault: Option<Fault>, twin: Twin) {
    is_found(name, Some(5), fault, "deadlock", move || two_rounds(twin));
}

#[test]
fn twin_without_the_sleepers_fence_is_found() {
    is_found_with("wake/two-rounds, no sleeper fence", None, Twin::NoSleeperFence);
}

#[test]
fn twin_without_the_publishers_fence_is_found() {
    is_found_with("wake/two-rounds, no publisher fence", None, Twin::NoPublisherFence);
}

#[test]
fn twin_with_the_bell_read_late_is_found() {
    is_found_with("wake/two-rounds, bell read late", None, Twin::LateValue);
}

#[test]
fn twin_that_takes_the_marks_behind_the_ring_is_found() {
    is_found_with("wake/two-rounds, marks taken last", None, Twin::TakesMarksLast);
}

#[test]
fn twin_that_arms_without_a_change_is_found() {
    is_found_with("wake/two-rounds, armed without a change", Some(Fault::ArmWithoutChange), Twin::None);
}

/// Two publishers of one message each: in one process (they share what they remember of the bell) or in two.
fn two_publishers(in_one_process: bool) {
    let topic = Topic::new();
    let first_last = never_rung();
    let second_last = if in_one_process { Arc::clone(&first_last) } else { never_rung() };
    let publishers = [(0, first_last), (1, second_last)].map(|(publisher, last)| {
        let topic = Arc::clone(&topic);
        thread::spawn(move || topic.publish(publisher, 0, &last, Fate::Lives, Twin::None))
    });
    let sleeper = thread::spawn(move || sleep_twice(&topic, Twin::None));
    for publisher in publishers {
        assert!(publisher.join().unwrap());
    }
    sleeper.join().unwrap();
}

#[test]
fn two_processes_do_not_take_each_others_wake_ups() {
    holds("wake/two-processes", Some(2), &WANTED, || two_publishers(false));
}

#[test]
fn two_threads_of_a_process_do_not_take_each_others_wake_ups() {
    holds("wake/two-threads", Some(2), &WANTED, || two_publishers(true));
}
