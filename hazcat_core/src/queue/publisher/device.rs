//! Publishing in device memory: loans that the device fills, and host bytes copied over.

use super::{history_words, LoanError, PublishError, Publisher, State};
use crate::domain::{CopyError, DomainId, Readiness, Stream};
use crate::history::HistoryView;
use crate::payload::chunk::{MessageMeta, HEADER_BYTES};
use crate::payload::descriptor::{DeviceBytes, DeviceDescriptorLayout, DESCRIPTOR_BYTES};
use crate::queue::counters::add;
use crate::queue::layout::{counter, PublisherRecord};
use crate::queue::loan::{DeviceLoan, RawLoan};
use crate::queue::Published;
use crate::ring::RingError;
use crate::sync::atomic::Ordering;
use crate::sys::bus_error;
use std::ptr::NonNull;

impl Publisher {
    /// The memory domain in which its device loans lie; the host for a publisher without any.
    pub fn domain(&self) -> DomainId {
        self.topic.domain(self.row).unwrap_or(DomainId::HOST)
    }

    /// Borrows `bytes` bytes of device memory.
    ///
    /// # Errors
    /// See [`LoanError`]; [`LoanError::NotOnDevice`] for a publisher of the host.
    pub fn loan_on_device(&self, bytes: usize) -> Result<DeviceLoan<'_>, LoanError> {
        Ok(DeviceLoan { publisher: self, raw: self.loan_on_device_raw(bytes)?, length: bytes })
    }

    /// The same for a caller that keeps it in its own books: to be given to [`Publisher::publish_raw`] or
    /// [`Publisher::return_raw`], once. [`RawLoan::ptr`] is an address of the device.
    ///
    /// # Errors
    /// As [`Publisher::loan_on_device`].
    pub fn loan_on_device_raw(&self, bytes: usize) -> Result<RawLoan, LoanError> {
        let topic = &*self.topic;
        let name = || topic.key().name.clone();
        if topic.participant().check_fork().is_err() {
            return Err(LoanError::Forked { topic: name() });
        }
        let mut guard = self.lock();
        let state = guard.as_mut().ok_or_else(|| LoanError::ShutDown { topic: name() })?;
        if state.pool.device.is_none() {
            return Err(LoanError::NotOnDevice { topic: name() });
        }
        if bus_error::cuts() != state.cuts {
            self.renew_cut(state).map_err(|error| self.loan_error(bytes, error, state.pool.usage(topic)))?;
        }
        let words = history_words(state.history, &state.pool.allocator);
        // SAFETY: the words lie in the publisher's first segment, which stays mapped as long as `state` lives.
        let history = words.and_then(|words| HistoryView::new(unsafe { &*words }));
        let chunk = state.pool.allocate_on_device(HEADER_BYTES + DESCRIPTOR_BYTES, bytes, topic, history);
        let allocation = match chunk {
            Ok(allocation) => allocation,
            Err(error) => return Err(self.loan_error(bytes, error, state.pool.usage(topic))),
        };
        let device = state.pool.device.as_ref();
        let piece = device.and_then(|device| device.piece(&allocation));
        let at = device.zip(piece).and_then(|(device, piece)| NonNull::new(device.allocator.address(&piece)?));
        match piece.zip(at) {
            Some((piece, ptr)) => {
                let number = state.pool.lend(&allocation);
                Ok(RawLoan { ptr, capacity: piece.capacity, on_device: true, allocation, number })
            }
            None => {
                state.pool.deallocate(allocation);
                Err(LoanError::NotOnDevice { topic: name() })
            }
        }
    }

    /// Copies host bytes to the beginning of a device loan. They are there when this returns.
    ///
    /// # Errors
    /// [`CopyError`]: too many bytes, or what the device answers; also for what is not on loan in device memory.
    pub fn copy_to_loan(&self, loan: &RawLoan, from: &[u8]) -> Result<(), CopyError> {
        let none = CopyError::Bounds { len: from.len(), room: 0 };
        let mut guard = self.lock();
        let state = guard.as_mut().ok_or(none.clone())?;
        if !loan.on_device || !state.pool.is_on_loan(&loan.allocation, loan.number) {
            return Err(none);
        }
        let device = state.pool.device.as_mut().ok_or(none.clone())?;
        let piece = device.piece(&loan.allocation).ok_or(none)?;
        device.allocator.copy_from(from, &piece, 0)?;
        if let Some(record) = self.topic.publisher(self.index) {
            add(&record.counters, counter::COPIED_TO_DEVICE, 1);
            add(&record.counters, counter::BYTES_COPIED, from.len());
        }
        Ok(())
    }

    /// Publishes the first `length` bytes of a device loan that work on `stream` is still writing. Does not wait for that
    /// work: whoever takes the message does, on its own stream if it has one.
    ///
    /// # Errors
    /// See [`PublishError`]; the loan is taken back.
    pub fn publish_from_stream(
        &self,
        loan: RawLoan,
        length: usize,
        meta: &MessageMeta,
        stream: Stream,
    ) -> Result<Published, PublishError> {
        self.publish_with(loan, length, meta, Some(stream))
    }

    /// Writes down where the bytes of a device loan are, in the place of a payload.
    pub(super) fn describe(
        &self,
        state: &mut State,
        record: &PublisherRecord,
        loan: &RawLoan,
        length: usize,
        stream: Option<Stream>,
    ) -> Result<(), PublishError> {
        let corrupt = PublishError::Corrupt(RingError::Corrupt);
        let device = state.pool.device.as_mut().ok_or(PublishError::NotLoaned)?;
        let piece = device.piece(&loan.allocation).ok_or(PublishError::NotLoaned)?;
        let readiness = match stream {
            Some(stream) => device.allocator.mark_ready(&piece, stream).map_err(PublishError::Device)?,
            None => Readiness::NOW,
        };
        let Some(segment) = device.publish_segment(record, &piece) else { return Err(corrupt) };
        let owner = record.creator.load(Ordering::Relaxed);
        let bytes = DeviceBytes::of(&piece, segment, owner, length, readiness);
        let own = state.pool.allocator.segment(loan.allocation.segment);
        let place = loan.allocation.byte_offset() + HEADER_BYTES;
        let descriptor = own.and_then(|segment| segment.mapping().record::<DeviceDescriptorLayout>(place));
        descriptor.ok_or(corrupt)?.write(&bytes);
        fault_point!("publish.described");
        Ok(())
    }
}
