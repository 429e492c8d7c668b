//! Memory on a CUDA device: the owner's side.

use super::device::Device;
use super::driver::{CudaError, Driver};
use super::record::{Mark, Standing};
use super::remote::RemoteCudaMemory;
use super::segment::{roomy, CudaSegment};
use crate::domain::book::SegmentBook;
use crate::domain::host::RemoteHostMemory;
use crate::domain::{
    AllocateError, Allocation, CopyError, DomainAllocator, DomainId, Readiness, RemoteMemory, SegmentFolder, Stream,
    BOUNCE_BYTES,
};
use crate::ids::{Identity, SegmentId};
use cudarc::driver::sys;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time that an allocation waits for devices to finish with what was given back, where there is nothing else left.
const PATIENCE: Duration = Duration::from_secs(1);

/// One endpoint's memory on a device.
pub(super) struct CudaAllocator {
    device: Arc<Device>,
    folder: SegmentFolder,
    owner: Identity,
    book: SegmentBook<Arc<CudaSegment>>,
    /// The marks of messages, by the tickets of their allocations.
    marks: HashMap<u32, (Arc<CudaSegment>, Mark)>,
    /// Given back while the stream that fills it was not done: nobody may have it before.
    unfinished: Vec<(Allocation, Arc<CudaSegment>, Mark)>,
}

impl CudaAllocator {
    pub(super) fn new(device: Arc<Device>, folder: SegmentFolder, owner: Identity, budget: usize) -> Self {
        let (marks, unfinished) = (HashMap::new(), Vec::new());
        Self { device, folder, owner, book: SegmentBook::new(budget), marks, unfinished }
    }

    fn place(&self, of: &Allocation, offset: usize, len: usize) -> Result<sys::CUdeviceptr, CopyError> {
        let bounds = CopyError::Bounds { len, room: of.capacity.saturating_sub(offset) };
        let range = of.range(offset, len).ok_or(bounds)?;
        let segment = self.book.segment(of.segment).ok_or(CopyError::Bounds { len, room: 0 })?;
        segment.address(range.start, len).ok_or(CopyError::Bounds { len, room: 0 })
    }

    fn submit(
        &self,
        what: &'static str,
        work: impl FnOnce(&'static Driver, sys::CUstream) -> Result<(), CudaError>,
    ) -> Result<(), CopyError> {
        self.device.submit_and_wait(work).map_err(self.device.copy_error(what))
    }

    fn try_to_allocate(&mut self, bytes: usize) -> Result<Allocation, AllocateError> {
        self.take_back_finished();
        let (device, folder, owner) = (&self.device, &self.folder, self.owner);
        let (used, limit) = self.book.usage();
        self.book.allocate(bytes, |len| {
            CudaSegment::create(device, folder, owner, roomy(device, len, limit.saturating_sub(used)))
        })
    }

    /// Frees what devices have finished with.
    fn take_back_finished(&mut self) {
        let book = &mut self.book;
        self.unfinished.retain(|(allocation, segment, mark)| {
            let pending = segment.record().standing(*mark) == Standing::Pending;
            if !pending {
                segment.return_mark(*mark);
                book.deallocate(*allocation);
            }
            pending
        });
    }

    /// Ends the mark that an allocation had; answers it where it is still pending.
    fn end_mark(&mut self, ticket: u32) -> Option<(Arc<CudaSegment>, Mark)> {
        let (segment, mark) = self.marks.remove(&ticket)?;
        if segment.record().standing(mark) == Standing::Pending {
            return Some((segment, mark));
        }
        segment.return_mark(mark);
        None
    }
}

impl DomainAllocator for CudaAllocator {
    fn domain(&self) -> DomainId {
        self.device.domain()
    }

    fn allocate(&mut self, bytes: usize) -> Result<Allocation, AllocateError> {
        let started = Instant::now();
        loop {
            match self.try_to_allocate(bytes) {
                // What is missing may only be waiting for a device. Dropping messages instead would lose them.
                Err(error)
                    if error.is_for_want_of_room() && !self.unfinished.is_empty() && started.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(Duration::from_micros(50));
                }
                other => return other,
            }
        }
    }

    fn deallocate(&mut self, allocation: Allocation) {
        match self.end_mark(allocation.ticket) {
            Some((segment, mark)) => self.unfinished.push((allocation, segment, mark)),
            None => self.book.deallocate(allocation),
        }
    }

    fn would_fit(&self, bytes: usize, freed: &[Allocation]) -> bool {
        let unfinished = self.unfinished.iter().map(|(allocation, ..)| *allocation);
        let freed: Vec<_> = freed.iter().copied().chain(unfinished).collect();
        self.book.would_fit(bytes, &freed)
    }

    fn share(&self, segment: u32) -> Option<SegmentId> {
        self.book.segment(segment).map(|segment| segment.record().id())
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.book.segments().map(|segment| segment.record().path().to_owned()).collect()
    }

    fn address(&self, allocation: &Allocation) -> Option<*mut u8> {
        self.place(allocation, 0, allocation.capacity).ok().map(|address| address as usize as *mut u8)
    }

