//! A segment of device memory: the memory, mapped on its device, and the file that stands for it.

use super::device::{raw_stream, Device};
use super::driver::CudaError;
use super::keeper;
use super::memory::{whole, DeviceMemory};
use super::pin::Pin;
use super::record::{Mark, SegmentRecord, Standing, MARKS};
use super::rescue;
use super::share;
use crate::domain::book::SegmentMemory;
use crate::domain::{AllocateError, SegmentFolder, Stream};
use crate::ids::{Identity, SegmentId};
use crate::sync::atomic::{AtomicU64, Ordering};
use cudarc::driver::sys;
use std::sync::{Arc, Mutex, PoisonError};

/// A segment that this process made, or one that it mapped.
pub(super) struct CudaSegment {
    // Dropped in this order: nothing may be unmapped while it is registered.
    pin: Mutex<Option<(Pin, sys::CUdeviceptr)>>,
    memory: DeviceMemory,
    record: Arc<SegmentRecord>,
    len: usize,
    /// Marks that no message has (the owner's only).
    free_marks: Mutex<Vec<u16>>,
    last_value: AtomicU64,
}

impl CudaSegment {
    /// Makes a segment of `len` bytes that other processes can map.
    pub(super) fn create(
        device: &Arc<Device>,
        folder: &SegmentFolder,
        owner: Identity,
        len: usize,
    ) -> Result<Arc<Self>, AllocateError> {
        let say = |error| AllocateError::Device(device.explain("make a segment", error));
        let server = share::prepare(&folder.directory)?;
        let made = match DeviceMemory::create(device, len) {
            Err(error) if error.is_out_of_memory() => {
                // Perhaps what was removed a moment ago is still being kept.
                share::let_go_of_the_gone();
                DeviceMemory::create(device, len)
            }
            other => other,
        };
        let (memory, descriptor) = made.map_err(say)?;
        let id = SegmentId::random();
        let path = folder.path(id, owner.word());
        let record = Arc::new(SegmentRecord::create(
            &path,
            folder.directory.file_mode(),
            id,
            owner.word(),
            device.uuid(),
            (len, memory.len()),
            server,
        )?);
        share::put(id, &path, Arc::new(descriptor));
        let free_marks = Mutex::new((0..MARKS as u16).rev().collect());
        let pin = Mutex::new(None);
        let segment = Self { pin, memory, record, len, free_marks, last_value: AtomicU64::new(0) };
        if device.has_stream_words() {
            // Now, and not when the first message is published: registering takes its time. What goes wrong is said then.
            let _ = segment.first_mark_address();
        }
        Ok(Arc::new(segment))
    }

    /// Maps a segment that somebody made on `device`.
    pub(super) fn open(
        device: &Arc<Device>,
        folder: &SegmentFolder,
        id: SegmentId,
        owner: u64,
    ) -> Result<Arc<Self>, AllocateError> {
        let (record, len, mapped) = SegmentRecord::open(&folder.path(id, owner), id, device.uuid())?;
        let descriptor = share::fetch(&folder.directory, &record)?;
        let say = |error| AllocateError::Device(device.explain("map a segment", error));
        let memory = DeviceMemory::import(device, descriptor.get().map_err(say)?, mapped).map_err(say)?;
        let (pin, free_marks) = (Mutex::new(None), Mutex::default());
        let record = Arc::new(record);
        Ok(Arc::new(Self { pin, memory, record, len, free_marks, last_value: AtomicU64::new(0) }))
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        self.memory.device()
    }

    pub(super) fn memory(&self) -> &DeviceMemory {
        &self.memory
    }

    pub(super) fn record(&self) -> &SegmentRecord {
        &self.record
    }

    /// Address of `len` bytes at `offset`, on the device; `None` outside.
    #[inline]
    pub(super) fn address(&self, offset: usize, len: usize) -> Option<sys::CUdeviceptr> {
        offset.checked_add(len).filter(|end| *end <= self.len)?;
        self.memory.address(offset, len)
    }

