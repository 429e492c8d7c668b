//! The place is a copy place: where the first taker of a memory domain leaves its copy of a message for the others of that
//! domain. The protocol is the slot's: the word is one, removal and second look are the ring's own functions.

use crate::harness::{first, holds, is_found, message, run, seen};
use crate::pool::{Chunks, Pool, Published};
use hazcat_core::ids::Sequence;
use hazcat_core::ring::word::{MessageRef, SlotWord, Tombstone};
use hazcat_core::ring::{held, Peek, RingView};
use hazcat_core::sync::seeded::Fault;
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

const COPIER: u16 = 0;
const OTHER_COPIER: u16 = 1;

#[derive(Clone, Copy, PartialEq)]
enum Twin {
    None,
    /// The copier believes that nobody reads an old copy, and leaves it in its place.
    NoTombstone,
}

struct Shared {
    place: [AtomicU64; 1],
    /// Part of the view, unused: a place has no head.
    no_head: AtomicU64,
    held: AtomicU64,
    copies: Chunks<2>,
}

impl Shared {
    fn place(&self) -> RingView<'_> {
        RingView::new(&self.no_head, &self.place).expect("a power of two")
    }

    /// Leaves a copy of the message at `at`. Only an older lap may be replaced (in one place, a lap is a position).
    fn leave(&self, at: Sequence, copy: MessageRef) -> bool {
        let lap = at.0 as u32;
        let mut found = SlotWord(self.place[0].load(Ordering::Acquire));
        while found.lap() < lap {
            let word = SlotWord::message(lap, copy).0;
            match self.place[0].compare_exchange(found.0, word, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(newer) => found = SlotWord(newer),
            }
        }
        false
    }
}

/// Copies three messages into two chunks.
fn copier(shared: &Shared, twin: Twin) {
    let mut pool = Pool::new(COPIER, vec![1, 0]);
    for number in 0..3 {
        let remove = |oldest: &Published| {
            if twin != Twin::NoTombstone {
                shared.place().remove(oldest.at, message(COPIER, oldest.chunk), Tombstone::Expired);
            }
        };
        let chunk = pool.allocate(remove, |scan| scan.read(&shared.held).into_iter().collect());
        let chunk = chunk.expect("one reader holds one chunk of two");
        shared.copies.write(chunk, number);
        let at = Sequence(first::<1>().0 + number);
        if shared.leave(at, pool.message(chunk)) {
            pool.published.push_back(Published { at, chunk });
        } else {
            seen("a newer copy was there");
            pool.free.push(chunk);
        }
    }
}

/// Takes the copies of the three messages, as far as they are there.
fn reader(shared: &Shared) {
    for number in 0..3 {
        let at = Sequence(first::<1>().0 + number);
        let Peek::Present(word) = shared.place().peek(at) else { continue };
        let Some(found) = word.message_ref() else { continue };
        held::announce(&shared.held, found);
        if shared.place().still_holds(at, word) {
            if found.publisher().0 == COPIER {
                assert_eq!(shared.copies.read(found.chunk()), number, "a copy of another message");
                seen(if number == 2 { "the reader read a reused chunk" } else { "the reader read a fresh chunk" });
            }
        } else {
            seen("the second look failed");
        }
        held::clear(&shared.held);
    }
}

fn model(twin: Twin) {
    let shared = Arc::new(Shared {
        place: [AtomicU64::new(0)],
        no_head: AtomicU64::new(0),
        held: AtomicU64::new(held::NOTHING),
        copies: Chunks::new(),
    });
    let other = |shared: &Shared| {
        shared.leave(Sequence(first::<1>().0 + 1), message(OTHER_COPIER, 0));
    };
    run(shared, vec![Box::new(move |shared| copier(shared, twin)), Box::new(reader), Box::new(other)]);
}

#[test]
fn a_copy_is_not_reused_under_its_reader() {
    let wanted = [
        "a newer copy was there",
        "a chunk was spared because it was held",
        "the second look failed",
        "the reader read a fresh chunk",
        "the reader read a reused chunk",
    ];
    holds("reuse/copy", Some(3), &wanted, || model(Twin::None));
}

#[test]
fn twin_without_the_owners_fence_is_found() {
    let fault = Some(Fault::NoOwnerFence);
    is_found("reuse/copy, no owner fence", Some(3), fault, "Causality violation", || model(Twin::None));
}

#[test]
fn twin_without_the_readers_fence_is_found() {
    let fault = Some(Fault::NoReaderFence);
    is_found("reuse/copy, no reader fence", Some(3), fault, "Causality violation", || model(Twin::None));
}

#[test]
fn twin_without_a_tombstone_is_found() {
    is_found("reuse/copy, removal inferred", Some(3), None, "Causality violation", || model(Twin::NoTombstone));
}