    fn copy_from(&mut self, from: &[u8], to: &Allocation, offset: usize) -> Result<(), CopyError> {
        let to = self.place(to, offset, from.len())?;
        if from.is_empty() {
            return Ok(());
        }
        self.submit("copy from host memory", |driver, stream| {
            // SAFETY: as many bytes of a mapped segment of ours as `from` has; both are there until the stream is done.
            unsafe { driver.cuMemcpyHtoDAsync(to, from.as_ptr().cast(), from.len(), stream) }
        })
    }

    fn copy_to(&self, from: &Allocation, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        let from = self.place(from, offset, to.len())?;
        if to.is_empty() {
            return Ok(());
        }
        self.submit("copy to host memory", |driver, stream| {
            // SAFETY: as `copy_from`, the other way round.
            unsafe { driver.cuMemcpyDtoHAsync(to.as_mut_ptr().cast(), from, to.len(), stream) }
        })
    }

    fn copy(&mut self, from: &Allocation, to: &Allocation, len: usize) -> Result<(), CopyError> {
        let (from, to) = (self.place(from, 0, len)?, self.place(to, 0, len)?);
        if from == to || len == 0 {
            return Ok(());
        }
        self.submit("copy on the device", |driver, stream| {
            // SAFETY: both are `len` bytes of segments of ours; different allocations do not overlap.
            unsafe { driver.cuMemcpyDtoDAsync(to, from, len, stream) }
        })
    }

    fn copy_from_remote(
        &mut self,
        from: &dyn RemoteMemory,
        offset: usize,
        len: usize,
        to: &Allocation,
    ) -> Result<(), CopyError> {
        let target = self.place(to, 0, len)?;
        if len == 0 {
            return Ok(());
        }
        if let Some(remote) = from.as_any().downcast_ref::<RemoteCudaMemory>() {
            let source = remote.place(offset, len)?;
            if remote.device().uuid() == self.device.uuid() {
                return self.submit("copy on the device", |driver, stream| {
                    // SAFETY: `len` bytes of a mapped segment of each; segments do not overlap.
                    unsafe { driver.cuMemcpyDtoDAsync(target, source, len, stream) }
                });
            }
            remote.reach_from(&self.device);
            let (here, there) = (self.device.context(), remote.device().context());
            let copied = self.submit("copy from another device", |driver, stream| {
                // SAFETY: as above; both contexts are never released.
                unsafe { driver.cuMemcpyPeerAsync(target, here, source, there, len, stream) }
            });
            if copied.is_ok() {
                return copied;
            }
            // There are machines on which two devices know nothing of each other: then through host memory, as below.
        }
        if from.as_any().is::<RemoteHostMemory>() {
            let source = from.address(offset, len).ok_or(CopyError::Bounds { len, room: 0 })?;
            return self.submit("copy from host memory", |driver, stream| {
                // SAFETY: `len` mapped bytes, checked by whose they are; there until the stream is done.
                unsafe { driver.cuMemcpyHtoDAsync(target, source.cast(), len, stream) }
            });
        }
        let mut bounce = vec![0; len.min(BOUNCE_BYTES)];
        let mut done = 0;
        while done < len {
            let step = bounce.len().min(len - done);
            let Some(part) = bounce.get_mut(..step) else { break };
            from.copy_to_host(offset + done, part)?;
            self.copy_from(part, to, done)?;
            done += step;
        }
        Ok(())
    }

    fn mark_ready(&mut self, allocation: &Allocation, stream: Stream) -> Result<Readiness, CopyError> {
        let bounds = CopyError::Bounds { len: allocation.capacity, room: 0 };
        let segment = Arc::clone(self.book.segment(allocation.segment).ok_or(bounds)?);
        let failed = self.device.copy_error("say when a message is ready");
        // A second mark for the same bytes, from another stream perhaps, is one more that has to be there.
        if let Some((segment, earlier)) = self.marks.get(&allocation.ticket) {
            if segment.record().standing(*earlier) == Standing::Pending {
                segment.wait_on(stream, *earlier).map_err(&failed)?;
            }
        }
        let Some(mark) = segment.take_mark() else {
            // More messages under way than there are marks: this one waits here.
            let _current = self.device.current_to_submit(stream).map_err(&failed)?;
            // SAFETY: the user vouches for the stream.
            unsafe { self.device.driver().cuStreamSynchronize(super::device::raw_stream(stream)) }.map_err(&failed)?;
            return Ok(Readiness::NOW);
        };
        if let Err(error) = segment.complete_from(stream, mark) {
            segment.return_mark(mark);
            return Err(failed(error));
        }
        if let Some((segment, earlier)) = self.marks.insert(allocation.ticket, (segment, mark)) {
            if segment.record().standing(earlier) != Standing::Pending {
                segment.return_mark(earlier);
            }
        }
        Ok(mark.readiness())
    }

    fn usage(&self) -> (usize, usize) {
        self.book.usage()
    }
}
