//! Loans in both directions: what may be held and returned how often, and that a loan is the very memory that is read.

mod support;

use hazcat_core::{
    History, LoanError, MessageMeta, NotHeld, PublishError, PublisherOptions, RawSample, SubscriptionOptions, TakeError,
};
use std::os::unix::fs::MetadataExt;
use support::*;

fn keep_last(depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

/// Not a test: what a child runs.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    assert_eq!(role, "look");
    let participant = hazcat_core::Participant::join(&config).expect("join");
    let sub = subscription(&participant, "t", keep_last(10));
    answer("ready");
    let mut held = None;
    while let Some(line) = next_line() {
        match line.as_str() {
            // Where the message lies, in the file system's terms.
            "take" => {
                let sample = sub.take_raw().expect("take").expect("a message");
                held = Some(sample);
                answer(place_of(sample.ptr.as_ptr().addr()));
            }
            "first byte" => {
                let sample: RawSample = held.expect("held");
                // SAFETY: the sample is held.
                answer(unsafe { sample.ptr.as_ptr().read_volatile() });
            }
            "writable" => {
                let address = held.expect("held").ptr.as_ptr().addr();
                answer(maps_line(address).expect("mapped").split_whitespace().nth(1).expect("rights").to_owned());
            }
            other => panic!("{other}"),
        }
    }
}

/// Device, inode and offset of the byte at an address of this process.
fn place_of(address: usize) -> String {
    let line = maps_line(address).expect("mapped");
    let mut parts = line.split_whitespace();
    let start = parts.next().and_then(|range| range.split('-').next()).expect("a range");
    let offset = u64::from_str_radix(parts.nth(1).expect("an offset"), 16).expect("hexadecimal");
    let (device, inode) = (parts.next().expect("a device"), parts.next().expect("an inode"));
    let start = usize::from_str_radix(start, 16).expect("hexadecimal");
    format!("{device}/{inode}+{}", offset + (address - start) as u64)
}

fn maps_line(address: usize) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let contains = |line: &&str| {
        let range = line.split_whitespace().next().and_then(|range| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        range.is_some_and(|(from, to)| (number(from)..number(to)).contains(&address))
    };
    maps.lines().find(contains).map(str::to_owned)
}

#[test]
fn a_loan_is_the_same_memory_in_both_processes() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let mut peer = Peer::started(&root, "look");
    for bytes in [1usize, 4096, 3 << 20] {
        let loan = publisher.loan_raw(bytes).expect("loan");
        let place = place_of(loan.ptr.as_ptr().addr());
        // SAFETY: the loan is ours.
        unsafe { loan.ptr.as_ptr().write(17) };
        publisher.publish_raw(loan, bytes, &MessageMeta::default()).expect("publish");
        assert_eq!(peer.ask("take"), place, "same file, same offset");
        assert_eq!(peer.ask("first byte"), "17");
        // What is published is not to be written to, and the library does not; that it is one memory shows all the same.
        // SAFETY: the chunk is held by the peer, so nobody else uses it.
        unsafe { loan.ptr.as_ptr().write_volatile(18) };
        assert_eq!(peer.ask("first byte"), "18");
        assert_eq!(peer.ask("writable"), "r--s", "read-only for everybody but the publisher");
    }
    assert!(peer.finish().success());
}

#[test]
fn the_file_a_loan_lies_in_is_the_publishers_segment() {
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let loan = publisher.loan(100).expect("loan");
    let files = root.files_in("payload");
    assert_eq!(files.len(), 1);
    let meta = std::fs::metadata(&files[0]).expect("segment");
    assert!(place_of(loan.as_ptr().addr()).contains(&format!("/{}+", meta.ino())));
    assert_eq!(meta.mode() & 0o777, 0o600);
    assert!(meta.blocks() * 512 >= meta.len(), "all of it is reserved");
}

#[test]
fn a_loan_that_is_dropped_or_returned_is_lent_again() {
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let first = publisher.loan(5000).expect("loan").as_ptr();
    let again = publisher.loan_raw(5000).expect("loan");
    assert_eq!(again.ptr.as_ptr().cast_const(), first);
    publisher.return_raw(again);
    assert_eq!(publisher.loan(5000).expect("loan").as_ptr(), first);
    assert_eq!(publisher.next_number(), 1, "nothing was published");
}

