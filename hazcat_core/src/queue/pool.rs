//! Which of a publisher's chunks are in use, and how they come back.
//!
//! All of this is private to the publisher and dies with it. A chunk is free, on loan, published, or removed (taken out
//! of its slot and of the history, but still held by a reader). Reclaiming happens in batches: one look at the cursors,
//! the removals, one fence, one look at what is held, one fence.

use super::cursors::{gather_held, Cursors};
use super::device::DeviceSide;
use super::layout::PublisherRecord;
use super::publisher::Waits;
use super::topic::Topic;
use crate::domain::book::USUAL_PIECES;
use crate::domain::host::HostAllocator;
use crate::domain::{AllocateError, Allocation, DomainAllocator};
use crate::history::HistoryView;
use crate::ids::{PublicationNumber, PublisherIndex, Sequence};
use crate::ring::word::{MessageRef, Tombstone, CHUNK_UNIT};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::seeded::{planted, Fault};
use std::collections::VecDeque;

/// Bytes of chunks that may gather before a publisher of small messages looks for free ones.
const BATCH_BYTES: usize = 64 << 10;
/// The same where many subscriptions make a look expensive.
const LARGE_BATCH_BYTES: usize = 16 << 20;
/// Fewest and most chunks that gather, where the bytes allow them.
const BATCH: std::ops::RangeInclusive<usize> = 2..=64;
/// Chunks that gather per subscription, to spread the cost of looking at all of them.
const BATCH_PER_SUBSCRIPTION: usize = 16;

/// A published message.
#[derive(Clone, Copy)]
pub(super) struct PublishedChunk {
    pub(super) sequence: Sequence,
    pub(super) number: PublicationNumber,
    pub(super) message: MessageRef,
    pub(super) allocation: Allocation,
}

/// Figures for an error message, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUsage {
    /// In segments now.
    pub used: usize,
    /// In messages that somebody still holds.
    pub pinned: usize,
    /// Most there may be.
    pub limit: usize,
}

/// Where readers find the messages of a pool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FoundIn {
    /// In the slots of the ring: a publisher's messages.
    Ring,
    /// In the places of a memory domain: copies.
    Places(u8),
}

/// Numbers the publishers of this process.
static PUBLISHERS_SO_FAR: AtomicU64 = AtomicU64::new(1);

/// What an allocation is to be: a chunk, and a piece of device memory.
#[derive(Clone, Copy)]
struct Wanted {
    bytes: usize,
    on_device: Option<usize>,
}

/// The chunks of one publisher.
pub(super) struct Pool {
    pub(super) allocator: HostAllocator,
    /// Where the messages themselves lie, if not behind their headers.
    pub(super) device: Option<DeviceSide>,
    found_in: FoundIn,
    publisher: PublisherIndex,
    published: VecDeque<PublishedChunk>,
    removed: Vec<PublishedChunk>,
    held: Vec<MessageRef>,
    waits: Waits,
    /// Whether the history is there for late subscriptions; else only until everybody has passed a message.
    keeps_history: bool,
    /// Whether it must not drop what a keep-all subscription has not read.
    keep_all: bool,
    /// Chunks published or removed at which the next look is due.
    look_at: usize,
    /// What was allocated last, in bytes, on the host and altogether.
    last_bytes: usize,
    last_total: usize,
    /// Unread messages dropped for want of memory.
    pub(super) dropped: u64,
    /// Number of the loan that a chunk is on, by the allocator's ticket; zero: none.
    loans: Vec<u64>,
    on_loan: usize,
    /// Number of the last loan; no two publishers of a process use the same numbers.
    last_loan: u64,
}

