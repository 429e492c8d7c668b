//! Taking: find the next message, protect it, check it, hand it out.

use super::backlog::{self, Noted};
use super::layout::{Owner, PublisherRecord, SubscriptionRecord, ACTIVE, INACTIVE, KEEP_ALL, MAX_HELD, TRANSIENT_LOCAL};
use super::peers::{PeerSegment, Peers};
use super::sample::{HeldIndex, RawSample, Sample, Taken};
use super::topic::{armed_bit, CreateError, Topic};
use super::{History, PublisherInfo, TopicKey};
use crate::ids::{Gid, PublisherIndex, SegmentId, Sequence, SubscriptionIndex};
use crate::participant::Participant;
use crate::payload::chunk::HEADER_BYTES;
use crate::payload::segment::Segment;
use crate::ring::word::{MessageRef, SlotWord, Tombstone};
use crate::ring::{full_fence, held, Peek};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sys::{futex, prefetch};
use crate::sys::private_lock::{PrivateGuard, PrivateLock};
use crate::wait::{Attached, LocalBell, Waitable};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;

/// Decides once per publisher whether a subscription listens to it.
pub type AcceptFn = Box<dyn Fn(&PublisherInfo) -> bool + Send + Sync>;

/// How a subscription is to be.
pub struct SubscriptionOptions {
    /// Its gid.
    pub gid: Gid,
    /// How many unread messages it keeps.
    pub history: History,
    /// Whether it gets the past of transient-local publishers.
    pub transient_local: bool,
    /// Which publishers it listens to. Messages of others do not use up its depth.
    pub accept: AcceptFn,
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        Self {
            gid: Gid::default(),
            history: History::KeepLast(10),
            transient_local: false,
            accept: Box::new(|_| true),
        }
    }
}

/// Why nothing was taken although something may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// As many messages are held as a subscription can hold.
    #[error("{limit} messages are held already; return one first")]
    TooManyHeld {
        /// Most messages.
        limit: usize,
    },
    /// The calling process is a fork of the one that created the subscription.
    #[error("a forked child must not use its parent's subscription")]
    Forked,
    /// Shared memory was overwritten so that the ring makes no sense.
    #[error("the topic's ring is corrupt")]
    Corrupt,
}

/// A message was returned that is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is not held by this subscription")]
pub struct NotHeld;

/// Messages lost: fallen behind by more than the depth, dropped for want of memory, or gone with a dead publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LostCount {
    /// Since the subscription was created.
    pub total: u64,
    /// Since the last call.
    pub change: u64,
}

/// The segment the last message came from: the next one probably does too. Only of a publisher that is accepted and of
/// which nothing was taken from the history.
struct Recent {
    publisher: PublisherIndex,
    segment: usize,
    id: u64,
    mapped: Arc<Segment>,
}

struct State {
    cursor: Sequence,
    recent: Option<Recent>,
    /// Entries ever used, as in the record.
    used: u32,
    peers: Peers,
    backlog: VecDeque<Noted>,
    /// Whether a publisher has been refused: only then must its messages be kept out of the depth.
    refused_any: bool,
    lost: u64,
    lost_reported: u64,
}

/// A subscription on one topic. Threads may share it.
pub struct Subscription {
    topic: Arc<Topic>,
    index: SubscriptionIndex,
    gid: Gid,
    depth: u64,
    keep_all: bool,
    accept: AcceptFn,
    attached: Attached,
    /// Whether `backlog` may have something; written under the lock.
    has_backlog: AtomicBool,
    state: PrivateLock<State>,
}

/// A message found at the cursor.
enum Found {
    Nothing,
    /// Protected by the held entry with this index; the cursor is still before it.
    Message(Taken),
}

/// What is to be done with the message at the cursor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Take,
    Look,
}

/// What became of one message.
enum Step {
    Deliver(Taken),
    /// Not for this subscription, or gone: go on behind it.
    Skip { lost: bool },
    /// The slot changed meanwhile: look again.
    Again,
}

