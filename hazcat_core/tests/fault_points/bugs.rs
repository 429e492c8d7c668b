//! Bugs to order: that the tests here find what they look for is shown by having them look at a queue that is broken.
//!
//! Each of three tests is run once more, in a process of its own and its children, with a bug planted, and must fail. (A
//! missing fence cannot be made to show on a processor at will: those are planted into the models, `tests/loom_*`.)

use crate::support::*;
use crate::victim::{keep_all, small_publisher};
use hazcat_core::{fault, MessageMeta, PublisherOptions, SubscriptionOptions};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const BUG: &str = "HAZCAT_TEST_BUG";

/// Sixty of these are all that a small publisher has.
const BYTES: usize = 4096;

/// Plants the bug that the parent test ordered, if there is one.
pub fn plant_what_was_ordered() {
    if let Ok(bug) = std::env::var(BUG) {
        end_with_parent();
        fault::plant(&bug).expect("a bug that can be planted");
    }
}

/// Runs a test of this binary with a bug planted in it and in all its children. It must fail, with `complaint` in its output.
fn expect_found(bug: &str, test: &str, complaint: &str) {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(BUG, bug).stdin(Stdio::null());
    name_parent(&mut command);
    let output = command.output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{test} has not noticed {bug}");
    assert!(text.contains(complaint), "{test} failed with {bug}, but not by it:\n{text}");
    println!("{test} finds {bug}");
}

#[test]
fn what_is_held_is_left_alone() {
    plant_what_was_ordered();
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let to = publisher(&here, "held", small_publisher());
    let sub = subscription(&here, "held", SubscriptionOptions::default());
    publish(&to, 1, 1, BYTES);
    let held = sub.take().expect("take").expect("a message");
    for number in 2..=300 {
        publish(&to, 1, number, BYTES);
        assert!(sub.take().expect("take").is_some());
    }
    assert_eq!(whole(&held), Some((1, 1)), "what is held has changed");
}

#[test]
fn an_early_free_is_found() {
    expect_found("FreeHeld", "bugs::what_is_held_is_left_alone", "what is held has changed");
}

#[test]
fn what_goes_while_it_is_looked_at_is_not_taken() {
    plant_what_was_ordered();
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    for between in (1..130).step_by(3) {
        let topic = format!("looked at {between}");
        let to = Arc::new(publisher(&here, &topic, small_publisher()));
        let sub = subscription(&here, &topic, SubscriptionOptions::default());
        publish(&to, 1, 1, BYTES);
        assert_eq!(take(&sub), Some((1, 1)));
        publish(&to, 1, 2, BYTES);
        let other = Arc::clone(&to);
        fault::once("take-again.seen", move || (3..3 + between).for_each(|number| publish(&other, 1, number, BYTES)));
        let taken = sub.take().expect("take").expect("a message");
        let before = whole(&taken);
        (1000..1100).for_each(|number| publish(&to, 1, number, BYTES));
        assert!(before.is_some() && whole(&taken) == before, "a message that was taken has changed");
    }
}

#[test]
fn a_skipped_second_look_is_found() {
    expect_found(
        "NoSecondLook",
        "bugs::what_goes_while_it_is_looked_at_is_not_taken",
        "a message that was taken has changed",
    );
}

#[test]
fn others_finish_what_a_killed_publisher_began() {
    plant_what_was_ordered();
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "all", keep_all());
    let to = publisher(&here, "all", PublisherOptions::default());
    assert!(crate::kill_at(&root, "publish.before-head", 1, || std::thread::sleep(Duration::from_millis(1))));
    for number in 1..=100 {
        let mut loan = to.loan(64).expect("loan");
        fill(&mut loan, 1, number);
        let published = to.publish(loan, &MessageMeta::default());
        assert!(published.is_ok(), "others cannot go on: {published:?}");
    }
    let numbers = |who| take_all(&sub).into_iter().filter(move |(of, _)| *of == who);
    assert_eq!(numbers(1).count(), 100);
}

#[test]
fn a_publisher_that_helps_nobody_is_found() {
    expect_found("NoHelp", "bugs::others_finish_what_a_killed_publisher_began", "others cannot go on");
}