impl Pool {
    pub(super) fn new(
        allocator: HostAllocator,
        publisher: PublisherIndex,
        waits: Waits,
        keeps_history: bool,
        keep_all: bool,
    ) -> Self {
        Self {
            allocator,
            device: None,
            found_in: FoundIn::Ring,
            publisher,
            published: VecDeque::with_capacity(USUAL_PIECES),
            removed: Vec::with_capacity(64),
            held: Vec::with_capacity(64),
            waits,
            keeps_history,
            keep_all,
            look_at: 2,
            last_bytes: 0,
            last_total: 0,
            dropped: 0,
            loans: Vec::with_capacity(USUAL_PIECES),
            on_loan: 0,
            last_loan: PUBLISHERS_SO_FAR.fetch_add(1, Ordering::Relaxed) << 40,
        }
    }

    /// The pool of one that makes copies, which readers find in the places of a domain.
    pub(super) fn of_copies(allocator: HostAllocator, copier: PublisherIndex, row: u8) -> Self {
        Self { found_in: FoundIn::Places(row), ..Self::new(allocator, copier, Waits::for_everybody(), false, false) }
    }

    /// A chunk of `bytes` bytes with a piece of `on_device` bytes; reclaims when that is due or necessary.
    pub(super) fn allocate_on_device(
        &mut self,
        bytes: usize,
        on_device: usize,
        topic: &Topic,
        history: Option<HistoryView<'_>>,
    ) -> Result<Allocation, AllocateError> {
        (self.last_bytes, self.last_total) = (bytes, bytes + on_device);
        self.reclaim_if_due(topic, history);
        let wanted = Wanted { bytes, on_device: Some(on_device) };
        match self.try_allocate(wanted) {
            Ok(allocation) => Ok(allocation),
            Err(error) => self.allocate_under_pressure(wanted, topic, history, error),
        }
    }

    fn try_allocate(&mut self, wanted: Wanted) -> Result<Allocation, AllocateError> {
        let chunk = self.allocator.allocate(wanted.bytes)?;
        let (Some(device), Some(on_device)) = (&mut self.device, wanted.on_device) else { return Ok(chunk) };
        match device.allocate(&chunk, on_device) {
            Ok(()) => Ok(chunk),
            Err(error) => {
                self.allocator.deallocate(chunk);
                Err(error)
            }
        }
    }

    fn would_fit(&self, wanted: Wanted, freed: &[Allocation]) -> bool {
        let on_device = match (&self.device, wanted.on_device) {
            (Some(device), Some(on_device)) => device.would_fit(on_device, freed),
            _ => true,
        };
        // A chunk in a full segment may still get a segment of its own; a piece of device memory as well.
        on_device && self.allocator.would_fit(wanted.bytes, freed)
    }

    /// Frees a chunk, and its piece of device memory if it has one.
    #[inline]
    pub(super) fn deallocate(&mut self, allocation: Allocation) {
        if let Some(device) = &mut self.device {
            device.free(&allocation);
        }
        self.allocator.deallocate(allocation);
    }

    /// Memory for `bytes` bytes; reclaims when that is due or necessary.
    #[inline]
    pub(super) fn allocate(
        &mut self,
        bytes: usize,
        topic: &Topic,
        history: Option<HistoryView<'_>>,
    ) -> Result<Allocation, AllocateError> {
        self.last_bytes = bytes;
        self.last_total = bytes;
        self.reclaim_if_due(topic, history);
        match self.allocator.allocate(bytes) {
            Ok(allocation) => Ok(allocation),
            Err(error) => self.allocate_under_pressure(Wanted { bytes, on_device: None }, topic, history, error),
        }
    }

    /// Makes one segment anew whose file somebody has cut short, and names it in the record. Answers which.
    #[cold]
    pub(super) fn renew_one_cut(&mut self, record: &PublisherRecord) -> Result<Option<u32>, AllocateError> {
        if self.on_loan == 0 && self.is_empty() {
            self.allocator.forget_former();
        }
        let renewed = self.allocator.renew_one_cut()?;
        if let Some(index) = renewed {
            let named = record.segments.get(index as usize).filter(|named| named.load(Ordering::Relaxed) != 0);
            if let (Some(named), Some(id)) = (named, self.allocator.share(index)) {
                // SYNC segment-id: who has found a message by the old one finds that it is not there.
                named.store(id.0, Ordering::Release);
            }
        }
        Ok(renewed)
    }

