//! The record of a publisher that has died is swept and given to another one while a reader stands at the dead one's
//! message: whoever has validated it finds the dead one's segment under it, not the new one's.

use crate::harness::{first, holds, is_found, message, run, seen, Ring, Role, EVERYTHING};
use crate::pool::Chunks;
use hazcat_core::ids::Sequence;
use hazcat_core::ring::held::{self, HeldScan};
use hazcat_core::ring::word::Tombstone;
use hazcat_core::ring::Peek;
use hazcat_core::sync::seeded::Fault;
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

const PUBLISHER: u16 = 0;
/// Owner words.
const FREE: u64 = 0;
const DEAD: u64 = 0x1_0001;
const SWEEPER: u64 = 0x1_0002;
const NEWCOMER: u64 = 0x1_0003;
/// Segment ids: never used twice.
const OLD_SEGMENT: u64 = 11;
const NEW_SEGMENT: u64 = 12;

/// Two guards, either of which is enough: the sweeper looks who holds a message, the reader reads the segment's id before
/// its second look.
#[derive(Clone, Copy)]
struct Guards {
    sweeper_looks: bool,
    reader_is_early: bool,
}

const BOTH: Guards = Guards { sweeper_looks: true, reader_is_early: true };

struct Shared {
    ring: Ring<1>,
    held: AtomicU64,
    /// `PublisherRecord::owner` and `segments`.
    owner: AtomicU64,
    segment: AtomicU64,
    /// The same chunk in the two segments.
    old: Chunks<1>,
    new: Chunks<1>,
}

/// `sweep::sweep_publisher` of a table that is full, so that unread messages are dropped.
fn sweeper(shared: &Shared, guards: Guards) {
    let owner = shared.owner.load(Ordering::Acquire);
    if owner != DEAD {
        return;
    }
    for (at, message) in shared.ring.view().messages() {
        shared.ring.view().remove(at, message, Tombstone::Dropped);
    }
    let scan = HeldScan::start();
    let held = scan.read(&shared.held);
    scan.finish();
    if held.is_some() && guards.sweeper_looks {
        seen("the record was left because a message was held");
        return;
    }
    if shared.owner.compare_exchange(owner, SWEEPER, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        shared.segment.store(0, Ordering::Relaxed);
        shared.owner.store(FREE, Ordering::Release);
    }
}

/// `Topic::claim_publisher`, `Publisher::new`, and one message.
fn newcomer(shared: &Shared) {
    if shared.owner.compare_exchange(FREE, NEWCOMER, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    shared.segment.store(0, Ordering::Relaxed);
    shared.new.write(0, NEW_SEGMENT);
    shared.segment.store(NEW_SEGMENT, Ordering::Release);
    let appended = shared.ring.view().append(message(PUBLISHER, 0), |claimed| {
        shared.new.set_sequence(0, claimed);
        Ok::<(), ()>(())
    });
    appended.expect("nobody scribbles");
}

/// `Subscription::examine` at the two positions.
fn reader(shared: &Shared, guards: Guards) {
    for offset in 0..2 {
        let at = Sequence(first::<1>().0 + offset);
        let Peek::Present(word) = shared.ring.view().peek(at) else { continue };
        let Some(found) = word.message_ref() else { continue };
        held::announce(&shared.held, found);
        let early = shared.segment.load(Ordering::Acquire);
        if shared.ring.view().still_holds(at, word) {
            let id = if guards.reader_is_early { early } else { shared.segment.load(Ordering::Acquire) };
            let (chunks, wanted) = if offset == 0 { (&shared.old, OLD_SEGMENT) } else { (&shared.new, NEW_SEGMENT) };
            assert_eq!(id, wanted, "another publisher's segment under a validated message");
            assert_eq!(chunks.sequence(0), at);
            assert_eq!(chunks.read(0), wanted);
            seen(if offset == 0 {
                "the dead publisher's message was read"
            } else {
                "the new publisher's message was read"
            });
        } else {
            seen("the second look failed");
        }
        held::clear(&shared.held);
    }
}

fn model(guards: Guards) {
    let shared = Arc::new(Shared {
        ring: Ring::new(),
        held: AtomicU64::new(held::NOTHING),
        owner: AtomicU64::new(DEAD),
        segment: AtomicU64::new(OLD_SEGMENT),
        old: Chunks::new(),
        new: Chunks::new(),
    });
    shared.old.write(0, OLD_SEGMENT);
    shared.old.set_sequence(0, first::<1>());
    shared.ring.view().append(message(PUBLISHER, 0), |_| Ok::<(), ()>(())).expect("nobody scribbles");
    let sweeps: Role<Shared> = Box::new(move |shared| {
        sweeper(shared, guards);
        newcomer(shared);
    });
    run(shared, vec![sweeps, Box::new(move |shared| reader(shared, guards))]);
}

#[test]
fn a_validated_message_lies_in_its_own_publishers_segment() {
    let wanted = [
        "the record was left because a message was held",
        "the dead publisher's message was read",
        "the new publisher's message was read",
        "the second look failed",
    ];
    holds("reuse/publisher-record", EVERYTHING, &wanted, || model(BOTH));
}

const EXPECTED: &str = "another publisher's segment";

#[test]
fn twin_that_sweeps_unseen_under_a_late_reader_is_found() {
    is_found("reuse/publisher-record, swept unseen", EVERYTHING, None, EXPECTED, || {
        model(Guards { sweeper_looks: false, reader_is_early: false });
    });
}

#[test]
fn twin_without_the_sweepers_fence_is_found() {
    let fault = Some(Fault::NoOwnerFence);
    is_found("reuse/publisher-record, no owner fence", EVERYTHING, fault, EXPECTED, || model(BOTH));
}