#[test]
fn what_is_not_on_loan_is_neither_published_nor_given_back_twice() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let (first, second) =
        (publisher(&here, "t", PublisherOptions::default()), publisher(&here, "t", PublisherOptions::default()));
    let meta = MessageMeta::default();

    let loan = first.loan_raw(64).expect("loan");
    first.return_raw(loan);
    first.return_raw(loan);
    assert_eq!(first.publish_raw(loan, 64, &meta), Err(PublishError::NotLoaned), "returned before");
    let (a, b) = (first.loan(64).expect("loan"), first.loan(64).expect("loan"));
    assert_ne!(a.as_ptr(), b.as_ptr(), "a chunk returned twice is lent once");
    // The chunk is on loan again, but not by that loan.
    assert_eq!(first.publish_raw(loan, 64, &meta), Err(PublishError::NotLoaned));
    first.return_raw(loan);
    let c = first.loan(64).expect("loan");
    assert!(c.as_ptr() != a.as_ptr() && c.as_ptr() != b.as_ptr());
    drop((a, b, c));

    let loan = first.loan_raw(64).expect("loan");
    first.publish_raw(loan, 64, &meta).expect("publish");
    assert_eq!(first.publish_raw(loan, 64, &meta), Err(PublishError::NotLoaned), "published before");
    first.return_raw(loan);
    let held = sub.take().expect("take").expect("a message");
    for _ in 0..200 {
        let mut loan = first.loan(64).expect("loan");
        loan.fill(0xee);
        first.publish(loan, &meta).expect("publish");
    }
    assert!(held.iter().all(|byte| *byte != 0xee), "what was published is not lent while it is held");

    let foreign = first.loan(64).expect("loan");
    assert_eq!(second.publish(foreign, &meta), Err(PublishError::NotLoaned));
    let foreign = first.loan_raw(64).expect("loan");
    assert_eq!(second.publish_raw(foreign, 64, &meta), Err(PublishError::NotLoaned));
    second.return_raw(foreign);
    first.publish_raw(foreign, 64, &meta).expect("still the loan it was");
    // Too long: the loan is taken back.
    let loan = first.loan_raw(64).expect("loan");
    assert!(matches!(first.publish_raw(loan, loan.capacity + 1, &meta), Err(PublishError::TooLong { .. })));
    assert_eq!(first.publish_raw(loan, 64, &meta), Err(PublishError::NotLoaned));
}

#[test]
fn a_loan_outlives_the_shutdown_of_its_publisher() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    publish(&publisher, 1, 1, 64);
    let (mut loan, raw) = (publisher.loan(200_000).expect("loan"), publisher.loan_raw(64).expect("loan"));
    publisher.shutdown();
    publisher.shutdown();
    loan.fill(7);
    assert!(loan.iter().all(|byte| *byte == 7));
    assert_eq!(publisher.publish(loan, &MessageMeta::default()), Err(PublishError::ShutDown));
    assert_eq!(publisher.publish_raw(raw, 1, &MessageMeta::default()), Err(PublishError::ShutDown));
    publisher.return_raw(raw);
    assert!(matches!(publisher.loan(1), Err(LoanError::ShutDown { .. })));
    assert_eq!(publisher.next_number(), 0);
    assert_eq!(take_numbers(&sub), [1], "what was published before is still there");
    drop(publisher);
    drop(sub);
    drop(here);
    root.assert_empty();
}

#[test]
fn a_segment_nothing_was_published_in_goes_with_its_publisher() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    publish(&publisher, 1, 1, 64);
    drop(publisher.loan(1 << 20).expect("loan"));
    assert_eq!(root.files_in("payload").len(), 2);
    drop(publisher);
    assert_eq!(root.files_in("payload").len(), 1, "only what is to be read remains");
    assert_eq!(take_numbers(&sub), [1]);
}

#[test]
fn twenty_five_messages_can_be_held_and_a_wait_does_not_spin_when_they_are() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(100));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    for number in 1..=25 {
        publish(&publisher, 1, number, 64);
    }
    let mut held: Vec<_> = (0..25).map(|_| sub.take().expect("take").expect("a message")).collect();
    assert!(!sub.has_data(), "no data, whether or not it could be taken");
    publish(&publisher, 1, 26, 64);
    assert!(sub.has_data());
    let error = sub.take().err().expect("too many");
    assert!(matches!(error, TakeError::TooManyHeld { limit: 25 }), "{error}");
    for (index, sample) in held.iter().enumerate() {
        assert_eq!(expect_whole(sample), (1, index as u64 + 1));
    }
    held.remove(12);
    assert_eq!(take(&sub), Some((1, 26)), "nothing was lost by asking");
    assert_eq!(sub.take_lost().total, 0);
}