    /// The address by which streams know the first mark; registers the marks where they are not yet.
    fn first_mark_address(&self) -> Result<sys::CUdeviceptr, CudaError> {
        let mut pin = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, first)) = &*pin {
            return Ok(*first);
        }
        let (at, len) = self.record.marks().ok_or(CudaError::ours("cuMemHostRegister", "HAZCAT_NO_MARKS"))?;
        let new = Pin::new(self.device(), at, len, true)?;
        let first = new.device_address()?;
        *pin = Some((new, first));
        Ok(first)
    }

    /// The address by which streams know a mark.
    fn mark_address(&self, mark: Mark) -> Result<sys::CUdeviceptr, CudaError> {
        Ok(self.first_mark_address()? + sys::CUdeviceptr::from(mark.number) * 8)
    }

    /// A mark for a message of this process; `None` where all are in use.
    pub(super) fn take_mark(&self) -> Option<Mark> {
        let mut free = self.free_marks.lock().unwrap_or_else(PoisonError::into_inner);
        let value = self.last_value.fetch_add(1, Ordering::Relaxed) + 1;
        loop {
            let mark = Mark { number: free.pop()?, value };
            // One that somebody poisoned or scribbled on is not used again.
            if self.record.standing(mark) == Standing::Pending {
                return Some(mark);
            }
        }
    }

    /// Takes back a mark that is not pending any more.
    pub(super) fn return_mark(&self, mark: Mark) {
        self.free_marks.lock().unwrap_or_else(PoisonError::into_inner).push(mark.number);
    }

    /// Has `stream` say that the bytes are there when all that was submitted to it so far is done.
    pub(super) fn complete_from(self: &Arc<Self>, stream: Stream, mark: Mark) -> Result<(), CudaError> {
        let device = self.device();
        if device.has_stream_words() {
            let address = self.mark_address(mark)?;
            let _current = device.current_to_submit(stream)?;
            let flags = sys::CUstreamWriteValue_flags::CU_STREAM_WRITE_VALUE_DEFAULT as u32;
            // SAFETY: registered memory, kept with the segment by the keeper until the word is there; the user vouches for
            // the stream. The default flag orders the write behind all that the stream did before, for the whole system.
            unsafe { device.driver().cuStreamWriteValue64(raw_stream(stream), address, mark.value, flags) }?;
        } else {
            let segment = Arc::clone(self);
            keeper::when_done(device, stream, Box::new(move || segment.record.complete(mark)))?;
        }
        keeper::watch_own(Arc::clone(self), mark);
        Ok(())
    }

    /// Has `stream` wait for a mark. `false` where this device's streams cannot.
    pub(super) fn wait_on(self: &Arc<Self>, stream: Stream, mark: Mark) -> Result<bool, CudaError> {
        let device = self.device();
        if !device.has_stream_words() {
            return Ok(false);
        }
        let address = self.mark_address(mark)?;
        let _current = device.current_to_submit(stream)?;
        if !self.record.is_ours() {
            rescue::watch(&self.record, mark)?;
        }
        let flags = sys::CUstreamWaitValue_flags::CU_STREAM_WAIT_VALUE_GEQ as u32;
        // SAFETY: registered memory, kept with the segment by the keeper until the stream has passed; the user vouches for the
        // stream.
        unsafe { device.driver().cuStreamWaitValue64(raw_stream(stream), address, mark.value, flags) }?;
        keeper::watch_wait(Arc::clone(self), mark, stream);
        Ok(true)
    }
}

impl SegmentMemory for Arc<CudaSegment> {
    fn len(&self) -> usize {
        self.len
    }
}

/// The length that a segment should have where `len` bytes are needed and `room` are left of the budget: device memory is
/// made in large pieces anyway.
pub(super) fn roomy(device: &Device, len: usize, room: usize) -> usize {
    whole(len, device.granularity()).min(room / 4096 * 4096).max(len)
}