    /// The messages that have not been taken out of ring and history.
    pub(super) fn published(&self) -> impl Iterator<Item = &PublishedChunk> {
        self.published.iter()
    }

    /// Whether as many messages have gathered as are looked through at a time.
    #[inline]
    pub(super) fn reclaim_is_due(&self) -> bool {
        self.published.len() + self.removed.len() >= self.look_at
    }

    /// Reclaims if that is due, and decides when it is due next.
    #[inline]
    pub(super) fn reclaim_if_due(&mut self, topic: &Topic, history: Option<HistoryView<'_>>) {
        if self.reclaim_is_due() {
            let cursors = self.reclaim(topic, history);
            self.schedule(self.last_total, &cursors);
        }
    }

    /// The chunk that the next allocation will probably get, if it is as large as the last one.
    #[inline]
    pub(super) fn next_chunk(&self) -> Option<*const u8> {
        self.allocator.next_of_size(self.last_bytes.next_multiple_of(CHUNK_UNIT))
    }

    /// Decides when the next look is due.
    fn schedule(&mut self, bytes: usize, cursors: &Cursors) {
        let small = (BATCH_BYTES / bytes.max(1)).clamp(*BATCH.start(), *BATCH.end());
        let many = (cursors.active * BATCH_PER_SUBSCRIPTION).min(LARGE_BATCH_BYTES / bytes.max(1));
        self.look_at = self.published.len() + self.removed.len() + small.max(many);
    }

    /// Makes room: first what everybody has passed, then, if that can help at all, its own unread messages, oldest first.
    #[cold]
    fn allocate_under_pressure(
        &mut self,
        wanted: Wanted,
        topic: &Topic,
        history: Option<HistoryView<'_>>,
        error: AllocateError,
    ) -> Result<Allocation, AllocateError> {
        // Neither a loan that can never fit nor a refusal that has nothing to do with room must cost unread messages.
        if !error.is_for_want_of_room() {
            return Err(error);
        }
        let cursors = self.reclaim(topic, history);
        let mut error = match self.try_allocate(wanted) {
            Ok(allocation) => return Ok(allocation),
            Err(error) => error,
        };
        // A keep-all publisher has promised what a keep-all subscription has not read; it fails instead of dropping it.
        let promised_from = cursors.slowest_keep_all.filter(|_| self.keep_all);
        self.gather_own_held(topic);
        let held = std::mem::take(&mut self.held);
        let droppable = |chunk: &PublishedChunk| {
            promised_from.is_none_or(|from| chunk.sequence < from) && held.binary_search(&chunk.message).is_err()
        };
        let freed: Vec<Allocation> =
            self.published.iter().filter(|chunk| droppable(chunk)).map(|chunk| chunk.allocation).collect();
        if !self.would_fit(wanted, &freed) {
            return Err(error);
        }
        let mut batch = 1;
        let mut position = 0;
        loop {
            let mut left = batch;
            while left > 0 {
                let Some(chunk) = self.published.get(position).copied() else { break };
                if !droppable(&chunk) {
                    position += 1;
                    continue;
                }
                self.published.remove(position);
                self.drop_chunk(chunk, topic, history, &cursors);
                left -= 1;
            }
            if left == batch {
                return Err(error);
            }
            self.free_removed(topic);
            match self.try_allocate(wanted) {
                Ok(allocation) => return Ok(allocation),
                Err(again) => error = again,
            }
            batch *= 2;
        }
    }

    /// Takes a message out of ring and history for want of memory.
    fn drop_chunk(
        &mut self,
        chunk: PublishedChunk,
        topic: &Topic,
        history: Option<HistoryView<'_>>,
        cursors: &Cursors,
    ) {
        let unread = chunk.sequence >= cursors.slowest;
        self.dropped += u64::from(unread);
        let why = if unread { Tombstone::Dropped } else { Tombstone::Expired };
        self.take_out(&chunk, why, topic);
        fault_point!("drop.out-of-slot");
        if let Some(history) = history {
            history.remove(chunk.number, chunk.message);
        }
        self.removed.push(chunk);
    }

