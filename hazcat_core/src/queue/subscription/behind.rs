//! Falling behind, and fetching the past: which messages are skipped, which are lost, and which come out of histories.

use super::find::Purpose;
use super::{State, Subscription, TakeError};
use crate::ids::{PublisherIndex, Sequence};
use crate::queue::backlog;
use crate::queue::layout::{Owner, SubscriptionRecord, COPIER, KEEP_ALL};
use crate::queue::sample::Taken;
use crate::ring::word::MessageRef;
use crate::ring::{held, Peek};
use crate::sync::atomic::{AtomicU64, Ordering};

impl Subscription {
    /// The next message of the past that is still there, protected by `entry` if it is to be taken.
    #[cold]
    pub(super) fn find_in_backlog(
        &self,
        record: &SubscriptionRecord,
        entry: &AtomicU64,
        index: u32,
        state: &mut State,
        purpose: Purpose,
    ) -> Result<Option<Taken>, TakeError> {
        while let Some(noted) = state.backlog.front() {
            let sample = noted.locate(entry, index);
            let wanted = match (&sample, &mut state.filter) {
                (Some(sample), Some(filter)) => filter.wants(sample, &self.topic, &mut state.devices),
                _ => true,
            };
            match sample {
                Some(sample) if wanted && purpose == Purpose::Look => {
                    held::clear(entry);
                    return Ok(Some(sample));
                }
                Some(sample) => {
                    let (publisher, instance, number) =
                        (usize::from(noted.publisher.0), noted.instance, noted.number.0);
                    let as_it_lies = purpose == Purpose::TakeAsItLies || sample.row() == self.row;
                    let sample = if !wanted || (as_it_lies && self.reach(&sample, state).is_ok()) {
                        Some(sample)
                    } else {
                        self.take_past_across(&sample, entry, state)?
                    };
                    state.recent = None;
                    if let Some(peer) = state.peers.peer_mut(publisher) {
                        peer.delivered = Some((instance, number));
                    }
                    if let Some(noted) = state.backlog.pop_front() {
                        // Stays mapped while the message may be held.
                        state.peers.retire(noted.segment);
                    }
                    fault_point!("backlog.taken");
                    self.backlog_moved(record, state);
                    match sample {
                        Some(sample) if wanted => return Ok(Some(sample)),
                        Some(_) => held::clear(entry),
                        None => state.lose(1),
                    }
                }
                None => {
                    held::clear(entry);
                    state.lose(1);
                    state.backlog.pop_front();
                    self.backlog_moved(record, state);
                }
            }
        }
        Ok(None)
    }

    /// The backlog has become shorter: says so, and how far this subscription has got.
    pub(super) fn backlog_moved(&self, record: &SubscriptionRecord, state: &State) {
        self.has_backlog.store(!state.backlog.is_empty(), Ordering::Relaxed);
        self.store_cursor(record, state);
    }

    /// The cursor has fallen behind by more than the depth (or by a lap): jumps, counts what is lost. Answers whether the
    /// cursor moved.
    #[cold]
    pub(super) fn fall_behind(&self, record: &SubscriptionRecord, state: &mut State, entry: &AtomicU64) -> bool {
        let head = self.topic.ring().helped_head();
        let from = state.cursor;
        self.judge_all(state);
        let mut target = Sequence(head.0.saturating_sub(self.depth));
        state.within_depth_until = None;
        if state.refused_any && !self.keep_all {
            target = self.target_among_accepted(state, head, target);
        }
        if target <= from {
            return false;
        }
        let mut lost =
            if state.refused_any { self.accepted_between(state, from, target, head) } else { target.0 - from.0 };
        if self.keep_all {
            let accept = |index, publisher: &_, owner| self.listens_to(&mut state.peers, index, publisher, owner);
            let kept = backlog::collect(&self.topic, KEEP_ALL, from..target, usize::MAX, entry, accept);
            lost = lost.saturating_sub(kept.len() as u64);
            self.note_backlog(state, kept, true);
        }
        fault_point!("behind.before-jump");
        state.lose(lost);
        state.cursor = target;
        self.store_cursor(record, state);
        true
    }

    /// Decides about every publisher that may have messages in the ring.
    pub(super) fn judge_all(&self, state: &mut State) {
        let mut refused_any = false;
        for (index, record) in self.topic.layout().publishers().iter().enumerate() {
            let owner = Owner::from_word(record.owner.load(Ordering::Acquire));
            let copies = record.flags.load(Ordering::Relaxed) & COPIER != 0;
            if owner != Owner::Free && !copies {
                refused_any |= !self.listens_to(&mut state.peers, PublisherIndex(index as u16), record, owner);
            }
        }
        state.refused_any = refused_any;
    }

    /// Goes back from `head` until `depth` messages of accepted publishers lie between there and `head`. Where there are not
    /// so many, remembers how many more may come before it is worth looking again.
    pub(super) fn target_among_accepted(&self, state: &mut State, head: Sequence, most: Sequence) -> Sequence {
        let capacity = self.topic.ring().capacity();
        let oldest = Sequence(head.0.saturating_sub(capacity - capacity / 4)).max(state.cursor);
        let mut wanted = self.depth;
        let mut at = head;
        while at > oldest && wanted > 0 {
            at.0 -= 1;
            wanted -= u64::from(self.is_from_accepted(state, at));
        }
        state.within_depth_until = Some(Sequence(head.0.wrapping_add(wanted)));
        at.min(most).max(state.cursor)
    }

    /// How many messages of accepted publishers stood between two positions. What has been overwritten is taken to have been
    /// theirs as often as what is still there.
    pub(super) fn accepted_between(&self, state: &State, from: Sequence, to: Sequence, head: Sequence) -> u64 {
        let oldest = Sequence(head.0.saturating_sub(self.topic.ring().capacity()));
        let count = |from: Sequence, to: Sequence| {
            (from.0..to.0).filter(|at| self.is_from_accepted(state, Sequence(*at))).count() as u64
        };
        let overwritten = oldest.0.saturating_sub(from.0);
        let mut accepted = count(from.max(oldest), to);
        if overwritten > 0 {
            let share = count(oldest, head) as f64 / (head.0 - oldest.0).max(1) as f64;
            accepted = accepted.saturating_add((overwritten as f64 * share).round() as u64);
        }
        accepted
    }

    /// Whether the message at a position is, or was, from an accepted publisher, as far as is known.
    pub(super) fn is_from_accepted(&self, state: &State, at: Sequence) -> bool {
        let Peek::Present(word) = self.topic.ring().peek(at) else { return true };
        let message = word.message_ref().map(MessageRef::publisher);
        let publisher = message.or_else(|| word.tombstone_kind().map(|(publisher, _)| publisher));
        publisher.is_none_or(|publisher| self.is_of_accepted(state, publisher))
    }

    pub(super) fn is_of_accepted(&self, state: &State, publisher: PublisherIndex) -> bool {
        let Some(record) = self.topic.publisher(publisher) else { return true };
        let instance = record.instance.load(Ordering::Acquire);
        state.peers.verdict(usize::from(publisher.0), instance).unwrap_or(true)
    }
}