impl Subscription {
    /// Joins a topic as a subscription.
    ///
    /// # Errors
    /// See [`CreateError`]; nothing is left behind.
    pub fn new(
        participant: &Arc<Participant>,
        key: &TopicKey,
        options: SubscriptionOptions,
    ) -> Result<Self, CreateError> {
        let topic = Topic::open(participant, key, options.history.wished_capacity())?;
        let index = topic.claim_subscription()?;
        let capacity = topic.layout().capacity();
        let depth = options.history.depth_in(capacity);
        let keep_all = options.history == History::KeepAll;
        let full = CreateError::TableFull { topic: key.name.clone(), kind: "subscription", limit: 0 };
        let ring_head = topic.ring().helped_head();
        let cursor = {
            let record = topic.subscription(index).ok_or(full)?;
            let gid = options.gid.words();
            record.gid[0].store(gid[0], Ordering::Relaxed);
            record.gid[1].store(gid[1], Ordering::Relaxed);
            record.depth.store(depth as u32, Ordering::Relaxed);
            record.flags.store(u32::from(keep_all) * KEEP_ALL, Ordering::Relaxed);
            record.cursor.store(ring_head.0, Ordering::Relaxed);
            // SYNC subscription-active: the fields above are visible to who sees the record active.
            record.state.store(ACTIVE, Ordering::Release);
            // Whoever misses the activation in its look has a head that is read here.
            full_fence();
            let cursor = topic.ring().helped_head();
            record.cursor.store(cursor.0, Ordering::Release);
            cursor
        };
        let subscription = Self {
            index,
            gid: options.gid,
            depth: depth as u64,
            keep_all,
            accept: options.accept,
            attached: Attached::default(),
            has_backlog: AtomicBool::new(false),
            state: PrivateLock::new(State {
                cursor,
                used: 0,
                recent: None,
                peers: Peers::default(),
                backlog: VecDeque::new(),
                refused_any: false,
                lost: 0,
                lost_reported: 0,
            }),
            topic,
        };
        if options.transient_local {
            subscription.collect_past(cursor);
        }
        Ok(subscription)
    }

    /// Notes what transient-local publishers have published before this subscription began.
    fn collect_past(&self, began: Sequence) {
        let mut state = self.lock();
        let Some(record) = self.record() else { return };
        let Some(entry) = self.use_entry(record, &mut state, 0) else { return };
        let depth = self.depth as usize;
        let past = backlog::collect(&self.topic, TRANSIENT_LOCAL, Sequence(0)..began, depth, entry, |publisher, owner| {
            self.listens_to(publisher, owner)
        });
        self.note_backlog(&mut state, past);
    }

    fn note_backlog(&self, state: &mut State, noted: Vec<Noted>) {
        state.backlog.extend(noted);
        self.has_backlog.store(!state.backlog.is_empty(), Ordering::Relaxed);
    }

    fn listens_to(&self, publisher: &PublisherRecord, owner: Owner) -> bool {
        let owner = match owner {
            Owner::Participant(identity) => Some(identity),
            _ => None,
        };
        let info =
            PublisherInfo { gid: publisher.gid(), traits: publisher.traits.load(Ordering::Relaxed), owner };
        (self.accept)(&info)
    }

