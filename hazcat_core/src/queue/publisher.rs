//! Publishing: loan a chunk, fill it, append it to the ring, ring those who sleep.

use super::cursors::Cursors;
use super::layout::{counter, orphan_word, PublisherRecord, ACTIVE, INACTIVE, KEEP_ALL, TRANSIENT_LOCAL};
use super::loan::{Loan, RawLoan};
use super::pool::{Pool, PoolUsage, PublishedChunk};
use super::topic::{CreateError, Topic};
use super::{History, Published, TopicKey};
use crate::domain::host::HostAllocator;
use crate::domain::{AllocateError, Allocation, DomainAllocator};
use crate::history::HistoryView;
use crate::ids::{Gid, Identity, PublicationNumber, PublisherIndex, Sequence};
use crate::participant::Participant;
use crate::payload::chunk::{ChunkHeader, MessageMeta, HEADER_BYTES};
use crate::ring::word::{MessageRef, CHUNK_UNIT};
use crate::ring::{full_fence, full_fence_after_rmw, Ahead, AppendError, RingError};
use crate::sync::atomic::{fence, AtomicU64, Ordering};
use crate::sys::private_lock::{PrivateGuard, PrivateLock};
use crate::sys::random::random_u64;
use crate::sys::{futex, prefetch};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest a waiting keep-all publisher sleeps before it looks by itself.
const SPACE_SLICE: Duration = Duration::from_millis(5);

/// How a publisher is to be.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// Its gid.
    pub gid: Gid,
    /// A word that subscriptions see when they decide whether to listen; the core does not interpret it.
    pub traits: u64,
    /// How many messages it keeps: for late subscriptions if `transient_local`, for slow ones if keep-all.
    pub history: History,
    /// Whether late subscriptions get the last messages.
    pub transient_local: bool,
    /// Longest a keep-all publisher waits for slow subscriptions.
    pub max_blocking: Duration,
    /// Most bytes of shared memory for its messages.
    pub byte_budget: usize,
    /// Payload bytes of a typical message; zero where nobody knows.
    pub expected_size: usize,
}

impl PublisherOptions {
    /// Bytes of shared memory a publisher may use if nothing else is said: 1 GiB.
    pub const DEFAULT_BUDGET: usize = 1 << 30;
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            gid: Gid::default(),
            traits: 0,
            history: History::KeepLast(10),
            transient_local: false,
            max_blocking: Duration::from_millis(100),
            byte_budget: Self::DEFAULT_BUDGET,
            expected_size: 0,
        }
    }
}

/// Why there is no loan.
#[derive(Debug, thiserror::Error)]
pub enum LoanError {
    /// The byte budget is used up by messages that somebody needs or holds.
    #[error(
        "topic '{topic}': no memory for {needed} bytes (used {}, pinned by readers {}, limit {})",
        usage.used, usage.pinned, usage.limit
    )]
    Exhausted {
        /// Name of the topic.
        topic: String,
        /// Bytes asked for.
        needed: usize,
        /// The publisher's figures.
        usage: PoolUsage,
    },
    /// Larger than the budget can ever hold.
    #[error("topic '{topic}': {needed} bytes can never fit into the publisher's budget of {limit} bytes")]
    TooLarge {
        /// Name of the topic.
        topic: String,
        /// Bytes asked for.
        needed: usize,
        /// The budget.
        limit: usize,
    },
    /// Shared memory is full, or the system refused otherwise.
    #[error("topic '{topic}': {source} (used {}, pinned by readers {}, limit {})", usage.used, usage.pinned, usage.limit)]
    System {
        /// Name of the topic.
        topic: String,
        /// The system's answer.
        source: crate::sys::shm_file::FileError,
        /// The publisher's figures.
        usage: PoolUsage,
    },
    /// The publisher has been shut down.
    #[error("topic '{topic}': the publisher has been shut down")]
    ShutDown {
        /// Name of the topic.
        topic: String,
    },
    /// The calling process is a fork of the one that created the publisher.
    #[error("topic '{topic}': a forked child must not use its parent's publisher")]
    Forked {
        /// Name of the topic.
        topic: String,
    },
}

