//! Finding the next message: look at the slot under the cursor, protect it, check that it is what it says it is.

use super::{Recent, State, Subscription, TakeError};
use crate::ids::{SegmentId, Sequence};
use crate::payload::chunk::HEADER_BYTES;
use crate::queue::layout::{Owner, PublisherRecord, SubscriptionRecord, HOST_ROW, MAX_HELD};
use crate::queue::peers::PeerSegment;
use crate::queue::sample::Taken;
use crate::ring::word::{MessageRef, SlotWord, Tombstone};
use crate::ring::{full_fence, held, Peek};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys::{futex, prefetch};

/// A message found at the cursor.
pub(super) enum Found {
    Nothing,
    /// Protected by the held entry with this index; the cursor is still before it.
    Message(Taken),
}

/// What is to be done with the message at the cursor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Take,
    /// Take it in whatever domain it lies.
    TakeAsItLies,
    Look,
}

/// What became of one message.
pub(super) enum Step {
    Deliver(Taken),
    /// Not for this subscription, or gone: go on behind it.
    Skip {
        lost: bool,
    },
    /// The slot changed meanwhile: look again.
    Again,
    /// It lies in another memory domain, and must be copied. Still protected.
    Elsewhere(Taken),
    /// It is there, and cannot be had now.
    Failed(TakeError),
}

impl Subscription {
    /// The way of almost every message, without a turn: the next one, from the same segment as the last. `None`: go the
    /// long way ([`Subscription::find`]). What it returns must not go through memory: every copy of it costs as much as a
    /// look at the ring.
    #[inline(always)]
    pub(super) fn find_recent(&self, record: &SubscriptionRecord, state: &mut State) -> Option<Taken> {
        if state.filter.is_some() || !state.backlog.is_empty() {
            return None;
        }
        let at = state.cursor;
        let Peek::Present(word) = self.topic.ring().peek(at) else { return None };
        let message = word.message_ref()?;
        if !self.keep_all && self.is_beyond_depth(state, at) {
            return None;
        }
        let index = self.places.free()?;
        let entry = self.use_entry(record, state, index)?;
        let segment = message.segment();
        let recent = state.recent.as_ref()?;
        if recent.publisher != message.publisher() || recent.segment != segment {
            return None;
        }
        let id = self.topic.publisher(message.publisher())?.segments.get(segment)?;
        let taken = self.protect_recent(at, word, message, entry, id, index, recent)?;
        self.advance(record, state);
        Some(taken)
    }