    #[inline]
    fn lock(&self) -> PrivateGuard<'_, State> {
        self.state.lock()
    }

    /// Whether there is certainly nothing to take, found out without the lock: nothing of the past, and the slot at the
    /// cursor not published yet.
    #[inline]
    fn is_surely_empty(&self, record: &SubscriptionRecord) -> bool {
        // Only this process writes the cursor; a thread that moves it right now makes the answer true or false a moment ago.
        let cursor = Sequence(record.cursor.load(Ordering::Acquire));
        match self.topic.ring().peek(cursor) {
            Peek::Empty => !self.has_backlog.load(Ordering::Relaxed),
            _ => false,
        }
    }

    #[inline]
    fn record(&self) -> Option<&SubscriptionRecord> {
        self.topic.subscription(self.index)
    }

    /// Its gid.
    pub fn gid(&self) -> Gid {
        self.gid
    }

    /// Unread messages it keeps: what was asked for, or less where the topic's ring, made by its first endpoint, is too
    /// small (a quarter of its capacity; half of it for keep-all).
    pub fn depth(&self) -> usize {
        self.depth as usize
    }

    /// The topic it is on.
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// Takes the next message, if there is one.
    ///
    /// # Errors
    /// See [`TakeError`].
    #[inline]
    pub fn take(&self) -> Result<Option<Sample<'_>>, TakeError> {
        Ok(self.take_protected()?.map(|raw| Sample { subscription: self, raw }))
    }

    /// Takes the next message for a caller that keeps it in its own books.
    ///
    /// # Errors
    /// See [`TakeError`].
    pub fn take_raw(&self) -> Result<Option<RawSample>, TakeError> {
        for _ in 0..self.topic.layout().capacity() {
            let Some(taken) = self.take_protected()? else { return Ok(None) };
            if let Some((header, len)) = taken.content() {
                return Ok(Some(RawSample { ptr: taken.ptr, len, info: Taken::info(header), index: taken.index }));
            }
            // Its header has been overwritten: as good as lost.
            let _ = self.return_raw(taken.index);
            self.lock().lost += 1;
        }
        Err(TakeError::Corrupt)
    }

    #[inline]
    fn take_protected(&self) -> Result<Option<Taken>, TakeError> {
        if self.topic.participant().check_fork().is_err() {
            return Err(TakeError::Forked);
        }
        let record = self.record().ok_or(TakeError::Corrupt)?;
        if self.is_surely_empty(record) {
            return Ok(None);
        }
        let mut state = self.lock();
        match self.find(record, &mut state, Purpose::Take)? {
            Found::Nothing => Ok(None),
            Found::Message(taken) => Ok(Some(taken)),
        }
    }

    /// Gives a held message back. Its bytes may change from here on.
    ///
    /// # Errors
    /// [`NotHeld`] where it is not held (any more).
    #[inline]
    pub fn return_raw(&self, index: HeldIndex) -> Result<(), NotHeld> {
        let entry = self.record().and_then(|record| record.held.get(usize::from(index.0))).ok_or(NotHeld)?;
        if held::is_free(entry) {
            return Err(NotHeld);
        }
        held::clear(entry);
        Ok(())
    }

    /// Whether [`Subscription::take`] would find a message. Moves over what is not for this subscription.
    pub fn has_data(&self) -> bool {
        if self.topic.participant().check_fork().is_err() {
            return false;
        }
        let Some(record) = self.record() else { return false };
        if self.is_surely_empty(record) {
            return false;
        }
        let mut state = self.lock();
        match self.find(record, &mut state, Purpose::Look) {
            Ok(Found::Nothing) => false,
            // An error is for `take` to report.
            Ok(Found::Message(_)) | Err(_) => true,
        }
    }

    /// About how many unread messages there are (those that are not for this subscription included).
    pub fn unread_estimate(&self) -> u64 {
        let state = self.lock();
        let ahead = self.topic.ring().helped_head().0.saturating_sub(state.cursor.0);
        ahead.min(self.depth) + state.backlog.len() as u64
    }

    /// How many messages were lost.
    pub fn take_lost(&self) -> LostCount {
        let mut state = self.lock();
        let change = state.lost - state.lost_reported;
        state.lost_reported = state.lost;
        LostCount { total: state.lost, change }
    }

    /// How many messages were lost, without counting them as reported.
    pub fn lost(&self) -> LostCount {
        let state = self.lock();
        LostCount { total: state.lost, change: state.lost - state.lost_reported }
    }

    /// A held entry for use, raising the mark under which owners look.
    #[inline]
    fn use_entry<'a>(&self, record: &'a SubscriptionRecord, state: &mut State, index: u32) -> Option<&'a AtomicU64> {
        let entry = record.held.get(index as usize)?;
        if index >= state.used {
            state.used = index + 1;
            // SYNC held-used: before the first announcement in it.
            record.held_used.store(state.used, Ordering::Release);
        }
        Some(entry)
    }

    #[inline]
    fn find(&self, record: &SubscriptionRecord, state: &mut State, purpose: Purpose) -> Result<Found, TakeError> {
        let free = record.held.iter().position(held::is_free).ok_or(TakeError::TooManyHeld { limit: MAX_HELD })?;
        let index = free as u32;
        let entry = self.use_entry(record, state, index).ok_or(TakeError::Corrupt)?;
        if !state.backlog.is_empty() {
            if let Some(sample) = self.find_in_backlog(record, entry, index, state, purpose) {
                return Ok(Found::Message(sample));
            }
        }
        let ring = self.topic.ring();
        // Each turn moves the cursor or follows a publication that happened meanwhile.
        for _ in 0..ring.capacity().saturating_mul(4) {
            let at = state.cursor;
            let word = match ring.peek(at) {
                Peek::Empty => return Ok(Found::Nothing),
                Peek::Lapped => {
                    self.fall_behind(record, state, entry);
                    if !state.backlog.is_empty() {
                        if let Some(sample) = self.find_in_backlog(record, entry, index, state, purpose) {
                            return Ok(Found::Message(sample));
                        }
                    }
                    continue;
                }
                Peek::Present(word) => word,
            };
            if !self.keep_all && self.is_beyond_depth(at) && self.fall_behind(record, state, entry) {
                continue;
            }
            let Some(message) = word.message_ref() else {
                state.lost += u64::from(word.tombstone_kind() == Some(Tombstone::Dropped));
                self.advance(record, state);
                continue;
            };
            match self.examine(at, word, message, entry, index, state, purpose) {
                Step::Deliver(sample) => {
                    if purpose == Purpose::Take {
                        self.advance(record, state);
                    }
                    return Ok(Found::Message(sample));
                }
                Step::Skip { lost } => {
                    state.lost += u64::from(lost);
                    self.advance(record, state);
                }
                Step::Again => {}
            }
        }
        Err(TakeError::Corrupt)
    }

    /// Whether more messages than the depth are there at and behind `at`, without touching `head`.
    #[inline]
    fn is_beyond_depth(&self, at: Sequence) -> bool {
        let ring = self.topic.ring();
        let there = |offset: u64| !matches!(ring.peek(Sequence(at.0.wrapping_add(offset))), Peek::Empty);
        there(1) && there(self.depth)
    }

    /// Moves the cursor behind the message it stands at.
    #[inline]
    fn advance(&self, record: &SubscriptionRecord, state: &mut State) {
        state.cursor.0 = state.cursor.0.wrapping_add(1);
        self.store_cursor(record, state);
        // The slot behind the next one is looked at by the next take.
        prefetch::for_reading(self.topic.ring().slot_address(Sequence(state.cursor.0.wrapping_add(1))));
    }

    #[inline]
    fn store_cursor(&self, record: &SubscriptionRecord, state: &State) {
        let mut cursor = state.cursor;
        if self.keep_all {
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
                hot.space_bell.fetch_add(1, Ordering::AcqRel);
                futex::wake_all(&hot.space_bell);
            }
        }
    }

    /// Looks at one message: is it for us, is it what it says it is.
    #[inline]
    #[allow(clippy::too_many_arguments)] // one step of `find`, split off for its length
    fn examine(
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
                if let Some(step) = self.examine_recent(at, word, message, entry, id, index, recent, purpose) {
                    return step;
                }
            }
        }
        if let Some(known) = state.peers.known(publisher, segment, id.load(Ordering::Acquire)) {
            if !known.accepted {
                state.refused_any = true;
                return Step::Skip { lost: false };
            }
            if purpose == Purpose::Look && state.peers.peer(publisher).is_some_and(|peer| peer.delivered.is_none()) {
                return Step::Deliver(placeholder(index));
            }
        }
        held::announce(entry, message);
        // SYNC segment-id: between the announcement and the second look, so that it is this message's segment.
        let id = id.load(Ordering::Acquire);
        if !self.topic.ring().still_holds(at, word) {
            held::clear(entry);
            return Step::Again;
        }
        // From here on neither the chunk nor the publisher's record is reused until `entry` is cleared.
        let step = self.examine_protected(at, message, record, id, index, state);
        if purpose == Purpose::Look || !matches!(step, Step::Deliver(_)) {
            held::clear(entry);
        }
        step
    }

    /// The way of almost every message: from the same segment as the last one. `None`: take the long way.
    #[inline]
    #[allow(clippy::too_many_arguments)] // one step of `find`, split off for its length
    fn examine_recent(
        &self,
        at: Sequence,
        word: SlotWord,
        message: MessageRef,
        entry: &AtomicU64,
        id: &AtomicU64,
        index: u32,
        recent: &Recent,
        purpose: Purpose,
    ) -> Option<Step> {
        let header = recent.mapped.mapping().range(message.byte_offset(), 2 * HEADER_BYTES)?;
        if purpose == Purpose::Look {
            return (id.load(Ordering::Acquire) == recent.id).then(|| Step::Deliver(placeholder(index)));
        }
        // On their way while the announcement becomes visible; nobody here waits for them.
        prefetch::for_reading(header);
        prefetch::for_reading(header.wrapping_add(HEADER_BYTES));
        held::announce(entry, message);
        // SYNC segment-id: between the announcement and the second look, so that it is this message's segment.
        let same = id.load(Ordering::Acquire) == recent.id;
        if !self.topic.ring().still_holds(at, word) {
            held::clear(entry);
            return Some(Step::Again);
        }
        match Taken::locate(&recent.mapped, message, Some(at), index) {
            Some(taken) if same => Some(Step::Deliver(taken)),
            _ => {
                held::clear(entry);
                None
            }
        }
    }

    fn examine_protected(
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
        let Some(mapped) = &known.mapped else { return Step::Skip { lost: true } };
        let Some(taken) = Taken::locate(mapped, message, Some(at), index) else { return Step::Skip { lost: true } };
        let Some((header, _)) = taken.content() else { return Step::Skip { lost: true } };
        if let Some((gid, number)) = state.peers.peer(publisher).and_then(|peer| peer.delivered) {
            if gid == header.gid() && header.number().0 <= number {
                return Step::Skip { lost: false };
            }
        } else {
            state.recent = Some(Recent { publisher: message.publisher(), segment, id, mapped: Arc::clone(mapped) });
        }
        Step::Deliver(taken)
    }

    /// Gets to know a publisher's segment: decides whether to listen, and maps it. Answers whether that worked.
    #[cold]
    fn meet(&self, message: MessageRef, record: &PublisherRecord, id: u64, state: &mut State) -> bool {
        let owner = Owner::from_word(record.owner.load(Ordering::Acquire));
        let accepted = self.listens_to(record, owner);
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
        let records = self.topic.layout().publishers();
        state.peers.prune(|publisher, segment, id| {
            let current = records.get(publisher).and_then(|record| record.segments.get(segment));
            current.is_some_and(|current| current.load(Ordering::Acquire) == id)
        });
        if self.record().is_some_and(|record| record.held.iter().filter(|entry| !held::is_free(entry)).count() <= 1) {
            // Nothing is held but the message that is being looked at, and that lies in none of the retired segments.
            state.peers.bury();
        }
        // It may be about to be retired; the long way finds it again.
        state.recent = None;
        let known = PeerSegment { id, accepted, mapped };
        state.peers.remember(usize::from(message.publisher().0), message.segment(), known);
        true
    }

    /// The next message of the past that is still there, protected by `entry` if it is to be taken.
    #[cold]
    fn find_in_backlog(
        &self,
        record: &SubscriptionRecord,
        entry: &AtomicU64,
        index: u32,
        state: &mut State,
        purpose: Purpose,
    ) -> Option<Taken> {
        while let Some(noted) = state.backlog.front() {
            let sample = noted.protect(entry).and_then(|message| {
                let taken = Taken::locate(&noted.segment, message, None, index)?;
                let (header, _) = taken.content()?;
                (header.number() == noted.number).then_some((taken, header.gid(), noted.number.0))
            });
            match sample {
                Some((sample, ..)) if purpose == Purpose::Look => {
                    held::clear(entry);
                    return Some(sample);
                }
                Some((sample, gid, number)) => {
                    state.recent = None;
                    let publisher = usize::from(noted.publisher.0);
                    if let Some(peer) = state.peers.peer_mut(publisher) {
                        peer.delivered = Some((gid, number));
                    }
                    if let Some(noted) = state.backlog.pop_front() {
                        // Stays mapped while the message may be held.
                        state.peers.retire(noted.segment);
                    }
                    self.backlog_moved(record, state);
                    return Some(sample);
                }
                None => {
                    held::clear(entry);
                    state.lost += 1;
                    state.backlog.pop_front();
                    self.backlog_moved(record, state);
                }
            }
        }
        None
    }

    /// The backlog has become shorter: says so, and how far this subscription has got.
    fn backlog_moved(&self, record: &SubscriptionRecord, state: &State) {
        self.has_backlog.store(!state.backlog.is_empty(), Ordering::Relaxed);
        self.store_cursor(record, state);
    }

    /// The cursor has fallen behind by more than the depth (or by a lap): jumps, counts what is lost. Answers whether the
    /// cursor moved.
    #[cold]
    fn fall_behind(&self, record: &SubscriptionRecord, state: &mut State, entry: &AtomicU64) -> bool {
        let ring = self.topic.ring();
        let head = ring.helped_head();
        let from = state.cursor;
        let mut target = Sequence(head.0.saturating_sub(self.depth));
        if state.refused_any {
            target = self.skip_refused(state, head, target);
        }
        if target <= from {
            return false;
        }
        let mut lost = target.0 - from.0;
        if state.refused_any {
            let oldest = Sequence(head.0.saturating_sub(ring.capacity()));
            lost = (from.max(oldest).0..target.0).filter(|at| self.is_listened_to(state, Sequence(*at))).count() as u64
                + oldest.0.saturating_sub(from.0);
        }
        if self.keep_all {
            let accept = |publisher: &PublisherRecord, owner| self.listens_to(publisher, owner);
            let kept = backlog::collect(&self.topic, KEEP_ALL, from..target, usize::MAX, entry, accept);
            lost = lost.saturating_sub(kept.len() as u64);
            self.note_backlog(state, kept);
        }
        state.lost += lost;
        state.cursor = target;
        self.store_cursor(record, state);
        true
    }

    /// Goes back from `target` until `depth` messages that are listened to lie between there and `head`.
    fn skip_refused(&self, state: &State, head: Sequence, target: Sequence) -> Sequence {
        let oldest = Sequence(head.0.saturating_sub(self.topic.ring().capacity() / 2)).max(state.cursor);
        let mut wanted = self.depth;
        let mut at = head;
        while at > oldest && wanted > 0 {
            at.0 -= 1;
            wanted -= u64::from(self.is_listened_to(state, at));
        }
        at.min(target).max(state.cursor)
    }

    /// Whether the message at a position is from a publisher that is not refused, as far as is known.
    fn is_listened_to(&self, state: &State, at: Sequence) -> bool {
        let Peek::Present(word) = self.topic.ring().peek(at) else { return true };
        let Some(message) = word.message_ref() else { return word.tombstone_kind() == Some(Tombstone::Dropped) };
        let id = self.topic.publisher(message.publisher()).and_then(|record| record.segments.get(message.segment()));
        let Some(id) = id else { return true };
        let known = state.peers.known(
            usize::from(message.publisher().0),
            message.segment(),
            id.load(Ordering::Acquire),
        );
        known.is_none_or(|known| known.accepted)
    }

    /// Leaves the topic. Idempotent; `take` answers `None` afterwards only because nothing arrives any more.
    fn leave(&self) {
        if self.topic.participant().check_fork().is_err() {
            return;
        }
        let Some(record) = self.record() else { return };
        record.state.store(INACTIVE, Ordering::Release);
        self.topic.reset_subscription(record, self.index);
        // SYNC record-owner
        record.owner.store(0, Ordering::Release);
        super::sweep::sweep_topic(&self.topic);
        if self.keep_all {
            let hot = self.topic.layout().hot();
            hot.space_bell.fetch_add(1, Ordering::AcqRel);
            futex::wake_all(&hot.space_bell);
        }
    }
}