/// Why a message was not published. The loan has been taken back.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PublishError {
    /// A keep-all subscription did not make room in time.
    #[error("a keep-all subscription made no room within the blocking time")]
    TimedOut,
    /// The topic's ring was overwritten by somebody.
    #[error(transparent)]
    Corrupt(#[from] RingError),
    /// More bytes than the loan has.
    #[error("{length} bytes in a loan of {capacity}")]
    TooLong {
        /// Bytes to publish.
        length: usize,
        /// Bytes of the loan.
        capacity: usize,
    },
    /// What is to be published is not on loan from this publisher: it was published or returned before, or is another's.
    #[error("not a loan of this publisher, or published or returned before")]
    NotLoaned,
    /// The publisher has been shut down.
    #[error("the publisher has been shut down")]
    ShutDown,
    /// The calling process is a fork of the one that created the publisher.
    #[error("a forked child must not use its parent's publisher")]
    Forked,
}

/// Why a message was not published, and the chunk if somebody may already have found it in the history.
struct Unpublished {
    why: PublishError,
    noted: Option<PublishedChunk>,
}

impl From<PublishError> for Unpublished {
    fn from(why: PublishError) -> Self {
        Self { why, noted: None }
    }
}

impl From<RingError> for Unpublished {
    fn from(error: RingError) -> Self {
        Self { why: error.into(), noted: None }
    }
}

struct State {
    pool: Pool,
    /// Number of the next publication.
    next: u64,
    /// Where the history lies: allocation and number of words.
    history: Option<(Allocation, usize)>,
    /// What stands in the slot behind the last publication.
    ahead: Option<Ahead>,
}

/// A publisher on one topic. Threads may share it.
pub struct Publisher {
    topic: Arc<Topic>,
    index: PublisherIndex,
    gid: Gid,
    keep_all: bool,
    max_blocking: Duration,
    state: PrivateLock<Option<State>>,
    /// After a shutdown with chunks on loan: their memory stays mapped until the publisher itself is gone.
    lent: PrivateLock<Option<Pool>>,
}

impl Publisher {
    /// Joins a topic as a publisher.
    ///
    /// # Errors
    /// See [`CreateError`]; nothing is left behind.
    pub fn new(participant: &Arc<Participant>, key: &TopicKey, options: PublisherOptions) -> Result<Self, CreateError> {
        let topic = Topic::open(participant, key, options.history.wished_capacity())?;
        let index = topic.claim_publisher()?;
        let keep_all = options.history == History::KeepAll;
        let allocator = HostAllocator::new(topic.folder().clone(), participant.identity(), options.byte_budget);
        let mut state = State {
            pool: Pool::new(allocator, index, options.transient_local, keep_all),
            next: 1,
            history: None,
            ahead: None,
        };
        let publisher = Self {
            index,
            gid: options.gid,
            keep_all,
            max_blocking: options.max_blocking,
            state: PrivateLock::new(None),
            lent: PrivateLock::new(None),
            topic,
        };
        let Some(record) = publisher.topic.publisher(index) else {
            return Err(CreateError::TableFull { topic: key.name.clone(), kind: "publisher", limit: 0 });
        };
        // SYNC instance: zero first, the new one last, for those who read the fields without protection.
        record.instance.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        for segment in &record.segments {
            segment.store(0, Ordering::Relaxed);
        }
        for counter in &record.counters {
            counter.store(0, Ordering::Relaxed);
        }
        let gid = options.gid.words();
        record.gid[0].store(gid[0], Ordering::Relaxed);
        record.gid[1].store(gid[1], Ordering::Relaxed);
        record.creator.store(participant.identity().word(), Ordering::Relaxed);
        record.traits.store(options.traits, Ordering::Relaxed);
        // SYNC instance
        record.instance.store(random_u64() | 1, Ordering::Release);
        record.history_depth.store(0, Ordering::Relaxed);
        let flags = (u32::from(options.transient_local) * TRANSIENT_LOCAL) | (u32::from(keep_all) * KEEP_ALL);
        record.flags.store(flags, Ordering::Relaxed);
        if options.transient_local || keep_all {
            let words = options.history.depth_in(publisher.topic.layout().capacity());
            if let Err(source) = publisher.make_history(record, &mut state, words) {
                record.owner.store(0, Ordering::Release);
                return Err(CreateError::History { topic: key.name.clone(), source });
            }
        }
        // SYNC publisher-active: the fields above are visible to who sees the record active.
        record.state.store(ACTIVE, Ordering::Release);
        *publisher.lock() = Some(state);
        Ok(publisher)
    }

