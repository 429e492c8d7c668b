//! Taking: find the next message, protect it, check it, hand it out.

use super::backlog::{self, Noted};
use super::layout::{
    Owner, PublisherRecord, SubscriptionRecord, ACTIVE, INACTIVE, KEEP_ALL, MAX_HELD, TRANSIENT_LOCAL,
};
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
use crate::sync::atomic::{fence, AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sys::private_lock::{PrivateGuard, PrivateLock};
use crate::sys::{futex, prefetch};
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
        Self { gid: Gid::default(), history: History::KeepLast(10), transient_local: false, accept: Box::new(|_| true) }
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
    /// Counts the messages handed out.
    turn: u32,
    recent: Option<Recent>,
    /// Entries ever used, as in the record.
    used: u32,
    peers: Peers,
    backlog: VecDeque<Noted>,
    /// Whether the backlog is what keep-all publishers keep for this subscription (else it is the past).
    backlog_is_kept: bool,
    /// Whether a publisher has been refused: only then must its messages be kept out of the depth.
    refused_any: bool,
    /// With refused publishers: until this position is published, no more messages than the depth can be unread.
    within_depth_until: Option<Sequence>,
    lost: u64,
    lost_reported: u64,
}

impl State {
    /// Counts messages as lost. On a ring that somebody scribbles on they may be any number.
    fn lose(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }
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
    /// Where the segment of `State::recent` begins, or began once: only ever prefetched from.
    recent_base: AtomicPtr<u8>,
    /// Which message occupies each held entry, by its turn; zero: none.
    turns: [AtomicU32; MAX_HELD],
    /// The topic's segments as they were when this subscription last let go of those that are gone.
    segments_seen: AtomicU64,
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
    Skip {
        lost: bool,
    },
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
            recent_base: AtomicPtr::new(std::ptr::null_mut()),
            turns: Default::default(),
            segments_seen: AtomicU64::new(0),
            state: PrivateLock::new(State {
                cursor,
                turn: 0,
                used: 0,
                recent: None,
                peers: Peers::default(),
                backlog: VecDeque::new(),
                backlog_is_kept: false,
                refused_any: false,
                within_depth_until: None,
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
        let accept = |index, publisher: &_, owner| self.listens_to(&mut state.peers, index, publisher, owner);
        let past = backlog::collect(&self.topic, TRANSIENT_LOCAL, Sequence(0)..began, depth, entry, accept);
        self.note_backlog(&mut state, past, false);
    }

    fn note_backlog(&self, state: &mut State, noted: Vec<Noted>, kept: bool) {
        state.backlog_is_kept = kept;
        state.backlog.extend(noted);
        self.has_backlog.store(!state.backlog.is_empty(), Ordering::Relaxed);
    }

    /// Whether this subscription listens to the publisher that has a record now. Asks once per publisher.
    fn listens_to(&self, peers: &mut Peers, index: PublisherIndex, publisher: &PublisherRecord, owner: Owner) -> bool {
        // SYNC instance: the publisher's fields belong to it if it stands before and after they are read.
        let instance = publisher.instance.load(Ordering::Acquire);
        if let Some(accepted) = peers.verdict(usize::from(index.0), instance) {
            return accepted;
        }
        let owner = match owner {
            Owner::Participant(identity) => Some(identity),
            _ => None,
        };
        let info = PublisherInfo { gid: publisher.gid(), traits: publisher.traits.load(Ordering::Relaxed), owner };
        fence(Ordering::Acquire);
        let same = publisher.instance.load(Ordering::Relaxed) == instance;
        let accepted = (self.accept)(&info);
        if let Some(peer) = peers.peer_mut(usize::from(index.0)).filter(|_| same && instance != 0) {
            peer.verdict = Some((instance, accepted));
        }
        accepted
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
            Peek::Empty if !self.has_backlog.load(Ordering::Relaxed) => {}
            Peek::Present(word) => {
                self.prefetch_message(word);
                return false;
            }
            _ => return false,
        }
        if self.topic.segments_mark() != self.segments_seen.load(Ordering::Relaxed) {
            self.let_go();
        }
        true
    }