    pub(super) fn find(
        &self,
        record: &SubscriptionRecord,
        state: &mut State,
        purpose: Purpose,
    ) -> Result<Found, TakeError> {
        let Some(index) = self.places.free() else {
            return match purpose {
                Purpose::Take | Purpose::TakeAsItLies => Err(TakeError::TooManyHeld { limit: MAX_HELD }),
                Purpose::Look => Ok(self.look_without_entry(record, state)),
            };
        };
        let entry = self.use_entry(record, state, index).ok_or(TakeError::Corrupt)?;
        if !state.backlog.is_empty() {
            if let Some(sample) = self.find_in_backlog(record, entry, index, state, purpose)? {
                return Ok(Found::Message(sample));
            }
        }
        let filtered = state.filter.is_some();
        if filtered && !self.keep_all {
            return self.find_filtered(record, state, entry, index, purpose);
        }
        let ring = self.topic.ring();
        let began = state.cursor;
        // Each turn moves the cursor or follows a publication that happened meanwhile.
        for _ in 0..ring.capacity().saturating_mul(4) {
            let at = state.cursor;
            let word = match ring.peek(at) {
                // A file that was cut short looks empty; to wait for it is allowed.
                Peek::Empty if purpose != Purpose::Look && self.topic.is_cut() => return Err(TakeError::Corrupt),
                Peek::Empty => return Ok(Found::Nothing),
                Peek::Lapped => {
                    if !self.fall_behind(record, state, entry) {
                        // Within the depth, and gone all the same: somebody has scribbled on the slot, or on `head`.
                        if ring.head() <= at {
                            return Err(TakeError::Corrupt);
                        }
                        state.lose(1);
                        self.advance(record, state);
                    }
                    if !state.backlog.is_empty() {
                        if let Some(sample) = self.find_in_backlog(record, entry, index, state, purpose)? {
                            return Ok(Found::Message(sample));
                        }
                    }
                    continue;
                }
                Peek::Present(word) => word,
            };
            if !self.keep_all && self.is_beyond_depth(state, at) && self.fall_behind(record, state, entry) {
                continue;
            }
            let Some(message) = word.message_ref() else {
                self.pass_tombstone(record, state, word);
                continue;
            };
            // A filter needs the message itself.
            let step_purpose = if filtered && purpose == Purpose::Look { Purpose::Take } else { purpose };
            match self.examine(at, word, message, entry, index, state, step_purpose) {
                Step::Deliver(sample) => {
                    if filtered {
                        let State { filter, devices, .. } = &mut *state;
                        let wanted = filter.as_mut().is_none_or(|filter| filter.wants(&sample, &self.topic, devices));
                        if !wanted || purpose == Purpose::Look {
                            held::clear(entry);
                        }
                        if !wanted {
                            self.advance(record, state);
                            continue;
                        }
                    }
                    if purpose != Purpose::Look {
                        fault_point!("take.before-cursor");
                        self.advance(record, state);
                        fault_point!("take.after-cursor");
                    }
                    return Ok(Found::Message(sample));
                }
                Step::Skip { lost } => {
                    state.lose(u64::from(lost));
                    self.advance(record, state);
                }
                Step::Again => {}
                // Neither comes out of `examine`.
                Step::Elsewhere(_) => return Err(TakeError::Corrupt),
                Step::Failed(error) => return Err(error),
            }
        }
        match purpose {
            _ if state.cursor == began => Err(TakeError::Corrupt),
            // What is not for this subscription comes faster than it is passed over: whoever waits looks again.
            Purpose::Look => Ok(Found::Message(Taken::placeholder(index))),
            Purpose::Take | Purpose::TakeAsItLies => Ok(Found::Nothing),
        }
    }

    /// Whether there is something to take, for a subscription that has no place left to take it to.
    #[cold]
    pub(super) fn look_without_entry(&self, record: &SubscriptionRecord, state: &mut State) -> Found {
        let something = Found::Message(Taken::placeholder(0));
        if !state.backlog.is_empty() {
            return something;
        }
        for _ in 0..self.topic.ring().capacity() {
            match self.topic.ring().peek(state.cursor) {
                Peek::Empty => return Found::Nothing,
                Peek::Lapped => return something,
                Peek::Present(word) => match word.message_ref() {
                    None => self.pass_tombstone(record, state, word),
                    Some(message) => {
                        let publisher = self.topic.publisher(message.publisher());
                        let accepted = publisher.is_none_or(|publisher| {
                            let owner = Owner::from_word(publisher.owner.load(Ordering::Acquire));
                            self.listens_to(&mut state.peers, message.publisher(), publisher, owner)
                        });
                        if accepted {
                            return something;
                        }
                        self.advance(record, state);
                    }
                },
            }
        }
        something
    }

    pub(super) fn pass_tombstone(&self, record: &SubscriptionRecord, state: &mut State, word: SlotWord) {
        if let Some((publisher, Tombstone::Dropped)) = word.tombstone_kind() {
            state.lose(u64::from(self.is_of_accepted(state, publisher)));
        }
        self.advance(record, state);
    }

    /// Whether more messages than the depth may be there at and behind `at`, without touching `head`.
    #[inline]
    pub(super) fn is_beyond_depth(&self, state: &State, at: Sequence) -> bool {
        let ring = self.topic.ring();
        let there = |at: Sequence| !matches!(ring.peek(at), Peek::Empty);
        let ahead = |offset: u64| Sequence(at.0.wrapping_add(offset));
        there(ahead(1)) && there(ahead(self.depth)) && state.within_depth_until.is_none_or(there)
    }

    /// Moves the cursor behind the message it stands at.
    #[inline]
    pub(super) fn advance(&self, record: &SubscriptionRecord, state: &mut State) {
        state.cursor.0 = state.cursor.0.wrapping_add(1);
        self.store_cursor(record, state);
        // The slot behind the next one is looked at by the next take.
        prefetch::for_reading(self.topic.ring().slot_address(Sequence(state.cursor.0.wrapping_add(1))));
    }