    fn make_history(&self, record: &PublisherRecord, state: &mut State, words: usize) -> Result<(), AllocateError> {
        let allocation = state.pool.allocator.allocate(words * size_of::<AtomicU64>())?;
        self.publish_segment(record, &state.pool.allocator, &allocation);
        let offset = allocation.chunk as usize * CHUNK_UNIT;
        if let Some(segment) = state.pool.allocator.segment(allocation.segment) {
            for word in segment.mapping().records::<AtomicU64>(offset, words).unwrap_or(&[]) {
                word.store(0, Ordering::Relaxed);
            }
        }
        record.history_offset.store(allocation.chunk, Ordering::Relaxed);
        record.history_depth.store(words as u32, Ordering::Relaxed);
        state.history = Some((allocation, words));
        Ok(())
    }

    /// Names a segment in the record, before the first message in it can be found.
    #[inline]
    fn publish_segment(&self, record: &PublisherRecord, allocator: &HostAllocator, allocation: &Allocation) {
        let Some(place) = record.segments.get(allocation.segment as usize) else { return };
        if place.load(Ordering::Relaxed) == 0 {
            if let Some(id) = allocator.share(allocation.segment) {
                // SYNC segment-id: Release; the exchange that publishes the message comes later still.
                place.store(id.0, Ordering::Release);
            }
        }
    }