#[test]
fn a_held_message_stays_whole_whatever_is_published_meanwhile() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(3));
    let publisher = publisher(&here, "t", PublisherOptions { byte_budget: 1 << 20, ..PublisherOptions::default() });
    let mut held = Vec::new();
    for number in 1..=20_000u64 {
        publish(&publisher, 1, number, 64 + (number as usize % 50) * 64);
        if number % 833 == 0 {
            held.push((number, sub.take().expect("take").expect("a message")));
            while take(&sub).is_some() {}
        }
    }
    assert_eq!(held.len(), 24);
    for (number, sample) in &held {
        assert_eq!(expect_whole(sample), (1, number - 2), "the oldest of three at that time");
    }
    // Given back in any order, their memory is used again.
    while held.len() > 1 {
        held.swap_remove(held.len() / 2);
        publish(&publisher, 1, 1, 64);
    }
}

#[test]
fn a_message_is_returned_once() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions { byte_budget: 65_536, ..PublisherOptions::default() });
    publish(&publisher, 1, 1, 64);
    let first = sub.take_raw().expect("take").expect("a message");
    assert_eq!(sub.return_raw(first.index), Ok(()));
    assert_eq!(sub.return_raw(first.index), Err(NotHeld));
    // The place is used again: the old return does not free the new message.
    publish(&publisher, 1, 2, 64);
    let second = sub.take_raw().expect("take").expect("a message");
    assert_eq!(sub.return_raw(first.index), Err(NotHeld));
    for number in 3..5000 {
        publish(&publisher, 1, number, 64);
    }
    // SAFETY: still held.
    let bytes = unsafe { std::slice::from_raw_parts(second.ptr.as_ptr(), second.len) };
    assert_eq!(whole(bytes), Some((1, 2)));
    assert_eq!(sub.return_raw(second.index), Ok(()));
}

#[test]
fn a_subscription_holds_while_another_one_reads_on() {
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let (slow, quick) = (subscription(&here, "t", keep_last(5)), subscription(&there, "t", keep_last(5)));
    let publisher = publisher(&there, "t", PublisherOptions::default());
    publish(&publisher, 1, 1, 256);
    let held = slow.take().expect("take").expect("a message");
    for number in 2..=10_000 {
        publish(&publisher, 1, number, 256);
        let expected = if number == 2 { vec![1, 2] } else { vec![number] };
        assert_eq!(take_numbers(&quick), expected);
    }
    assert_eq!(expect_whole(&held), (1, 1));
    drop(held);
    assert_eq!(take_numbers(&slow), (9996..=10_000).collect::<Vec<_>>());
}

#[test]
fn a_forked_child_gets_errors_and_leaves_the_parent_alone() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    publish(&publisher, 1, 1, 64);
    publish(&publisher, 1, 2, 64);
    let sample = sub.take().expect("take").expect("a message");
    let raw = publisher.loan_raw(64).expect("loan");
    // SAFETY: the child only calls what is under test, and leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let meta = MessageMeta::default();
        let checks = [
            matches!(publisher.loan(64), Err(LoanError::Forked { .. })),
            publisher.publish_raw(raw, 64, &meta) == Err(PublishError::Forked),
            matches!(sub.take(), Err(TakeError::Forked)),
            !sub.has_data(),
            sub.unread_estimate() == 0,
            publisher.is_acknowledged(),
        ];
        publisher.return_raw(raw);
        drop(sample);
        // What the child maps now may lie where the parent's memory was; dropping must not take it away.
        let mapped: Vec<Vec<u8>> = (0..64).map(|_| vec![1u8; 1 << 20]).collect();
        drop(sub);
        drop(publisher);
        drop(here);
        let intact = mapped.iter().all(|block| block.iter().all(|byte| *byte == 1));
        let code = checks.iter().position(|check| !check).map_or(0, |at| at as i32 + 1);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if intact { code } else { 99 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "the child was killed by signal {}", libc::WTERMSIG(status));
    assert_eq!(libc::WEXITSTATUS(status), 0, "the number of the check that failed");
    assert_eq!(expect_whole(&sample), (1, 1));
    drop(sample);
    publisher.publish_raw(raw, 64, &MessageMeta::default()).expect("still the parent's loan");
    assert_eq!(take(&sub), Some((1, 2)));
    assert!(sub.take().expect("take").is_some());
}
