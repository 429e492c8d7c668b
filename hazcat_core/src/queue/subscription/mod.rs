//! Taking: find the next message, protect it, check it, hand it out.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | joining, leaving, and what a user calls |
//! | `options.rs` | what a subscription asks for |
//! | `errors.rs` | why nothing could be taken or returned |
//! | `find.rs` | the next message at the cursor |
//! | `across.rs` | messages from other memory domains |
//! | `behind.rs` | falling behind, and the past |
//! | `filter.rs` | which messages are wanted |
//! | `places.rs` | which held entries are in use |
//! | `returning.rs` | messages that a device still reads after they were returned |
//! | `waiting.rs` | sleeping until a message arrives |

mod across;
mod behind;
mod errors;
mod filter;
mod find;
mod options;
mod places;
mod returning;
mod waiting;

use crate::domain::{registry, DomainId};
use crate::ids::{Gid, PublisherIndex, Sequence, SubscriptionIndex};
use crate::log::warn_log;
use crate::participant::Participant;
use crate::payload::chunk::HEADER_BYTES;
use crate::payload::segment::Segment;
use crate::queue::backlog::{self, Noted};
use crate::queue::copier::{Copier, FailedCopies};
use crate::queue::device::DeviceSegments;
use crate::queue::layout::{
    taken, Owner, PublisherRecord, SubscriptionRecord, ACTIVE, HOST_ROW, INACTIVE, KEEP_ALL, TRANSIENT_LOCAL,
};
use crate::queue::peers::Peers;
use crate::queue::sample::{DeviceSample, HeldIndex, RawSample, Sample, Taken};
use crate::queue::topic::{CreateError, Topic};
use crate::queue::{History, PublisherInfo, TopicKey};
use crate::ring::word::SlotWord;
use crate::ring::{full_fence, held, Peek};
use crate::sync::atomic::{fence, AtomicBool, AtomicPtr, AtomicU64, Ordering};
use crate::sys::bus_error;
use crate::sys::private_lock::{PrivateGuard, PrivateLock};
use crate::sys::{futex, prefetch};
use crate::wait::Attached;
pub use errors::{NotHeld, TakeError};
use filter::Filter;
pub use filter::FilterFn;
use find::{Found, Purpose};
pub use options::{AcceptFn, SubscriptionOptions};
use places::Places;
pub use returning::ReturnError;
use std::collections::VecDeque;
use std::sync::Arc;

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
    /// Which messages are wanted.
    filter: Option<Box<Filter>>,
    lost: u64,
    lost_reported: u64,
    /// Where what was lost is shown.
    own: (Arc<Topic>, SubscriptionIndex),
    /// Where copies are made; `None` before the first message from another domain.
    copier: Option<Copier>,
    failed_copies: FailedCopies,
    devices: DeviceSegments,
    /// The copy of the message at this position cannot be used: it is to be copied for this subscription alone.
    alone: Option<Sequence>,
}

impl State {
    /// Counts in the record, see [`crate::queue::layout::taken`].
    #[inline]
    fn count(&self, record: Option<&SubscriptionRecord>, what: usize, more: u64) {
        if let Some(counter) = record.and_then(|record| record.counters.get(what)) {
            // Written by this subscription alone, under its lock.
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        }
    }

