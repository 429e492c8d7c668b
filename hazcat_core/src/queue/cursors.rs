//! One look at all subscriptions of a topic: how far have they got, what do they hold.

use super::layout::{Owner, SubscriptionRecord, ACTIVE, KEEP_ALL};
use super::topic::Topic;
use crate::ids::Sequence;
use crate::ring::full_fence;
use crate::ring::held::HeldScan;
use crate::ring::word::MessageRef;
use crate::sync::atomic::Ordering;

/// How far the subscriptions have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursors {
    /// `head` before the look.
    pub(super) head: Sequence,
    /// Every live subscription has passed all positions before this one.
    pub(super) slowest: Sequence,
    /// The same among keep-all subscriptions; `None` where there is none.
    pub(super) slowest_keep_all: Option<Sequence>,
    /// Largest depth of a live subscription.
    pub(super) max_depth: usize,
    /// Number of live subscriptions.
    pub(super) active: usize,
}

impl Cursors {
    /// Looks at all records. Subscriptions that join meanwhile begin at or after `head`.
    pub(super) fn look(topic: &Topic) -> Self {
        Self::look_for(topic, |_| true)
    }

    /// The same among the subscriptions that want their messages in one memory domain.
    pub(super) fn look_in(topic: &Topic, row: u8) -> Self {
        Self::look_at(topic, |record| record.domain.load(Ordering::Relaxed) == u32::from(row), |_| true)
    }

    /// The same for one publisher: `waits_for` says by the traits of a keep-all subscription whether it counts among
    /// these.
    #[inline]
    pub(super) fn look_for(topic: &Topic, waits_for: impl Fn(u64) -> bool) -> Self {
        Self::look_at(topic, |_| true, waits_for)
    }

    fn look_at(topic: &Topic, counts: impl Fn(&SubscriptionRecord) -> bool, waits_for: impl Fn(u64) -> bool) -> Self {
        let head = topic.ring().helped_head();
        let mut seen = Self { head, slowest: head, slowest_keep_all: None, max_depth: 0, active: 0 };
        full_fence();
        for record in topic.layout().subscriptions() {
            // SYNC record-owner, subscription-active: what the joiner wrote before is visible.
            let owner = Owner::from_word(record.owner.load(Ordering::Acquire));
            if record.state.load(Ordering::Acquire) != ACTIVE || !counts(record) {
                continue;
            }
            match owner {
                Owner::Participant(identity) if !topic.participant().is_known_dead(identity) => {}
                Owner::Participant(_) if !topic.is_gone(owner) => {}
                _ => continue,
            }
            // SYNC cursor: pairs with the Release after a take.
            let cursor = Sequence(record.cursor.load(Ordering::Acquire));
            seen.active += 1;
            seen.slowest = seen.slowest.min(cursor);
            seen.max_depth = seen.max_depth.max(record.depth.load(Ordering::Relaxed) as usize);
            let keep_all = record.flags.load(Ordering::Relaxed) & KEEP_ALL != 0;
            if keep_all && waits_for(record.traits.load(Ordering::Relaxed)) {
                seen.slowest_keep_all = Some(seen.slowest_keep_all.map_or(cursor, |other| other.min(cursor)));
            }
        }
        let limit = topic.layout().capacity();
        seen.max_depth = seen.max_depth.min(limit);
        seen
    }
}

/// Collects into `into` every message that a live subscription holds and `wanted` is interested in.
///
/// Called after the messages in question were removed from where readers find them; contains the fences. `into` is
/// emptied first and left sorted.
pub(super) fn gather_held(topic: &Topic, wanted: impl Fn(MessageRef) -> bool, into: &mut Vec<MessageRef>) {
    into.clear();
    let scan = HeldScan::start();
    for record in topic.layout().subscriptions() {
        // SYNC held-used: pairs with the Release that raises it before an entry is first used.
        let used = record.held_used.load(Ordering::Acquire) as usize;
        for entry in record.held.iter().take(used) {
            let Some(message) = scan.read(entry) else { continue };
            if !wanted(message) {
                continue;
            }
            // Whose announcement this is decides whether it counts. Read after the announcement, so that it cannot be an
            // earlier owner's verdict on a later owner's message; probed now, never taken from a cache.
            crate::sync::atomic::fence(Ordering::Acquire);
            let owner = Owner::from_word(record.owner.load(Ordering::Acquire));
            if owner == Owner::Free || topic.is_gone(owner) {
                continue;
            }
            into.push(message);
        }
    }
    scan.finish();
    into.sort_unstable();
}
