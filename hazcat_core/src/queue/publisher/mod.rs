//! A publisher: joining a topic, borrowing chunks, leaving.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | joining, loans, leaving |
//! | `append.rs` | publishing a loan |
//! | `device.rs` | loans in device memory |
//! | `space.rs` | keep-all: waiting for room |
//! | `cut.rs` | going on after somebody has cut a file short |
//! | `errors.rs` | what can go wrong |

mod append;
mod cut;
mod device;
mod errors;
mod space;

pub use errors::{LoanError, PublishError};

use super::copier::device_side;
use super::cursors::Cursors;
use super::layout::{orphan_word, PublisherRecord, ACTIVE, DEPARTED, HOST_ROW, INACTIVE, KEEP_ALL, TRANSIENT_LOCAL};
use super::loan::{Loan, RawLoan};
use super::pool::{Pool, PoolUsage};
use super::topic::{CreateError, Topic};
use super::{History, TopicKey};
use crate::domain::host::HostAllocator;
use crate::domain::{AllocateError, Allocation, DomainAllocator, DomainId};
use crate::history::HistoryView;
use crate::ids::{Gid, PublisherIndex};
use crate::participant::Participant;
use crate::payload::chunk::HEADER_BYTES;
use crate::ring::word::CHUNK_UNIT;
use crate::ring::Ahead;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys::bus_error;
use crate::sys::private_lock::{PrivateGuard, PrivateLock};
use crate::sys::random::random_u64;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

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
    /// Whether a keep-all publisher waits for a keep-all subscription, decided by the traits of the two, its own first. Has
    /// to agree with what the subscription accepts: who refuses its messages must not hold it up.
    pub waits_for: fn(u64, u64) -> bool,
    /// Longest a keep-all publisher waits for slow subscriptions.
    pub max_blocking: Duration,
    /// Most bytes of shared memory for its messages.
    pub byte_budget: usize,
    /// Payload bytes of a typical message; zero where nobody knows.
    pub expected_size: usize,
    /// The memory domain in which it lends memory beside the host ([`Publisher::loan_on_device`]); the host: none.
    pub domain: DomainId,
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
            waits_for: |_, _| true,
            max_blocking: Duration::from_millis(100),
            byte_budget: Self::DEFAULT_BUDGET,
            expected_size: 0,
            domain: DomainId::HOST,
        }
    }
}

/// Which keep-all subscriptions a publisher waits for.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    own_traits: u64,
    decide: fn(u64, u64) -> bool,
}

impl Waits {
    /// All of them.
    pub(super) fn for_everybody() -> Self {
        Self { own_traits: 0, decide: |_, _| true }
    }

    /// A look at the cursors of those that count for this publisher.
    #[inline]
    pub(super) fn look(self, topic: &Topic) -> Cursors {
        Cursors::look_for(topic, |traits| (self.decide)(self.own_traits, traits))
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
    /// [`bus_error::cuts`] when all files were last found whole, or made anew.
    cuts: u64,
}

/// A publisher on one topic. Threads may share it.
pub struct Publisher {
    topic: Arc<Topic>,
    index: PublisherIndex,
    gid: Gid,
    keep_all: bool,
    /// Row of the memory domain of its device loans.
    row: u8,
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
        let row = topic.domain_row(options.domain)?;
        let device = match row {
            HOST_ROW => None,
            row => Some(device_side(&topic, row, options.byte_budget)?),
        };
        let index = topic.claim_publisher()?;
        let keep_all = options.history == History::KeepAll;
        let allocator = HostAllocator::new(topic.folder().clone(), participant.identity(), options.byte_budget);
        let waits = Waits { own_traits: options.traits, decide: options.waits_for };
        let mut state = State {
            pool: Pool::new(allocator, index, waits, options.transient_local, keep_all),
            next: 1,
            history: None,
            ahead: None,
            cuts: 0,
        };
        state.pool.device = device;
        let publisher = Self {
            index,
            gid: options.gid,
            keep_all,
            row,
            max_blocking: options.max_blocking,
            state: PrivateLock::new(None),
            lent: PrivateLock::new(None),
            topic,
        };
        let Some(record) = publisher.topic.publisher(index) else {
            return Err(CreateError::TableFull { topic: key.name.clone(), kind: "publisher", limit: 0 });
        };
        record.begin(participant.identity(), options.gid, options.traits);
        record.domain.store(u32::from(row), Ordering::Relaxed);
        let flags = (u32::from(options.transient_local) * TRANSIENT_LOCAL) | (u32::from(keep_all) * KEEP_ALL);
        record.flags.store(flags, Ordering::Relaxed);
        if options.transient_local || keep_all {
            let words = options.history.depth_in(publisher.topic.layout().capacity());
            if let Err(source) = publisher.make_history(record, &mut state, words) {
                record.owner.store(0, Ordering::Release);
                return Err(CreateError::History { topic: key.name.clone(), source });
            }
        }
        fault_point!("publisher.join.inactive");
        // SYNC publisher-active: the fields above are visible to who sees the record active.
        record.state.store(ACTIVE, Ordering::Release);
        fault_point!("publisher.join.active");
        *publisher.lock() = Some(state);
        Ok(publisher)
    }

