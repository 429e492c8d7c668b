//! Two publishers on a ring of one slot, and somebody who watches.

use crate::harness::{first, holds, is_found, message, seen, Ring, EVERYTHING};
use hazcat_core::ids::Sequence;
use hazcat_core::ring::{AppendError, Peek, RingError};
use hazcat_core::sync::seeded::Fault;
use loom::thread;
use std::convert::Infallible;
use std::sync::Arc;

type Appended = Result<Sequence, AppendError<Infallible>>;

fn append(ring: &Ring<1>, publisher: u16, chunk: u32) -> Appended {
    ring.view().append(message(publisher, chunk), |_| Ok::<(), Infallible>(()))
}

/// A publishes two messages, the second over what it has seen ahead; B publishes one; all over one slot.
fn two_publishers() {
    let ring = Arc::new(Ring::<1>::new());
    let a = thread::spawn({
        let ring = Arc::clone(&ring);
        move || {
            let one = append(&ring, 0, 0);
            let ahead = one.as_ref().ok().map(|at| ring.view().look_ahead(Sequence(at.0 + 1)));
            let two = ring.view().append_over(ahead, message(0, 1), |_| Ok::<(), Infallible>(()));
            [one, two]
        }
    });
    let b = thread::spawn({
        let ring = Arc::clone(&ring);
        move || append(&ring, 1, 0)
    });
    let a = a.join().unwrap().map(|at| at.expect("nobody scribbles").0);
    let b = b.join().unwrap().expect("nobody scribbles").0;

    let begin = first::<1>().0;
    assert!(a[0] < a[1], "order of one publisher: {a:?}");
    let mut all = [a[0], a[1], b];
    all.sort_unstable();
    // Three swaps, three positions in a row: each swap put a lap over the one exactly before it.
    assert_eq!(all, [begin, begin + 1, begin + 2], "positions are handed out once, without a gap");
    assert_eq!(ring.view().helped_head().0, begin + 3);
    let newest = if b == begin + 2 { message(1, 0) } else { message(0, 1) };
    match ring.view().peek(Sequence(begin + 2)) {
        Peek::Present(word) => assert_eq!(word.message_ref(), Some(newest)),
        other => panic!("the newest message is not there: {other:?}"),
    }
    seen(if b == begin { "B was first" } else { "B was not first" });
}

#[test]
fn positions_are_handed_out_once_and_in_order() {
    holds("ring/two-publishers", EVERYTHING, &["B was first", "B was not first"], two_publishers);
}

#[test]
fn twin_a_swap_over_any_lap_is_found() {
    is_found(
        "ring/two-publishers, swap over any lap",
        EVERYTHING,
        Some(Fault::SwapOverAnyLap),
        "positions are handed out once",
        two_publishers,
    );
}

#[test]
fn twin_believing_what_was_seen_for_another_position_is_found() {
    is_found(
        "ring/two-publishers, ahead of any position",
        EVERYTHING,
        Some(Fault::AheadOfAnyPosition),
        "nobody scribbles",
        two_publishers,
    );
}

/// Two publishers of one message each, and a watcher who never sees the ring go back or the head run ahead.
fn watched_publishers() {
    let ring = Arc::new(Ring::<1>::new());
    let publishers = [0, 1].map(|publisher| {
        let ring = Arc::clone(&ring);
        thread::spawn(move || {
            append(&ring, publisher, 0).expect("nobody scribbles");
        })
    });
    let watcher = thread::spawn({
        let ring = Arc::clone(&ring);
        move || {
            let lap =
                || hazcat_core::ring::word::SlotWord(ring.slots[0].load(loom::sync::atomic::Ordering::Acquire)).lap();
            // In a ring of one slot, a lap is a position.
            let (before, head, after) = (lap(), ring.view().head().0 as u32, lap());
            assert!(before <= after, "the slot went back from {before} to {after}");
            assert!(head <= after + 1, "head {head} runs ahead of slot {after}");
            assert!(head >= before, "head {head} lags behind slot {before} by more than one");
            if head == before {
                seen("the head lags behind");
            }
        }
    });
    for publisher in publishers {
        publisher.join().unwrap();
    }
    watcher.join().unwrap();
}

#[test]
fn the_head_lags_by_at_most_one_and_nothing_goes_back() {
    holds("ring/watched", Some(3), &["the head lags behind"], watched_publishers);
}

#[test]
fn a_ring_that_contradicts_itself_is_called_corrupt() {
    holds("ring/scribbled", EVERYTHING, &["a scribbled head was reported"], || {
        let ring = Arc::new(Ring::<1>::new());
        let scribbler = thread::spawn({
            let ring = Arc::clone(&ring);
            move || ring.head.store(77, loom::sync::atomic::Ordering::Relaxed)
        });
        let publisher = thread::spawn({
            let ring = Arc::clone(&ring);
            move || append(&ring, 0, 0)
        });
        scribbler.join().unwrap();
        if publisher.join().unwrap() == Err(AppendError::Ring(RingError::Corrupt)) {
            seen("a scribbled head was reported");
        }
    });
}