    /// Takes a message out of where readers find it.
    #[inline]
    fn take_out(&self, chunk: &PublishedChunk, why: Tombstone, topic: &Topic) {
        match self.found_in {
            FoundIn::Ring => topic.ring().remove(chunk.sequence, chunk.message, why),
            FoundIn::Places(row) => {
                if let Some(places) = topic.layout().places(row) {
                    places.remove(chunk.sequence, chunk.message);
                }
            }
        }
    }

    /// What readers hold of this publisher's messages now, into `held`.
    fn gather_own_held(&mut self, topic: &Topic) {
        let publisher = self.publisher;
        gather_held(topic, |message| message.publisher() == publisher, &mut self.held);
    }

    /// Lends a chunk: the number by which the loan is known.
    #[inline]
    pub(super) fn lend(&mut self, allocation: &Allocation) -> u64 {
        let ticket = allocation.ticket as usize;
        if self.loans.len() <= ticket {
            self.loans.resize(ticket + 1, 0);
        }
        self.last_loan += 1;
        if let Some(place) = self.loans.get_mut(ticket) {
            *place = self.last_loan;
        }
        self.on_loan += 1;
        self.last_loan
    }

    /// Ends a loan; `false` where it has ended before, or is not of this publisher.
    #[inline]
    pub(super) fn end_loan(&mut self, allocation: &Allocation, loan: u64) -> bool {
        match self.loans.get_mut(allocation.ticket as usize) {
            Some(place) if *place == loan => {
                *place = 0;
                self.on_loan -= 1;
                true
            }
            _ => false,
        }
    }

    /// Whether a loan has not ended.
    pub(super) fn is_on_loan(&self, allocation: &Allocation, loan: u64) -> bool {
        self.loans.get(allocation.ticket as usize) == Some(&loan)
    }

    /// Whether a chunk is on loan.
    pub(super) fn has_loans(&self) -> bool {
        self.on_loan > 0
    }

    /// Takes every message that nobody needs any more out of ring and history, and frees what nobody holds.
    pub(super) fn reclaim(&mut self, topic: &Topic, history: Option<HistoryView<'_>>) -> Cursors {
        let cursors = match self.found_in {
            FoundIn::Ring => self.waits.look(topic),
            FoundIn::Places(row) => Cursors::look_in(topic, row),
        };
        fault_point!("reclaim.looked");
        let total = self.published.len();
        let mut position = 0;
        let mut kept = 0;
        // Oldest first; what stays is moved up so that the order is kept.
        while position < total {
            let Some(chunk) = self.published.get(position).copied() else { break };
            let newer = total - 1 - position;
            if self.is_needed(&chunk, newer, &cursors, history, topic.ring().capacity()) {
                if kept != position {
                    self.published.swap(kept, position);
                }
                kept += 1;
            } else {
                self.take_out(&chunk, Tombstone::Expired, topic);
                fault_point!("reclaim.out-of-slot");
                if let Some(history) = history {
                    history.remove(chunk.number, chunk.message);
                }
                self.removed.push(chunk);
            }
            position += 1;
        }
        self.published.truncate(kept);
        self.free_removed(topic);
        cursors
    }

    fn is_needed(
        &self,
        chunk: &PublishedChunk,
        newer: usize,
        cursors: &Cursors,
        history: Option<HistoryView<'_>>,
        capacity: u64,
    ) -> bool {
        // Counted among this publisher's own messages: what a subscription does not listen to must not use up its depth.
        let unread = chunk.sequence >= cursors.slowest && newer < cursors.max_depth;
        // Without a history, nobody finds what the ring has lapped.
        let can_be_found = self.keep_all || cursors.head.0.saturating_sub(chunk.sequence.0) <= capacity;
        let unread_by_keep_all =
            can_be_found && cursors.slowest_keep_all.is_some_and(|slowest| chunk.sequence >= slowest);
        let history_keeps =
            self.keeps_history && history.is_some_and(|history| history.names(chunk.number, chunk.message));
        unread || unread_by_keep_all || history_keeps
    }