/// What a look answers: nobody reads it.
fn placeholder(index: u32) -> Taken {
    Taken { ptr: NonNull::dangling(), room: 0, at: None, index: HeldIndex(index as u8) }
}

impl Waitable for Subscription {
    fn is_ready(&self) -> bool {
        self.has_data()
    }

    fn arm(&self, bell: &Arc<LocalBell>) {
        let Some(record) = self.record() else { return };
        let (word, bit) = armed_bit(self.index);
        let Some(armed) = self.topic.layout().hot().armed.get(word) else { return };
        self.attached.add(bell, || {
            // SYNC armed: first which bell, then the bit.
            record.bell.store(bell.index(), Ordering::Release);
            armed.fetch_or(bit, Ordering::AcqRel);
        });
    }

    fn disarm(&self, bell: &Arc<LocalBell>) {
        let Some(record) = self.record() else { return };
        let (word, bit) = armed_bit(self.index);
        let Some(armed) = self.topic.layout().hot().armed.get(word) else { return };
        self.attached.remove(bell, |other| match other {
            // Another wait set waits for the same subscription. The record has room for one bell: it is theirs from now
            // on, and they look again, because a ring may have gone to ours.
            Some(other) => {
                record.bell.store(other.index(), Ordering::Release);
                other.ring();
            }
            None => {
                armed.fetch_and(!bit, Ordering::AcqRel);
            }
        });
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}