    #[inline]
    pub(super) fn store_cursor(&self, record: &SubscriptionRecord, state: &State) {
        let mut cursor = state.cursor;
        if self.keep_all && state.backlog_is_kept {
            // What it still has to fetch from histories must stay there: keep-all publishers look at the cursor.
            cursor = state.backlog.front().map_or(cursor, |noted| noted.sequence.min(cursor));
        }
        // SYNC cursor: Release, also for `is_surely_empty` of another thread.
        record.cursor.store(cursor.0, Ordering::Release);
        if self.keep_all {
            // SYNC space: pairs with the fence of a publisher that waits for room.
            full_fence();
            let hot = self.topic.layout().hot();
            if hot.space_wanted.load(Ordering::Relaxed) != 0 {
                hot.space_wanted.store(0, Ordering::Relaxed);
                fault_point!("take.space-unwanted");
                hot.space_bell.fetch_add(1, Ordering::AcqRel);
                fault_point!("take.space-changed");
                futex::wake_all(&hot.space_bell);
            }
        }
    }

    /// Looks at one message: is it for us, is it what it says it is.
    #[inline]
    #[allow(clippy::too_many_arguments)] // one step of `find`, split off for its length
    pub(super) fn examine(
        &self,
        at: Sequence,
        word: SlotWord,
        message: MessageRef,
        entry: &AtomicU64,
        index: u32,
        state: &mut State,
        purpose: Purpose,
    ) -> Step {
        let (publisher, segment) = (usize::from(message.publisher().0), message.segment());
        let record = self.topic.publisher(message.publisher());
        let Some((record, id)) = record.and_then(|record| Some((record, record.segments.get(segment)?))) else {
            return Step::Skip { lost: true };
        };
        if let Some(recent) = &state.recent {
            if recent.publisher == message.publisher() && recent.segment == segment {
                if purpose == Purpose::Look {
                    let there = recent.mapped.mapping().range(message.byte_offset(), HEADER_BYTES).is_some();
                    if there && id.load(Ordering::Acquire) == recent.id {
                        return Step::Deliver(Taken::placeholder(index));
                    }
                } else if let Some(taken) = self.protect_recent(at, word, message, entry, id, index, recent) {
                    return Step::Deliver(taken);
                }
            }
        }
        if let Some(known) = state.peers.known(publisher, segment, id.load(Ordering::Acquire)) {
            if !known.accepted {
                state.refused_any = true;
                return Step::Skip { lost: false };
            }
            if purpose == Purpose::Look && state.peers.peer(publisher).is_some_and(|peer| peer.delivered.is_none()) {
                return Step::Deliver(Taken::placeholder(index));
            }
        }
        fault_point!("take.seen");
        held::announce(entry, message);
        fault_point!("take.announced");
        // SYNC segment-id: between the announcement and the second look, so that it is this message's segment.
        let id = id.load(Ordering::Acquire);
        if !self.topic.ring().still_holds(at, word) {
            held::clear(entry);
            return Step::Again;
        }
        fault_point!("take.validated");
        // From here on neither the chunk nor the publisher's record is reused until `entry` is cleared.
        match self.examine_protected(at, message, record, id, index, state) {
            Step::Deliver(taken) if purpose != Purpose::Look => Step::Deliver(taken),
            Step::Elsewhere(taken) if purpose == Purpose::Take => self.take_across(at, &taken, entry, state),
            Step::Elsewhere(taken) if purpose == Purpose::TakeAsItLies => match self.reach(&taken, state) {
                Ok(()) => Step::Deliver(taken),
                Err(_) => self.take_across(at, &taken, entry, state),
            },
            step => {
                held::clear(entry);
                match step {
                    Step::Elsewhere(_) => Step::Deliver(Taken::placeholder(index)),
                    step => step,
                }
            }
        }
    }

