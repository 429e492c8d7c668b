//! Publishing a loan: number, header, history word, the ring, and the bells of those who sleep.

use super::{history_words, PublishError, Publisher, State};
use crate::domain::Stream;
use crate::history::HistoryView;
use crate::ids::{Identity, PublicationNumber, Sequence};
use crate::payload::chunk::{ChunkHeader, MessageMeta, HEADER_BYTES};
use crate::queue::layout::counter;
use crate::queue::loan::{Loan, RawLoan};
use crate::queue::pool::{Pool, PublishedChunk};
use crate::queue::Published;
use crate::ring::word::MessageRef;
use crate::ring::{full_fence_after_rmw, AppendError, RingError};
use crate::sync::atomic::Ordering;
use crate::sys::{bus_error, prefetch};

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

impl Publisher {
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
        self.publish_with(loan, length, meta, None)
    }

    /// Publishes bytes that are there, or will be when `stream` has done what was submitted to it.
    #[inline]
    pub(super) fn publish_with(
        &self,
        loan: RawLoan,
        length: usize,
        meta: &MessageMeta,
        stream: Option<Stream>,
    ) -> Result<Published, PublishError> {
        let (published, reclaim_is_due) = self.append(loan, length, meta, stream)?;
        fault_point!("publish.before-wake");
        self.wake_sleepers();
        fault_point!("publish.after-wake");
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
    fn append(
        &self,
        loan: RawLoan,
        length: usize,
        meta: &MessageMeta,
        stream: Option<Stream>,
    ) -> Result<(Published, bool), PublishError> {
        if self.topic.participant().check_fork().is_err() {
            return Err(PublishError::Forked);
        }
        let mut guard = self.lock();
        let Some(state) = guard.as_mut() else { return Err(PublishError::ShutDown) };
        if !state.pool.end_loan(&loan.allocation, loan.number) {
            return Err(PublishError::NotLoaned);
        }
        match self.append_locked(state, loan, length, meta, stream) {
            Ok(published) => Ok((published, state.pool.reclaim_is_due())),
            Err(Unpublished { why, noted: None }) => {
                state.pool.deallocate(loan.allocation);
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
        stream: Option<Stream>,
    ) -> Result<Published, Unpublished> {
        if length > loan.capacity {
            return Err(PublishError::TooLong { length, capacity: loan.capacity }.into());
        }
        if bus_error::cuts() != 0 {
            self.check_cut(state, &loan)?;
        }
        let record = self.topic.publisher(self.index).ok_or(RingError::Corrupt)?;
        let ring = self.topic.ring();
        let allocation = loan.allocation;
        let message = MessageRef::new(self.index, allocation.segment, allocation.chunk).ok_or(RingError::Corrupt)?;
        if loan.on_device {
            self.describe(state, record, &loan, length, stream)?;
        }
        fault_point!("publish.begun");
        record.publish_segment(&state.pool.allocator, &allocation);
        fault_point!("publish.segment-named");
        let header = state
            .pool
            .allocator
            .segment(allocation.segment)
            .and_then(|segment| segment.mapping().record::<ChunkHeader>(message.byte_offset()))
            .ok_or(RingError::Corrupt)?;
        let number = PublicationNumber(state.next);
        let deadline = if self.keep_all { self.wait_for_space(state, number, ring.head())? } else { None };
        state.next += 1;
        header.fill(number, length, self.gid, meta);
        if loan.on_device {
            header.set_domain(u32::from(self.row));
        }
        let words = history_words(state.history, &state.pool.allocator);
        // SAFETY: the words lie in the publisher's first segment, which stays mapped as long as `state` lives.
        let history = words.and_then(|words| HistoryView::new(unsafe { &*words }));
        if let Some(history) = history {
            header.set_sequence(ring.head());
            fault_point!("publish.before-history");
            history.write(number, message);
            fault_point!("publish.after-history");
        }
        let withdraw = |why: PublishError| {
            let noted = history.map(|history| {
                history.remove(number, message);
                fault_point!("publish.withdrawn");
                PublishedChunk { sequence: header.sequence(), number, message, allocation }
            });
            Unpublished { why, noted }
        };
        let sequence = loop {
            let appended = ring.append_over(state.ahead.take(), message, |claimed| {
                header.set_sequence(claimed);
                if self.keep_all && !self.has_space(state, number, claimed) {
                    return Err(());
                }
                Ok(())
            });
            match appended {
                Ok(sequence) => break sequence,
                // Another keep-all publisher took the last position between the check and the claim.
                Err(AppendError::Refused(())) => {
                    self.wait_until_space(state, number, ring.head(), deadline).map_err(withdraw)?;
                }
                Err(AppendError::Ring(error)) => return Err(withdraw(error.into())),
            }
        };
        // Its cache line is here now, and soon with the readers again.
        state.ahead = Some(ring.look_ahead(Sequence(sequence.0.wrapping_add(1))));
        fault_point!("publish.before-note");
        state.pool.note_published(PublishedChunk { sequence, number, message, allocation });
        record.counters[counter::MESSAGES].store(number.0, Ordering::Relaxed);
        let bytes = &record.counters[counter::BYTES];
        bytes.store(bytes.load(Ordering::Relaxed).wrapping_add(length as u64), Ordering::Relaxed);
        if loan.on_device {
            let messages = &record.counters[counter::ON_DEVICE];
            messages.store(messages.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        if state.pool.dropped != 0 {
            record.counters[counter::DROPPED].store(state.pool.dropped, Ordering::Relaxed);
        }
        prefetch_next(&state.pool);
        Ok(Published { sequence, number })
    }

    /// Rings the bell of every subscription that sleeps.
    #[inline]
    pub(in crate::queue) fn wake_sleepers(&self) {
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
                    fault_point!("publish.before-ring");
                    self.topic.participant().bells().ring(owner, bell);
                }
            }
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
