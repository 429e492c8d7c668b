//! The place is a slot of the ring: one slot, two chunks, their owner, a reader, and a third party that overwrites.

use crate::harness::{first, holds, is_found, message, run, seen, Ring, Role};
use crate::pool::{Chunks, Pool, Published};
use hazcat_core::ids::Sequence;
use hazcat_core::ring::word::Tombstone;
use hazcat_core::ring::{held, Peek};
use hazcat_core::sync::seeded::Fault;
use loom::sync::atomic::AtomicU64;
use std::sync::Arc;

const OWNER: u16 = 0;
const THIRD: u16 = 1;

/// What the model does differently in a twin (beside what is planted into the pure modules).
#[derive(Clone, Copy, PartialEq)]
enum Twin {
    None,
    /// The owner believes that nobody reads what is older than every depth, and leaves it in its slot.
    NoTombstone,
    /// The reader does not look again.
    NoSecondLook,
}

struct Shared {
    ring: Ring<1>,
    held: AtomicU64,
    owners: Chunks<2>,
}

/// `Publisher::append` for one message that is written already.
fn append(shared: &Shared, pool: &mut Pool, chunk: u32) {
    let appended = shared.ring.view().append(pool.message(chunk), |claimed| {
        shared.owners.set_sequence(chunk, claimed);
        Ok::<(), ()>(())
    });
    pool.published.push_back(Published { at: appended.expect("nobody scribbles"), chunk });
}

/// The owner, whose first message is published already, publishes two more out of its two chunks.
fn owner(shared: &Shared, mut pool: Pool, twin: Twin) {
    for number in 2..=3 {
        let remove = |oldest: &Published| {
            if twin != Twin::NoTombstone {
                shared.ring.view().remove(oldest.at, message(OWNER, oldest.chunk), Tombstone::Dropped);
            }
        };
        let chunk = pool.allocate(remove, |scan| scan.read(&shared.held).into_iter().collect());
        let chunk = chunk.expect("one reader holds one chunk of two");
        shared.owners.write(chunk, number);
        append(shared, &mut pool, chunk);
    }
}

/// `Subscription::find`, `examine`, `fall_behind` with a depth of one, and the return of the message: two takes.
fn reader(shared: &Shared, twin: Twin) {
    let ring = shared.ring.view();
    let mut cursor = first::<1>();
    let mut takes = 0;
    for _ in 0..4 {
        let word = match ring.peek(cursor) {
            Peek::Empty => return,
            Peek::Lapped => {
                seen("the reader was lapped");
                cursor = Sequence(ring.helped_head().0 - 1).max(cursor);
                continue;
            }
            Peek::Present(word) => word,
        };
        let Some(found) = word.message_ref() else {
            seen("the reader met a tombstone");
            cursor.0 += 1;
            continue;
        };
        held::announce(&shared.held, found);
        if twin != Twin::NoSecondLook && !ring.still_holds(cursor, word) {
            held::clear(&shared.held);
            seen("the second look failed");
            continue;
        }
        if found.publisher().0 == OWNER {
            assert_eq!(shared.owners.sequence(found.chunk()), cursor, "another message than the one at the cursor");
            match shared.owners.read(found.chunk()) {
                3 => seen("the reader read a reused chunk"),
                _ => seen("the reader read a fresh chunk"),
            }
        }
        held::clear(&shared.held);
        cursor.0 += 1;
        takes += 1;
        if takes == 2 {
            return;
        }
    }
}

/// Overwrites the slot with a message of its own, which nobody reuses.
fn third_party(shared: &Shared) {
    shared.ring.view().append(message(THIRD, 0), |_| Ok::<(), ()>(())).expect("nobody scribbles");
}

/// Owner and reader, and the third party where it matters.
fn model(twin: Twin, with_third_party: bool) {
    let shared = Arc::new(Shared { ring: Ring::new(), held: AtomicU64::new(held::NOTHING), owners: Chunks::new() });
    let mut pool = Pool::new(OWNER, vec![1]);
    append(&shared, &mut pool, 0);
    let mut roles: Vec<Role<Shared>> =
        vec![Box::new(move |shared| owner(shared, pool, twin)), Box::new(move |shared| reader(shared, twin))];
    if with_third_party {
        roles.push(Box::new(third_party));
    }
    run(shared, roles);
}

const WANTED: [&str; 6] = [
    "a chunk was spared because it was held",
    "the reader was lapped",
    "the reader met a tombstone",
    "the second look failed",
    "the reader read a fresh chunk",
    "the reader read a reused chunk",
];

#[test]
fn a_chunk_in_a_slot_is_not_reused_under_its_reader() {
    holds("reuse/slot", Some(4), &WANTED, || model(Twin::None, false));
}

#[test]
fn a_chunk_is_not_reused_either_if_a_third_party_overwrites_its_slot() {
    holds("reuse/slot-third-party", Some(1), &WANTED, || model(Twin::None, true));
}

fn is_found_with(name: &str, fault: Option<Fault>, twin: Twin) {
    is_found(name, Some(4), fault, "Causality violation", move || model(twin, false));
}

#[test]
fn twin_without_the_owners_fence_is_found() {
    is_found_with("reuse/slot, no owner fence", Some(Fault::NoOwnerFence), Twin::None);
}

#[test]
fn twin_without_the_readers_fence_is_found() {
    is_found_with("reuse/slot, no reader fence", Some(Fault::NoReaderFence), Twin::None);
}

#[test]
fn twin_without_a_tombstone_is_found() {
    is_found_with("reuse/slot, removal inferred", None, Twin::NoTombstone);
}

#[test]
fn twin_without_a_second_look_is_found() {
    is_found_with("reuse/slot, no second look", None, Twin::NoSecondLook);
}

#[test]
fn twin_with_a_relaxed_clear_is_found() {
    is_found_with("reuse/slot, relaxed clear", Some(Fault::RelaxedClear), Twin::None);
}

#[test]
fn twin_without_the_fence_behind_the_scan_is_found() {
    is_found_with("reuse/slot, no acquire behind the scan", Some(Fault::NoAcquireAfterScan), Twin::None);
}