    /// Protects a message from the same segment as the last one. `None`: take the long way.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // one step of `find`, split off for its length
    fn protect_recent(
        &self,
        at: Sequence,
        word: SlotWord,
        message: MessageRef,
        entry: &AtomicU64,
        id: &AtomicU64,
        index: u32,
        recent: &Recent,
    ) -> Option<Taken> {
        fault_point!("take-again.seen");
        held::announce(entry, message);
        fault_point!("take-again.announced");
        // SYNC segment-id: between the announcement and the second look, so that it is this message's segment.
        let same = id.load(Ordering::Acquire) == recent.id;
        let holds = self.topic.ring().still_holds(at, word);
        let taken = Taken::locate_on_host(&recent.mapped, message, Some(at), index).filter(|_| same && holds);
        if taken.is_none() {
            held::clear(entry);
        }
        taken
    }

    pub(super) fn examine_protected(
        &self,
        at: Sequence,
        message: MessageRef,
        record: &PublisherRecord,
        id: u64,
        index: u32,
        state: &mut State,
    ) -> Step {
        let (publisher, segment) = (usize::from(message.publisher().0), message.segment());
        let known = match state.peers.known(publisher, segment, id) {
            Some(known) => known,
            None => {
                if !self.meet(message, record, id, state) {
                    return Step::Skip { lost: true };
                }
                match state.peers.known(publisher, segment, id) {
                    Some(known) if known.accepted => known,
                    Some(_) => {
                        state.refused_any = true;
                        return Step::Skip { lost: false };
                    }
                    None => return Step::Skip { lost: true },
                }
            }
        };
        let Some(mapped) = known.mapped.clone() else { return Step::Skip { lost: true } };
        let Some(taken) = Taken::locate(&mapped, message, Some(at), index) else { return Step::Skip { lost: true } };
        let Some((header, _)) = taken.content() else { return Step::Skip { lost: true } };
        if let Some(peer) = state.peers.peer_mut(publisher) {
            let instance = record.instance.load(Ordering::Relaxed);
            if peer.delivered.is_some_and(|(of, last)| of == instance && header.number().0 <= last) {
                return Step::Skip { lost: false };
            }
            // A publisher's numbers grow along the ring: nothing that comes was delivered before.
            peer.delivered = None;
        }
        if taken.row() != self.row {
            return Step::Elsewhere(taken);
        }
        if self.row != HOST_ROW || record.domain.load(Ordering::Relaxed) != u32::from(HOST_ROW) {
            // Its segment may hold messages of several domains: each is looked at.
            return if self.reach(&taken, state).is_ok() { Step::Deliver(taken) } else { Step::Skip { lost: true } };
        }
        self.recent_base
            .store(mapped.mapping().range(0, 0).map_or(std::ptr::null_mut(), <*const u8>::cast_mut), Ordering::Relaxed);
        state.recent = Some(Recent { publisher: message.publisher(), segment, id, mapped });
        Step::Deliver(taken)
    }

    /// Gets to know a publisher's segment: decides whether to listen, and maps it. Answers whether that worked.
    #[cold]
    pub(super) fn meet(&self, message: MessageRef, record: &PublisherRecord, id: u64, state: &mut State) -> bool {
        let owner = Owner::from_word(record.owner.load(Ordering::Acquire));
        let accepted = self.listens_to(&mut state.peers, message.publisher(), record, owner);
        let mapped = if accepted {
            let creator = record.creator.load(Ordering::Relaxed);
            let id = SegmentId(id);
            match self.topic.segments.get(id, &self.topic.folder().path(id, creator)) {
                Some(segment) => Some(segment),
                None => return false,
            }
        } else {
            None
        };
        self.retire_former(state);
        if self.places.are_all_free() {
            // Nothing is held but the message that is being looked at, and that lies in none of the retired segments.
            state.peers.bury();
        }
        let known = PeerSegment { id, accepted, mapped };
        state.peers.remember(usize::from(message.publisher().0), message.segment(), known);
        true
    }

    /// A held entry for use, raising the mark under which owners look.
    #[inline]
    pub(super) fn use_entry<'a>(
        &self,
        record: &'a SubscriptionRecord,
        state: &mut State,
        index: u32,
    ) -> Option<&'a AtomicU64> {
        let entry = record.held.get(index as usize)?;
        if index >= state.used {
            state.used = index + 1;
            // SYNC held-used: before the first announcement in it.
            record.held_used.store(state.used, Ordering::Release);
            fault_point!("take.entry-raised");
        }
        Some(entry)
    }
}
