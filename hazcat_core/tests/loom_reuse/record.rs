//! The announcement lies in a record whose subscription died holding a message, and which a new subscription takes over
//! while the owner looks: whose announcement counts is decided behind the announcement, never before it.

use crate::harness::{first, holds, is_found, message, run, seen, Ring, Role, EVERYTHING};
use crate::pool::{Chunks, Pool, Published};
use hazcat_core::ids::{Identity, Sequence};
use hazcat_core::ring::held::HeldScan;
use hazcat_core::ring::word::{MessageRef, Tombstone};
use hazcat_core::ring::{full_fence, held, Peek};
use loom::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;

const OWNER: u16 = 0;
const INACTIVE: u32 = 0;
const ACTIVE: u32 = 1;

#[derive(Clone, Copy, PartialEq)]
enum Twin {
    None,
    /// The owner knows before its scan who is dead.
    CachedVerdict,
    /// The newcomer announces first and raises the mark under which owners look afterwards.
    MarkAfterAnnouncement,
}

/// What of `queue::layout::SubscriptionRecord` matters here.
struct Record {
    owner: AtomicU64,
    state: AtomicU32,
    held_used: AtomicU32,
    held: AtomicU64,
}

struct Shared {
    ring: Ring<1>,
    record: Record,
    chunks: Chunks<1>,
}

fn dead() -> Identity {
    Identity::new(1, 1).expect("in range")
}

fn newcomer() -> Identity {
    Identity::new(2, 1).expect("in range")
}

/// `Topic::is_gone`, with a probe that knows the truth.
fn is_gone(owner: u64) -> bool {
    owner == dead().word()
}

/// `cursors::gather_held`.
fn gather(shared: &Shared, scan: &HeldScan, cached: Option<bool>) -> Vec<MessageRef> {
    let record = &shared.record;
    if record.held_used.load(Ordering::Acquire) == 0 {
        return Vec::new();
    }
    let Some(message) = scan.read(&record.held) else { return Vec::new() };
    let gone = cached.unwrap_or_else(|| {
        fence(Ordering::Acquire);
        is_gone(record.owner.load(Ordering::Acquire))
    });
    if gone {
        seen("a dead subscription's announcement was ignored");
        Vec::new()
    } else {
        vec![message]
    }
}

/// The owner publishes its only chunk, wants it back, and publishes it again.
fn owner(shared: &Shared, twin: Twin) {
    let mut pool = Pool::new(OWNER, vec![0]);
    for _ in 0..2 {
        let cached = (twin == Twin::CachedVerdict).then(|| is_gone(shared.record.owner.load(Ordering::Acquire)));
        let remove = |oldest: &Published| {
            shared.ring.view().remove(oldest.at, message(OWNER, oldest.chunk), Tombstone::Dropped);
        };
        let Some(chunk) = pool.allocate(remove, |scan| gather(shared, scan, cached)) else { return };
        shared.chunks.write(chunk, 0);
        let appended = shared.ring.view().append(pool.message(chunk), |claimed| {
            shared.chunks.set_sequence(chunk, claimed);
            Ok::<(), ()>(())
        });
        pool.published.push_back(Published { at: appended.expect("nobody scribbles"), chunk });
    }
}

/// A subscription joins in the dead one's record and takes a message: `Topic::claim_subscription`, `Subscription::new`,
/// `use_entry`, `examine`.
fn subscription(shared: &Shared, twin: Twin) {
    let (ring, record) = (shared.ring.view(), &shared.record);
    let word = record.owner.load(Ordering::Acquire);
    assert!(is_gone(word));
    record
        .owner
        .compare_exchange(word, newcomer().word(), Ordering::AcqRel, Ordering::Relaxed)
        .expect("nobody else joins");
    record.state.store(INACTIVE, Ordering::Release);
    held::clear(&record.held);
    record.held_used.store(0, Ordering::Relaxed);
    record.state.store(ACTIVE, Ordering::Release);
    full_fence();
    let at = ring.helped_head();
    let Peek::Present(word) = ring.peek(at) else { return };
    let Some(found) = word.message_ref() else { return };
    if twin != Twin::MarkAfterAnnouncement {
        record.held_used.store(1, Ordering::Release);
    }
    held::announce(&record.held, found);
    if ring.still_holds(at, word) {
        assert_eq!(shared.chunks.sequence(found.chunk()), at);
        shared.chunks.read(found.chunk());
        seen(if at == first::<1>() {
            "the newcomer read the first message"
        } else {
            "the newcomer read the second message"
        });
    } else {
        seen("the newcomer's second look failed");
    }
    if twin == Twin::MarkAfterAnnouncement {
        record.held_used.store(1, Ordering::Release);
    }
    held::clear(&record.held);
}

fn model(twin: Twin) {
    let record = Record {
        owner: AtomicU64::new(dead().word()),
        state: AtomicU32::new(ACTIVE),
        held_used: AtomicU32::new(1),
        held: AtomicU64::new(held::NOTHING),
    };
    // It died holding an earlier message in the same chunk.
    held::announce(&record.held, message(OWNER, 0));
    let shared = Arc::new(Shared { ring: Ring::new(), record, chunks: Chunks::new() });
    let roles: Vec<Role<Shared>> =
        vec![Box::new(move |shared| owner(shared, twin)), Box::new(move |shared| subscription(shared, twin))];
    run(Arc::clone(&shared), roles);
    assert!(shared.ring.view().helped_head() > Sequence(first::<1>().0));
}

#[test]
fn a_record_taken_over_during_the_scan_protects_its_new_owner() {
    let wanted = [
        "a dead subscription's announcement was ignored",
        "a chunk was spared because it was held",
        "the newcomer read the first message",
        "the newcomer read the second message",
        "the newcomer's second look failed",
    ];
    holds("reuse/record", EVERYTHING, &wanted, || model(Twin::None));
}

#[test]
fn twin_with_a_cached_verdict_is_found() {
    is_found("reuse/record, cached verdict", Some(4), None, "Causality violation", || model(Twin::CachedVerdict));
}

#[test]
fn twin_with_the_mark_raised_late_is_found() {
    is_found("reuse/record, mark raised late", Some(4), None, "Causality violation", || {
        model(Twin::MarkAfterAnnouncement)
    });
}
