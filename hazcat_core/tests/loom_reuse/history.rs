//! The place is a word of a publisher's history: written ahead of the ring, read by late subscriptions.

use crate::harness::{holds, is_found, message, run, seen, Ring, Role, EVERYTHING};
use crate::pool::{Chunks, Pool, Published};
use hazcat_core::history::HistoryView;
use hazcat_core::ids::{PublicationNumber, PublisherIndex};
use hazcat_core::ring::held;
use hazcat_core::ring::word::{MessageRef, Tombstone};
use hazcat_core::ring::AppendError;
use hazcat_core::sync::seeded::Fault;
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

const OWNER: u16 = 0;
const THIRD: u16 = 1;

#[derive(Clone, Copy, PartialEq)]
enum Twin {
    None,
    /// The owner takes the message out of its slot, and forgets the history.
    StaysInHistory,
    /// The reader does not look again.
    NoSecondLook,
    /// The owner frees what it could not publish without looking who found it in the history.
    FreedUnseen,
}

struct Shared {
    ring: Ring<1>,
    words: [AtomicU64; 1],
    held: AtomicU64,
    chunks: Chunks<2>,
    /// `ChunkHeader::number`.
    numbers: [AtomicU64; 2],
}

impl Shared {
    fn new() -> Self {
        Self {
            ring: Ring::new(),
            words: [AtomicU64::new(0)],
            held: AtomicU64::new(held::NOTHING),
            chunks: Chunks::new(),
            numbers: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn history(&self) -> HistoryView<'_> {
        HistoryView::new(&self.words).expect("not empty")
    }

    fn number(&self, chunk: u32) -> PublicationNumber {
        PublicationNumber(self.numbers[chunk as usize].load(Ordering::Relaxed))
    }

    /// `Publisher::append`: history first. `refuses` stands for a keep-all subscription that makes no room.
    fn append(&self, chunk: u32, number: u64, refuses: bool) -> Option<Published> {
        let (ring, message) = (self.ring.view(), message(OWNER, chunk));
        self.numbers[chunk as usize].store(number, Ordering::Relaxed);
        self.chunks.set_sequence(chunk, ring.head());
        self.history().write(PublicationNumber(number), message);
        let appended = ring.append(message, |claimed| {
            self.chunks.set_sequence(chunk, claimed);
            if refuses {
                Err(())
            } else {
                Ok(())
            }
        });
        match appended {
            Ok(at) => Some(Published { at, chunk }),
            Err(AppendError::Refused(())) => {
                self.history().remove(PublicationNumber(number), message);
                None
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    fn gather(&self, scan: &held::HeldScan) -> Vec<MessageRef> {
        scan.read(&self.held).into_iter().collect()
    }

    /// `Pool::reclaim` for one message.
    fn remove(&self, oldest: &Published, twin: Twin) {
        let message = message(OWNER, oldest.chunk);
        self.ring.view().remove(oldest.at, message, Tombstone::Expired);
        if twin != Twin::StaysInHistory {
            let number = self.number(oldest.chunk);
            if self.history().names(number, message) {
                seen("a message was taken out of the history");
            }
            self.history().remove(number, message);
        }
    }
}

/// `backlog::notes_of` and `Noted::protect`: two readings of the history.
fn reader(shared: &Shared, twin: Twin) {
    let publisher = PublisherIndex(OWNER);
    for _ in 0..2 {
        let Some(word) = shared.history().read(0) else {
            seen("the reader found the history empty");
            continue;
        };
        let protected = if twin == Twin::NoSecondLook {
            let message = word.message(publisher).expect("a message");
            held::announce(&shared.held, message);
            Some(message)
        } else {
            shared.history().protect(0, word, publisher, &shared.held)
        };
        let Some(message) = protected else {
            seen("the second look failed");
            continue;
        };
        assert!(word.is_number(shared.number(message.chunk())), "another message than the one named");
        match shared.chunks.read(message.chunk()) {
            3 => seen("the reader read a reused chunk"),
            _ => seen("the reader read a fresh chunk"),
        }
        held::clear(&shared.held);
    }
}

/// The owner, with a history of one and its first message published already, publishes two more out of two chunks.
fn owner(shared: &Shared, mut pool: Pool, twin: Twin) {
    for number in 2..=3 {
        let chunk = pool.allocate(|oldest| shared.remove(oldest, twin), |scan| shared.gather(scan));
        let chunk = chunk.expect("one reader holds one chunk of two");
        shared.chunks.write(chunk, number);
        pool.published.extend(shared.append(chunk, number, false));
    }
}

fn model(twin: Twin, with_third_party: bool) {
    let shared = Arc::new(Shared::new());
    let mut pool = Pool::new(OWNER, vec![1]);
    pool.published.extend(shared.append(0, 1, false));
    let mut roles: Vec<Role<Shared>> =
        vec![Box::new(move |shared| owner(shared, pool, twin)), Box::new(move |shared| reader(shared, twin))];
    if with_third_party {
        roles.push(Box::new(|shared: &Shared| {
            shared.ring.view().append(message(THIRD, 0), |_| Ok::<(), ()>(())).expect("nobody scribbles");
        }));
    }
    run(shared, roles);
}

const WANTED: [&str; 6] = [
    "a chunk was spared because it was held",
    "a message was taken out of the history",
    "the reader found the history empty",
    "the second look failed",
    "the reader read a fresh chunk",
    "the reader read a reused chunk",
];

#[test]
fn a_chunk_in_a_history_is_not_reused_under_its_reader() {
    holds("reuse/history", EVERYTHING, &WANTED, || model(Twin::None, false));
}

#[test]
fn a_chunk_in_a_history_is_not_reused_either_if_the_ring_is_lapped() {
    holds("reuse/history-third-party", Some(2), &WANTED, || model(Twin::None, true));
}

fn is_found_with(name: &str, fault: Option<Fault>, twin: Twin) {
    is_found(name, Some(4), fault, "Causality violation", move || model(twin, false));
}

#[test]
fn twin_without_the_owners_fence_is_found() {
    is_found_with("reuse/history, no owner fence", Some(Fault::NoOwnerFence), Twin::None);
}

#[test]
fn twin_without_the_readers_fence_is_found() {
    is_found_with("reuse/history, no reader fence", Some(Fault::NoReaderFence), Twin::None);
}

#[test]
fn twin_that_stays_in_the_history_is_found() {
    is_found_with("reuse/history, not removed", None, Twin::StaysInHistory);
}

#[test]
fn twin_without_a_second_look_is_found() {
    is_found_with("reuse/history, no second look", None, Twin::NoSecondLook);
}

/// A publication that is refused after its history word was written: the chunk goes the way of all removed ones.
fn refused_publication(twin: Twin) {
    let owner = move |shared: &Shared| {
        let mut pool = Pool::new(OWNER, vec![1, 0]);
        let chunk = pool.free.pop().expect("two chunks");
        shared.chunks.write(chunk, 1);
        assert!(shared.append(chunk, 1, true).is_none());
        if twin == Twin::FreedUnseen {
            pool.free.push(chunk);
        } else {
            pool.removed.push(Published { at: shared.ring.view().head(), chunk });
            pool.free_removed(|scan| shared.gather(scan));
        }
        let chunk = pool.free.pop().expect("one reader holds one chunk of two");
        shared.chunks.write(chunk, 3);
        assert!(shared.append(chunk, 2, false).is_some());
    };
    run(Arc::new(Shared::new()), vec![Box::new(owner), Box::new(move |shared| reader(shared, twin))]);
}

#[test]
fn a_chunk_that_was_refused_is_not_reused_under_its_reader() {
    let wanted = ["a chunk was spared because it was held", "the reader read a fresh chunk", "the second look failed"];
    holds("reuse/refused", EVERYTHING, &wanted, || refused_publication(Twin::None));
}

#[test]
fn twin_that_frees_what_was_refused_at_once_is_found() {
    is_found("reuse/refused, freed at once", Some(4), None, "Causality violation", || {
        refused_publication(Twin::FreedUnseen);
    });
}