    /// Has the first lines of a message on their way before anything else is done with it, if it lies where the last one lay.
    #[inline]
    fn prefetch_message(&self, word: SlotWord) {
        let Some(message) = word.message_ref() else { return };
        let header = self.recent_base.load(Ordering::Relaxed).wrapping_byte_add(message.byte_offset());
        prefetch::for_reading(header);
        prefetch::for_reading(header.wrapping_byte_add(HEADER_BYTES));
    }

    /// Unmaps the segments of publishers that are gone: until then, their memory does not come back.
    #[cold]
    fn let_go(&self) {
        let mut state = self.lock();
        self.segments_seen.store(self.topic.segments_mark(), Ordering::Relaxed);
        self.retire_former(&mut state);
        if self.record().is_some_and(|record| record.held.iter().all(held::is_free)) {
            state.peers.bury();
        } else if state.peers.has_retired() {
            self.topic.ask_again_later();
        }
    }

    /// Retires the segments that no record names any more.
    fn retire_former(&self, state: &mut State) {
        let records = self.topic.layout().publishers();
        let is_current = |publisher: usize, segment: usize, id: u64| {
            let current = records.get(publisher).and_then(|record| record.segments.get(segment));
            current.is_some_and(|current| current.load(Ordering::Acquire) == id)
        };
        state.peers.prune(is_current);
        // It may have been retired; the long way finds it again.
        state.recent = None;
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
            self.lock().lose(1);
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
            Found::Message(mut taken) => {
                state.turn = state.turn.wrapping_add(1).max(1);
                taken.index.turn = state.turn;
                if let Some(turn) = self.turns.get(usize::from(taken.index.place)) {
                    turn.store(state.turn, Ordering::Relaxed);
                }
                Ok(Some(taken))
            }
        }
    }

    /// Gives a held message back. Its bytes may change from here on.
    ///
    /// # Errors
    /// [`NotHeld`] where it is not held (any more).
    #[inline]
    pub fn return_raw(&self, index: HeldIndex) -> Result<(), NotHeld> {
        if self.topic.participant().check_fork().is_err() {
            return Err(NotHeld);
        }
        let place = usize::from(index.place);
        let entry = self.record().and_then(|record| record.held.get(place)).ok_or(NotHeld)?;
        let turn = self.turns.get(place).filter(|turn| turn.load(Ordering::Relaxed) == index.turn).ok_or(NotHeld)?;
        turn.store(0, Ordering::Relaxed);
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
        if self.topic.participant().check_fork().is_err() {
            return 0;
        }
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
        let Some(free) = record.held.iter().position(held::is_free) else {
            return match purpose {
                Purpose::Take => Err(TakeError::TooManyHeld { limit: MAX_HELD }),
                Purpose::Look => Ok(self.look_without_entry(record, state)),
            };
        };
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
                    if !self.fall_behind(record, state, entry) {
                        // Within the depth, and gone all the same: somebody has scribbled on the slot, or on `head`.
                        if ring.head() <= at {
                            return Err(TakeError::Corrupt);
                        }
                        state.lose(1);
                        self.advance(record, state);
                    }
                    if !state.backlog.is_empty() {
                        if let Some(sample) = self.find_in_backlog(record, entry, index, state, purpose) {
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
            match self.examine(at, word, message, entry, index, state, purpose) {
                Step::Deliver(sample) => {
                    if purpose == Purpose::Take {
                        self.advance(record, state);
                    }
                    return Ok(Found::Message(sample));
                }
                Step::Skip { lost } => {
                    state.lose(u64::from(lost));
                    self.advance(record, state);
                }
                Step::Again => {}
            }
        }
        Err(TakeError::Corrupt)
    }

    /// Whether there is something to take, for a subscription that has no place left to take it to.
    #[cold]
    fn look_without_entry(&self, record: &SubscriptionRecord, state: &mut State) -> Found {
        let something = Found::Message(placeholder(0));
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

    fn pass_tombstone(&self, record: &SubscriptionRecord, state: &mut State, word: SlotWord) {
        if let Some((publisher, Tombstone::Dropped)) = word.tombstone_kind() {
            state.lose(u64::from(self.is_of_accepted(state, publisher)));
        }
        self.advance(record, state);
    }

    /// Whether more messages than the depth may be there at and behind `at`, without touching `head`.
    #[inline]
    fn is_beyond_depth(&self, state: &State, at: Sequence) -> bool {
        let ring = self.topic.ring();
        let there = |at: Sequence| !matches!(ring.peek(at), Peek::Empty);
        let ahead = |offset: u64| Sequence(at.0.wrapping_add(offset));
        there(ahead(1)) && there(ahead(self.depth)) && state.within_depth_until.is_none_or(there)
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
        if purpose == Purpose::Look {
            recent.mapped.mapping().range(message.byte_offset(), HEADER_BYTES)?;
            return (id.load(Ordering::Acquire) == recent.id).then(|| Step::Deliver(placeholder(index)));
        }
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
        self.recent_base
            .store(mapped.mapping().range(0, 0).map_or(std::ptr::null_mut(), <*const u8>::cast_mut), Ordering::Relaxed);
        state.recent = Some(Recent { publisher: message.publisher(), segment, id, mapped });
        Step::Deliver(taken)
    }

    /// Gets to know a publisher's segment: decides whether to listen, and maps it. Answers whether that worked.
    #[cold]
    fn meet(&self, message: MessageRef, record: &PublisherRecord, id: u64, state: &mut State) -> bool {
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
        if self.record().is_some_and(|record| record.held.iter().filter(|entry| !held::is_free(entry)).count() <= 1) {
            // Nothing is held but the message that is being looked at, and that lies in none of the retired segments.
            state.peers.bury();
        }
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
                (header.number() == noted.number).then_some(taken)
            });
            match sample {
                Some(sample) if purpose == Purpose::Look => {
                    held::clear(entry);
                    return Some(sample);
                }
                Some(sample) => {
                    state.recent = None;
                    let publisher = usize::from(noted.publisher.0);
                    if let Some(peer) = state.peers.peer_mut(publisher) {
                        peer.delivered = Some((noted.instance, noted.number.0));
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
                    state.lose(1);
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
        state.lose(lost);
        state.cursor = target;
        self.store_cursor(record, state);
        true
    }

    /// Decides about every publisher that may have messages in the ring.
    fn judge_all(&self, state: &mut State) {
        let mut refused_any = false;
        for (index, record) in self.topic.layout().publishers().iter().enumerate() {
            let owner = Owner::from_word(record.owner.load(Ordering::Acquire));
            if owner != Owner::Free {
                refused_any |= !self.listens_to(&mut state.peers, PublisherIndex(index as u16), record, owner);
            }
        }
        state.refused_any = refused_any;
    }

    /// Goes back from `head` until `depth` messages of accepted publishers lie between there and `head`. Where there are not
    /// so many, remembers how many more may come before it is worth looking again.
    fn target_among_accepted(&self, state: &mut State, head: Sequence, most: Sequence) -> Sequence {
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
    fn accepted_between(&self, state: &State, from: Sequence, to: Sequence, head: Sequence) -> u64 {
        let oldest = Sequence(head.0.saturating_sub(self.topic.ring().capacity()));
        let count = |from: Sequence, to: Sequence| {
            (from.0..to.0).filter(|at| self.is_from_accepted(state, Sequence(*at))).count() as u64
        };
        let overwritten = oldest.0.saturating_sub(from.0);
        let mut accepted = count(from.max(oldest), to);
        if overwritten > 0 {
            let share = count(oldest, head) as f64 / (head.0 - oldest.0).max(1) as f64;
            accepted += (overwritten as f64 * share).round() as u64;
        }
        accepted
    }

    /// Whether the message at a position is, or was, from an accepted publisher, as far as is known.
    fn is_from_accepted(&self, state: &State, at: Sequence) -> bool {
        let Peek::Present(word) = self.topic.ring().peek(at) else { return true };
        let message = word.message_ref().map(MessageRef::publisher);
        let publisher = message.or_else(|| word.tombstone_kind().map(|(publisher, _)| publisher));
        publisher.is_none_or(|publisher| self.is_of_accepted(state, publisher))
    }

    fn is_of_accepted(&self, state: &State, publisher: PublisherIndex) -> bool {
        let Some(record) = self.topic.publisher(publisher) else { return true };
        let instance = record.instance.load(Ordering::Acquire);
        state.peers.verdict(usize::from(publisher.0), instance).unwrap_or(true)
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
    Taken { ptr: NonNull::dangling(), room: 0, at: None, index: HeldIndex { place: index as u8, turn: 0 } }
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