    fn make_history(&self, record: &PublisherRecord, state: &mut State, words: usize) -> Result<(), AllocateError> {
        let allocation = state.pool.allocator.allocate(words * size_of::<AtomicU64>())?;
        fault_point!("publisher.history.allocated");
        record.publish_segment(&state.pool.allocator, &allocation);
        fault_point!("publisher.history.segment-named");
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

    /// Has `act` work on its record, unless it has left, or is a parent's.
    #[inline]
    pub(super) fn with_record<T>(&self, act: impl FnOnce(&PublisherRecord) -> T) -> Option<T> {
        if self.topic.participant().check_fork().is_err() {
            return None;
        }
        let guard = self.lock();
        guard.as_ref()?;
        self.topic.publisher(self.index).map(act)
    }

    #[inline]
    fn lock(&self) -> PrivateGuard<'_, Option<State>> {
        self.state.lock()
    }

    /// Does something that only one thread may do at a time.
    #[inline]
    pub(super) fn alone(&self, work: impl FnOnce()) {
        let _guard = self.lock();
        work();
    }

    /// Its gid.
    pub fn gid(&self) -> Gid {
        self.gid
    }

    /// The topic it publishes on.
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    pub(super) fn record(&self) -> Option<&PublisherRecord> {
        self.topic.publisher(self.index)
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
        if bus_error::cuts() != state.cuts {
            self.renew_cut(state).map_err(|error| self.loan_error(bytes, error, state.pool.usage(topic)))?;
        }
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
                fault_point!("loan.allocated");
                let at = state.pool.allocator.address(&allocation).and_then(NonNull::new);
                let Some(at) = at else { return Err(LoanError::ShutDown { topic: name() }) };
                // The header lies in front of the payload, inside the allocation.
                let ptr = NonNull::new(at.as_ptr().wrapping_add(HEADER_BYTES)).unwrap_or(at);
                let number = state.pool.lend(&allocation);
                let capacity = allocation.capacity - HEADER_BYTES;
                Ok(RawLoan { ptr, capacity, on_device: false, allocation, number })
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
            AllocateError::Device(source) => LoanError::Device { topic, source, usage },
        }
    }

    /// Gives a loan back unpublished. Does nothing with what is not on loan from this publisher (any more).
    pub fn return_raw(&self, loan: RawLoan) {
        if self.topic.participant().check_fork().is_err() {
            return;
        }
        if let Some(state) = self.lock().as_mut() {
            if state.pool.end_loan(&loan.allocation, loan.number) {
                state.pool.deallocate(loan.allocation);
                fault_point!("loan.returned");
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

    /// Whether the topic has a subscription that is not known to be dead. Costs a look at all of them.
    pub fn has_subscriptions(&self) -> bool {
        self.topic.participant().check_fork().is_ok() && Cursors::look(&self.topic).active > 0
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
        if !self.keep_all {
            // Late subscriptions find its history no more.
            record.state.store(INACTIVE, Ordering::Release);
        }
        fault_point!("publisher.leave.begun");
        state.pool.leave();
        let words = history_words(state.history, &state.pool.allocator);
        // SAFETY: the words lie in the publisher's first segment, which stays mapped as long as `state` lives.
        let history = words.and_then(|words| HistoryView::new(unsafe { &*words }));
        state.pool.reclaim(&self.topic, history);
        fault_point!("publisher.leave.reclaimed");
        let nobody_needs_any = state.pool.is_empty();
        if let Some(newest) = state.pool.newest().filter(|_| self.keep_all) {
            record.kept_until.store(newest.0.wrapping_add(1), Ordering::Relaxed);
            // SYNC publisher-active: from here on its history is there for keep-all subscriptions only.
            record.state.store(DEPARTED, Ordering::Release);
            fault_point!("publisher.leave.departed");
        } else {
            record.state.store(INACTIVE, Ordering::Release);
        }
        state.pool.leave_files(record, nobody_needs_any);
        let owner = if nobody_needs_any { 0 } else { orphan_word(random_u64()) };
        fault_point!("publisher.leave.owned");
        // SYNC record-owner
        record.owner.store(owner, Ordering::Release);
        fault_point!("publisher.leave.left");
        if state.pool.has_loans() {
            *self.lent.lock() = Some(state.pool);
        }
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