    /// Counts messages as lost. On a ring that somebody scribbles on they may be any number.
    fn lose(&mut self, count: u64) {
        if count > 0 {
            self.lost = self.lost.saturating_add(count);
            let record = self.own.0.subscription(self.own.1);
            if let Some(lost) = record.and_then(|record| record.counters.get(taken::LOST)) {
                lost.store(self.lost, Ordering::Relaxed);
            }
        }
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
    /// Whether there is a filter; written under the lock.
    is_filtered: AtomicBool,
    /// Where the segment of `State::recent` begins, or began once: only ever prefetched from.
    recent_base: AtomicPtr<u8>,
    /// Which of the held entries are in use.
    places: Arc<Places>,
    /// The topic's segments as they were when this subscription last let go of those that are gone.
    segments_seen: AtomicU64,
    /// Row of the memory domain in which it wants its messages.
    row: u8,
    domain: DomainId,
    copy_budget: usize,
    /// Whether it was said that messages are lost because their memory cannot be had.
    said_lost: AtomicBool,
    state: PrivateLock<State>,
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
        let row = topic.domain_row(options.domain)?;
        if row != HOST_ROW {
            // Here and now, not at the first message: whether that memory can be had at all.
            registry::get(options.domain).map_err(|source| CreateError::Domain { topic: key.name.clone(), source })?;
        }
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
            record.traits.store(options.traits, Ordering::Relaxed);
            record.depth.store(depth as u32, Ordering::Relaxed);
            record.flags.store(u32::from(keep_all) * KEEP_ALL, Ordering::Relaxed);
            record.domain.store(u32::from(row), Ordering::Relaxed);
            record.counters.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
            record.cursor.store(ring_head.0, Ordering::Relaxed);
            fault_point!("subscription.join.inactive");
            // SYNC subscription-active: the fields above are visible to who sees the record active.
            record.state.store(ACTIVE, Ordering::Release);
            fault_point!("subscription.join.active");
            // Whoever misses the activation in its look has a head that is read here.
            full_fence();
            let cursor = topic.ring().helped_head();
            record.cursor.store(cursor.0, Ordering::Release);
            fault_point!("subscription.join.cursor-set");
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
            is_filtered: AtomicBool::new(false),
            recent_base: AtomicPtr::new(std::ptr::null_mut()),
            places: Arc::default(),
            segments_seen: AtomicU64::new(0),
            row,
            domain: options.domain,
            copy_budget: options.copy_budget,
            said_lost: AtomicBool::new(false),
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
                filter: None,
                lost: 0,
                lost_reported: 0,
                own: (Arc::clone(&topic), index),
                copier: None,
                failed_copies: FailedCopies::default(),
                devices: DeviceSegments::default(),
                alone: None,
            }),
            topic,
        };
        if options.filter.is_some() {
            subscription.set_filter(options.filter);
        }
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
        let most = if state.filter.is_some() { usize::MAX } else { depth };
        let accept = |index, publisher: &_, owner| self.listens_to(&mut state.peers, index, publisher, owner);
        let mut past = backlog::collect(&self.topic, TRANSIENT_LOCAL, Sequence(0)..began, most, entry, accept);
        let State { filter, devices, .. } = &mut *state;
        if let Some(filter) = filter {
            filter.choose_past(&mut past, entry, depth, &self.topic, devices);
        }
        self.note_backlog(&mut state, past, false);
        fault_point!("subscription.join.past-collected");
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

    /// Does something that only one thread may do at a time.
    #[inline]
    pub(super) fn alone(&self, work: impl FnOnce()) {
        let _guard = self.lock();
        work();
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
        if let Some(copier) = &mut state.copier {
            // Nobody takes messages from other domains now, so nothing else would free the last copies.
            if !copier.reclaim() {
                self.topic.ask_again_later();
            }
        }
        if self.places.are_all_free() {
            state.peers.bury();
            state.devices.bury();
        } else if state.peers.has_retired() || state.devices.has_retired() {
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
        state.devices.retire_former(&self.topic);
        // It may have been retired; the long way finds it again.
        state.recent = None;
    }

    #[inline]
    pub(super) fn record(&self) -> Option<&SubscriptionRecord> {
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

    /// The memory domain in which it wants its messages.
    pub fn domain(&self) -> DomainId {
        self.domain
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
        Ok(self.take_protected(Purpose::Take)?.map(|raw| Sample { subscription: self, raw }))
    }

    /// Takes the next message for a caller that keeps it in its own books.
    ///
    /// # Errors
    /// See [`TakeError`].
    pub fn take_raw(&self) -> Result<Option<RawSample>, TakeError> {
        self.take_raw_for(Purpose::Take)
    }

    /// Takes the next message in whatever memory domain it lies ([`RawSample::domain`]), without making a copy of it: for a caller
    /// that copies it to its own memory anyway.
    ///
    /// # Errors
    /// See [`TakeError`].
    pub fn take_raw_as_it_lies(&self) -> Result<Option<RawSample>, TakeError> {
        self.take_raw_for(Purpose::TakeAsItLies)
    }

    /// The device memory of a message that is held; `None` for one on the host.
    pub fn device(&self, sample: &RawSample) -> Option<DeviceSample> {
        self.device_of(&sample.taken)
    }

    /// The device memory of a message that is held.
    pub(super) fn device_of(&self, taken: &Taken) -> Option<DeviceSample> {
        let bytes = taken.on_device()?;
        let domain = self.topic.domain(taken.row())?;
        let memory = self.lock().devices.reach(&self.topic, domain, &bytes).ok()?;
        DeviceSample::new(domain, bytes, memory)
    }

    fn take_raw_for(&self, purpose: Purpose) -> Result<Option<RawSample>, TakeError> {
        for _ in 0..self.topic.layout().capacity() {
            let Some(taken) = self.take_protected(purpose)? else { return Ok(None) };
            if let Some((header, len)) = taken.content() {
                let (mut ptr, mut domain) = (taken.ptr, DomainId::HOST);
                if taken.row() != HOST_ROW {
                    let device = self.device_of(&taken).ok_or(TakeError::Corrupt)?;
                    (ptr, domain) = (device.address(), device.domain());
                }
                if purpose == Purpose::TakeAsItLies && domain != self.domain {
                    self.count_as_it_lay();
                }
                return Ok(Some(RawSample { ptr, len, info: Taken::info(header), index: taken.index, domain, taken }));
            }
            // Its header has been overwritten: as good as lost.
            let _ = self.return_raw(taken.index);
            self.lock().lose(1);
            if bus_error::cuts() > 0 {
                // Its file may have been cut short, and be whole again.
                self.let_go();
            }
        }
        Err(TakeError::Corrupt)
    }

    #[inline]
    fn take_protected(&self, purpose: Purpose) -> Result<Option<Taken>, TakeError> {
        if self.topic.participant().check_fork().is_err() {
            return Err(TakeError::Forked);
        }
        let record = self.record().ok_or(TakeError::Corrupt)?;
        if self.is_surely_empty(record) {
            // A file that was cut short looks empty.
            return if self.topic.is_cut() { Err(TakeError::Corrupt) } else { Ok(None) };
        }
        let mut state = self.lock();
        let mut taken = match self.find_recent(record, &mut state) {
            Some(taken) => taken,
            None => match self.find(record, &mut state, purpose)? {
                Found::Nothing => return Ok(None),
                Found::Message(taken) => taken,
            },
        };
        state.turn = places::after(state.turn);
        state.count(Some(record), taken::MESSAGES, 1);
        taken.index.turn = state.turn;
        self.places.occupy(taken.index);
        Ok(Some(taken))
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
        let entry = self.record().and_then(|record| record.held.get(index.place as usize)).ok_or(NotHeld)?;
        if !self.places.is_occupied_by(index) {
            return Err(NotHeld);
        }
        fault_point!("return.held");
        held::clear(entry);
        fault_point!("return.cleared");
        self.places.vacate(index.place as usize);
        Ok(())
    }

    /// Gives a held message back as one that is lost: for a layer above that cannot read it, or takes too late what it has kept.
    ///
    /// # Errors
    /// As [`Subscription::return_raw`].
    pub fn lose_raw(&self, index: HeldIndex) -> Result<(), NotHeld> {
        self.return_raw(index)?;
        self.lock().lose(1);
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

    /// About how many unread messages there are (those of publishers that it does not listen to included).
    pub fn unread_estimate(&self) -> u64 {
        if self.topic.participant().check_fork().is_err() {
            return 0;
        }
        let mut state = self.lock();
        let passed = self.record().and_then(|record| self.judge_now(record, &mut state));
        let ahead = || self.topic.ring().helped_head().0.saturating_sub(state.cursor.0).min(self.depth);
        passed.unwrap_or_else(ahead) + state.backlog.len() as u64
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

    /// Leaves the topic. Idempotent; `take` answers `None` afterwards only because nothing arrives any more.
    fn leave(&self) {
        if self.topic.participant().check_fork().is_err() {
            return;
        }
        let Some(record) = self.record() else { return };
        record.state.store(INACTIVE, Ordering::Release);
        fault_point!("subscription.leave.inactive");
        if !self.wait_for_streams() {
            // The record stays this participant's, and its announcements stand.
            warn_log!("topic '{}': a stream never finished with a message, which stays", self.topic.key().name);
            return;
        }
        self.topic.reset_subscription(record, self.index);
        fault_point!("subscription.leave.reset");
        // SYNC record-owner
        record.owner.store(0, Ordering::Release);
        fault_point!("subscription.leave.left");
        super::sweep::sweep_topic(&self.topic);
        if self.keep_all {
            let hot = self.topic.layout().hot();
            hot.space_bell.fetch_add(1, Ordering::AcqRel);
            futex::wake_all(&hot.space_bell);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}
