//! Two threads of one subscription: one gives its message back without a lock, the other takes the next one into the entry
//! that became free. The owner sees only the second announcement, and must have the first one's end behind it.

use crate::harness::{first, holds, is_found, message, run, seen, Ring, EVERYTHING};
use crate::pool::Chunks;
use hazcat_core::ids::Sequence;
use hazcat_core::ring::held::{self, HeldScan};
use hazcat_core::ring::word::Tombstone;
use hazcat_core::ring::Peek;
use hazcat_core::sync::seeded::Fault;
use loom::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::Arc;

const OWNER: u16 = 0;

struct Shared {
    ring: Ring<1>,
    held: AtomicU64,
    /// What the subscription notes of that entry.
    turn: AtomicU32,
    chunks: Chunks<2>,
}

/// `Subscription::return_raw`, after a last look at the message.
fn give_back(shared: &Shared) {
    shared.chunks.read(0);
    held::clear(&shared.held);
    held::vacate(&shared.turn);
}

/// `Subscription::find` on the newest message.
fn take(shared: &Shared) {
    let ring = shared.ring.view();
    let at = Sequence(first::<1>().0 + 1);
    if !held::is_free(&shared.turn) {
        seen("the entry was still in use");
        return;
    }
    let Peek::Present(word) = ring.peek(at) else { return };
    let Some(found) = word.message_ref() else { return };
    held::announce(&shared.held, found);
    if ring.still_holds(at, word) {
        shared.chunks.read(found.chunk());
        seen("the entry was used again");
    } else {
        held::clear(&shared.held);
    }
}

/// The owner wants the first message's chunk back.
fn reclaim(shared: &Shared) {
    let old = message(OWNER, 0);
    shared.ring.view().remove(first::<1>(), old, Tombstone::Expired);
    let scan = HeldScan::start();
    let held = scan.read(&shared.held);
    scan.finish();
    if held == Some(old) {
        seen("the chunk was spared because it was held");
        return;
    }
    if held.is_some() {
        seen("the chunk was reused while the entry held another");
    }
    shared.chunks.write(0, 2);
}

fn model() {
    // In this order: loom's Acquire fence goes through the atomics in the order of their making, and lets what an earlier one has
    // brought count as seen in a later one. The other way round the twin's bug would be hidden.
    let (turn, held) = (AtomicU32::new(1), AtomicU64::new(held::NOTHING));
    let shared = Shared { ring: Ring::new(), held, turn, chunks: Chunks::new() };
    for chunk in 0..2 {
        if chunk == 1 {
            // The first message was taken before the second one overwrote it.
            held::announce(&shared.held, message(OWNER, 0));
        }
        shared.ring.view().append(message(OWNER, chunk), |_| Ok::<(), ()>(())).expect("nobody scribbles");
    }
    run(Arc::new(shared), vec![Box::new(give_back), Box::new(take), Box::new(reclaim)]);
}

#[test]
fn an_entry_used_again_ends_its_first_use() {
    let wanted = [
        "the entry was still in use",
        "the entry was used again",
        "the chunk was spared because it was held",
        "the chunk was reused while the entry held another",
    ];
    holds("reuse/threads", EVERYTHING, &wanted, model);
}

#[test]
fn twin_with_a_relaxed_look_for_a_free_entry_is_found() {
    let fault = Some(Fault::RelaxedIsFree);
    is_found("reuse/threads, relaxed look for a free entry", EVERYTHING, fault, "Causality violation", model);
}