    /// Frees what was removed and nobody holds.
    fn free_removed(&mut self, topic: &Topic) {
        if self.removed.is_empty() {
            return;
        }
        fault_point!("reclaim.removed");
        self.gather_own_held(topic);
        fault_point!("reclaim.scanned");
        let held = std::mem::take(&mut self.held);
        let (allocator, device) = (&mut self.allocator, &mut self.device);
        self.removed.retain(|chunk| {
            if !planted(Fault::FreeHeld) && held.binary_search(&chunk.message).is_ok() {
                return true;
            }
            if let Some(device) = device {
                device.free(&chunk.allocation);
            }
            allocator.deallocate(chunk.allocation);
            false
        });
        self.held = held;
        fault_point!("reclaim.freed");
    }

    /// Notes a publication.
    #[inline]
    pub(super) fn note_published(&mut self, chunk: PublishedChunk) {
        self.published.push_back(chunk);
    }

    /// Notes a message that was in the history but did not get into the ring: freed when nobody holds it.
    pub(super) fn note_withdrawn(&mut self, chunk: PublishedChunk) {
        self.removed.push(chunk);
    }

    /// Which keep-all subscriptions it waits for.
    pub(super) fn waits(&self) -> Waits {
        self.waits
    }

    /// Number of its messages from a position on, and the publication number of the first of them.
    pub(super) fn unread_from(&self, position: Sequence) -> Option<(usize, PublicationNumber)> {
        let passed = self.published.partition_point(|chunk| chunk.sequence < position);
        self.published.get(passed).map(|oldest| (self.published.len() - passed, oldest.number))
    }

    /// Position of the newest message.
    pub(super) fn newest(&self) -> Option<Sequence> {
        self.published.back().map(|chunk| chunk.sequence)
    }

    /// The publisher leaves: its history serves nobody any more.
    pub(super) fn leave(&mut self) {
        self.keeps_history = false;
    }

    /// Whether no message of the publisher is in the ring or held.
    pub(super) fn is_empty(&self) -> bool {
        self.published.is_empty() && self.removed.is_empty()
    }

    /// Figures for error messages.
    pub(super) fn usage(&mut self, topic: &Topic) -> PoolUsage {
        self.gather_own_held(topic);
        let device = self.device.as_ref();
        let (used, limit) = device.map_or_else(|| self.allocator.usage(), |device| device.allocator.usage());
        let size = |chunk: &PublishedChunk| {
            let piece = device.and_then(|device| device.piece(&chunk.allocation));
            piece.map_or(chunk.allocation.capacity, |piece| piece.capacity)
        };
        let all = self.published.iter().chain(&self.removed);
        let pinned = all.filter(|chunk| self.held.binary_search(&chunk.message).is_ok());
        PoolUsage { used, pinned: pinned.map(size).sum(), limit }
    }

    /// Removes the files of its segments that nobody will ever look for: all of them, or those that the record does not name
    /// because no message was published in them.
    pub(super) fn leave_files(&self, record: &PublisherRecord, nobody_needs_any: bool) {
        let none = Vec::new();
        let on_device = self.device.as_ref().map_or(none, |device| device.allocator.paths());
        for (paths, ids) in [(self.allocator.paths(), &record.segments), (on_device, &record.device_segments)] {
            for (path, id) in paths.iter().zip(ids) {
                if nobody_needs_any || id.load(Ordering::Relaxed) == 0 {
                    crate::directory::kept::remove_both(path);
                    fault_point!("publisher.leave.file-removed");
                }
            }
            if nobody_needs_any {
                ids.iter().for_each(|id| id.store(0, Ordering::Relaxed));
            }
        }
    }
}