    #[inline]
    fn lock(&self) -> PrivateGuard<'_, Option<State>> {
        self.state.lock()
    }

    /// Its gid.
    pub fn gid(&self) -> Gid {
        self.gid
    }

    /// The topic it publishes on.
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// Number of its next publication; zero once it is shut down.
    pub fn next_number(&self) -> u64 {
        self.lock().as_ref().map_or(0, |state| state.next)
    }

    /// Borrows a chunk with room for `bytes` bytes of payload.
    ///
    /// # Errors
    /// See [`LoanError`]. A loan that can never fit costs nothing; under memory pressure the publisher's own oldest
    /// unread messages are dropped (subscriptions count them as lost).
    #[inline]
    pub fn loan(&self, bytes: usize) -> Result<Loan<'_>, LoanError> {
        let raw = self.loan_raw(bytes)?;
        Ok(Loan { publisher: self, raw, length: bytes })
    }

    /// Borrows a chunk that the caller keeps in its own books: to be given to [`Publisher::publish_raw`] or
    /// [`Publisher::return_raw`], once.
    ///
    /// # Errors
    /// As [`Publisher::loan`].
    #[inline]
    pub fn loan_raw(&self, bytes: usize) -> Result<RawLoan, LoanError> {
        let topic = &*self.topic;
        let name = || topic.key().name.clone();
        if topic.participant().check_fork().is_err() {
            return Err(LoanError::Forked { topic: name() });
        }
        let mut guard = self.lock();
        let state = guard.as_mut().ok_or_else(|| LoanError::ShutDown { topic: name() })?;
        let total = bytes.saturating_add(HEADER_BYTES);
        let history = state.history;
        let allocation = {
            let State { pool, .. } = state;
            // The history lies in memory of the pool's own allocator; its view is made anew where it is used.
            let words = history_words(history, &pool.allocator);
            // SAFETY: see `history_words`: the words live as long as the publisher's first segment stays mapped, which is
            // as long as the allocator lives; nothing in `allocate` unmaps a segment.
            let view = words.and_then(|words| HistoryView::new(unsafe { &*words }));
            pool.allocate(total, topic, view)
        };
        match allocation {
            Ok(allocation) => {
                let at = state.pool.allocator.host_address(&allocation).and_then(NonNull::new);
                let Some(at) = at else { return Err(LoanError::ShutDown { topic: name() }) };
                // The header lies in front of the payload, inside the allocation.
                let ptr = NonNull::new(at.as_ptr().wrapping_add(HEADER_BYTES)).unwrap_or(at);
                let number = state.pool.lend(&allocation);
                Ok(RawLoan { ptr, capacity: allocation.capacity - HEADER_BYTES, allocation, number })
            }
            Err(error) => Err(self.loan_error(bytes, error, state.pool.usage(topic))),
        }
    }

    #[cold]
    fn loan_error(&self, needed: usize, error: AllocateError, usage: PoolUsage) -> LoanError {
        let topic = self.topic.key().name.clone();
        match error {
            AllocateError::NeverFits { limit, .. } => LoanError::TooLarge { topic, needed, limit },
            AllocateError::Budget { .. } => LoanError::Exhausted { topic, needed, usage },
            AllocateError::System(source) => LoanError::System { topic, source, usage },
        }
    }

    /// Gives a loan back unpublished. Does nothing with what is not on loan from this publisher (any more).
    pub fn return_raw(&self, loan: RawLoan) {
        if self.topic.participant().check_fork().is_err() {
            return;
        }
        if let Some(state) = self.lock().as_mut() {
            if state.pool.end_loan(&loan.allocation, loan.number) {
                state.pool.allocator.deallocate(loan.allocation);
            }
        }
    }

    /// Publishes a loan.
    ///
    /// # Errors
    /// See [`PublishError`]; the loan is taken back.
    #[inline]
    pub fn publish(&self, loan: Loan<'_>, meta: &MessageMeta) -> Result<Published, PublishError> {
        if !std::ptr::eq(loan.publisher, self) {
            // Dropped, it goes back to whose it is.
            return Err(PublishError::NotLoaned);
        }
        let (raw, length) = loan.into_raw();
        self.publish_raw(raw, length, meta)
    }

    /// Publishes the first `length` bytes of a loan.
    ///
    /// # Errors
    /// See [`PublishError`]; the loan is taken back.
    #[inline]
    pub fn publish_raw(&self, loan: RawLoan, length: usize, meta: &MessageMeta) -> Result<Published, PublishError> {
        let (published, reclaim_is_due) = self.append(loan, length, meta)?;
        self.wake_sleepers();
        if reclaim_is_due {
            self.reclaim();
        }
        Ok(published)
    }

    /// Reclaims now, while the message is on its way, what the next loan would else have to.
    #[cold]
    fn reclaim(&self) {
        let mut guard = self.lock();
        let Some(state) = guard.as_mut() else { return };
        let words = history_words(state.history, &state.pool.allocator);
        // SAFETY: the words lie in the publisher's first segment, which stays mapped as long as `state` lives.
        let history = words.and_then(|words| HistoryView::new(unsafe { &*words }));
        state.pool.reclaim_if_due(&self.topic, history);
        prefetch_next(&state.pool);
    }

    /// Publishes under the private lock; takes the loan back where that fails. Answers also whether reclaiming is due.
    #[inline]
    fn append(&self, loan: RawLoan, length: usize, meta: &MessageMeta) -> Result<(Published, bool), PublishError> {
        if self.topic.participant().check_fork().is_err() {
            return Err(PublishError::Forked);
        }
        let mut guard = self.lock();
        let Some(state) = guard.as_mut() else { return Err(PublishError::ShutDown) };
        if !state.pool.end_loan(&loan.allocation, loan.number) {
            return Err(PublishError::NotLoaned);
        }
        match self.append_locked(state, loan, length, meta) {
            Ok(published) => Ok((published, state.pool.reclaim_is_due())),
            Err(Unpublished { why, noted: None }) => {
                state.pool.allocator.deallocate(loan.allocation);
                Err(why)
            }
            Err(Unpublished { why, noted: Some(chunk) }) => {
                // A late subscription may have found the message in the history and be reading it.
                state.pool.note_withdrawn(chunk);
                Err(why)
            }
        }
    }

    #[inline]
    fn append_locked(
        &self,
        state: &mut State,
        loan: RawLoan,
        length: usize,
        meta: &MessageMeta,
    ) -> Result<Published, Unpublished> {
        if length > loan.capacity {
            return Err(PublishError::TooLong { length, capacity: loan.capacity }.into());
        }
        let record = self.topic.publisher(self.index).ok_or(RingError::Corrupt)?;
        let ring = self.topic.ring();
        let allocation = loan.allocation;
        let message = MessageRef::new(self.index, allocation.segment, allocation.chunk).ok_or(RingError::Corrupt)?;
        self.publish_segment(record, &state.pool.allocator, &allocation);
        let header = state
            .pool
            .allocator
            .segment(allocation.segment)
            .and_then(|segment| segment.mapping().record::<ChunkHeader>(message.byte_offset()))
            .ok_or(RingError::Corrupt)?;
        let deadline = if self.keep_all { self.wait_for_space(ring.head())? } else { None };
        let number = PublicationNumber(state.next);
        state.next += 1;
        header.fill(number, length, self.gid, meta);
        let words = history_words(state.history, &state.pool.allocator);
        // SAFETY: the words lie in the publisher's first segment, which stays mapped as long as `state` lives.
        let history = words.and_then(|words| HistoryView::new(unsafe { &*words }));
        if let Some(history) = history {
            header.set_sequence(ring.head());
            history.write(number, message);
        }
        let withdraw = |why: PublishError| {
            let noted = history.map(|history| {
                history.remove(number, message);
                PublishedChunk { sequence: header.sequence(), number, message, allocation }
            });
            Unpublished { why, noted }
        };
        let sequence = loop {
            let appended = ring.append_over(state.ahead.take(), message, |claimed| {
                header.set_sequence(claimed);
                if self.keep_all && !self.has_space(claimed) {
                    return Err(());
                }
                Ok(())
            });
            match appended {
                Ok(sequence) => break sequence,
                // Another keep-all publisher took the last position between the check and the claim.
                Err(AppendError::Refused(())) => self.wait_until_space(ring.head(), deadline).map_err(withdraw)?,
                Err(AppendError::Ring(error)) => return Err(withdraw(error.into())),
            }
        };
        // Its cache line is here now, and soon with the readers again.
        state.ahead = Some(ring.look_ahead(Sequence(sequence.0.wrapping_add(1))));
        state.pool.note_published(PublishedChunk { sequence, number, message, allocation });
        record.counters[counter::MESSAGES].store(number.0, Ordering::Relaxed);
        let bytes = &record.counters[counter::BYTES];
        bytes.store(bytes.load(Ordering::Relaxed).wrapping_add(length as u64), Ordering::Relaxed);
        if state.pool.dropped != 0 {
            record.counters[counter::DROPPED].store(state.pool.dropped, Ordering::Relaxed);
        }
        prefetch_next(&state.pool);
        Ok(Published { sequence, number })
    }

    /// Whether every keep-all subscription has passed what stands where `claimed` would go.
    fn has_space(&self, claimed: Sequence) -> bool {
        let window = History::KeepAll.depth_in(self.topic.layout().capacity()) as u64;
        match Cursors::look(&self.topic).slowest_keep_all {
            Some(slowest) => claimed.0.saturating_sub(slowest.0) < window,
            None => true,
        }
    }

    /// Waits for room before the history is written; answers until when the rest may wait.
    fn wait_for_space(&self, head: Sequence) -> Result<Option<Instant>, PublishError> {
        if self.has_space(head) {
            return Ok(futex::deadline_after(Some(self.max_blocking)));
        }
        let deadline = futex::deadline_after(Some(self.max_blocking));
        self.wait_until_space(head, deadline)?;
        Ok(deadline)
    }

    fn wait_until_space(&self, head: Sequence, deadline: Option<Instant>) -> Result<(), PublishError> {
        let hot = self.topic.layout().hot();
        loop {
            let bell = hot.space_bell.load(Ordering::Acquire);
            hot.space_wanted.store(1, Ordering::Relaxed);
            // SYNC space: the taker stores its cursor, fences, and reads `space_wanted`.
            full_fence();
            if self.has_space(head.max(self.topic.ring().head())) {
                return Ok(());
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Err(PublishError::TimedOut);
            }
            let slice = now.checked_add(SPACE_SLICE);
            futex::wait(&hot.space_bell, bell, slice.min(deadline.or(slice)));
        }
    }

    /// Rings the bell of every subscription that sleeps.
    #[inline]
    pub(super) fn wake_sleepers(&self) {
        // SYNC armed: the message is in its slot; the sleeper sets its bit, fences, and looks at the slot. The exchange of
        // `head` in `append` is the last thing that happened to shared memory.
        full_fence_after_rmw();
        let layout = self.topic.layout();
        for (word, armed) in layout.hot().armed.iter().enumerate() {
            let mut bits = armed.load(Ordering::Relaxed);
            while bits != 0 {
                let bit = bits.trailing_zeros();
                bits &= bits - 1;
                let Some(record) = layout.subscriptions().get(word * 64 + bit as usize) else { break };
                let owner = record.owner.load(Ordering::Acquire);
                let bell = record.bell.load(Ordering::Acquire);
                if let Some(owner) = Identity::from_word(owner) {
                    self.topic.participant().bells().ring(owner, bell);
                }
            }
        }
    }

    /// Whether every subscription has passed all it has published. Costs a look at all subscriptions.
    pub fn is_acknowledged(&self) -> bool {
        if self.topic.participant().check_fork().is_err() {
            return true;
        }
        let mut guard = self.lock();
        let Some(state) = guard.as_mut() else { return true };
        let cursors = Cursors::look(&self.topic);
        state.pool.newest().is_none_or(|newest| cursors.active == 0 || newest < cursors.slowest)
    }

    /// Leaves the topic. What subscriptions have not read yet stays until they have. Idempotent. What is on loan may still be
    /// written to, and not be published any more.
    pub fn shutdown(&self) {
        if self.topic.participant().check_fork().is_err() {
            // The parent's publisher: nothing here is ours to change.
            return;
        }
        let Some(mut state) = self.lock().take() else { return };
        let Some(record) = self.topic.publisher(self.index) else { return };
        record.state.store(INACTIVE, Ordering::Release);
        state.pool.leave();
        state.pool.reclaim(&self.topic, None);
        let nobody_needs_any = state.pool.is_empty();
        for (path, id) in state.pool.allocator.paths().iter().zip(&record.segments) {
            // Nobody else would ever find one that no message was published in.
            if nobody_needs_any || id.load(Ordering::Relaxed) == 0 {
                let _ = std::fs::remove_file(path);
            }
        }
        if nobody_needs_any {
            record.segments.iter().for_each(|id| id.store(0, Ordering::Relaxed));
        }
        let owner = if nobody_needs_any { 0 } else { orphan_word(random_u64()) };
        // SYNC record-owner
        record.owner.store(owner, Ordering::Release);
        if state.pool.has_loans() {
            *self.lent.lock() = Some(state.pool);
        }
    }
}

/// The next loan will probably be as large as the last one: has its first lines here by then.
#[inline]
fn prefetch_next(pool: &Pool) {
    if let Some(next) = pool.next_chunk() {
        prefetch::for_writing(next);
        prefetch::for_writing(next.wrapping_add(HEADER_BYTES));
    }
}

/// The words of the history in the publisher's own mapping.
///
/// A raw slice, because it borrows from the allocator beside which the pool is used mutably: segments are only ever added,
/// so the address stays valid as long as the allocator lives.
fn history_words(history: Option<(Allocation, usize)>, allocator: &HostAllocator) -> Option<*const [AtomicU64]> {
    let (allocation, words) = history?;
    let segment = allocator.segment(allocation.segment)?;
    let words = segment.mapping().records::<AtomicU64>(allocation.chunk as usize * CHUNK_UNIT, words)?;
    Some(words as *const [AtomicU64])
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shutdown();
    }
}
