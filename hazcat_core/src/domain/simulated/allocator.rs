//! Memory of a simulated device: the owner's side and everybody else's.

use super::segment::SimulatedSegment;
use super::SimulatedDevice;
use crate::domain::book::SegmentBook;
use crate::domain::{
    AllocateError, Allocation, CopyError, DomainAllocator, DomainId, RemoteMemory, SegmentFolder, BOUNCE_BYTES,
};
use crate::ids::{Identity, SegmentId};
use std::any::Any;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// One endpoint's memory on a simulated device.
pub(super) struct SimulatedAllocator {
    device: Arc<SimulatedDevice>,
    folder: SegmentFolder,
    owner: Identity,
    book: SegmentBook<Arc<SimulatedSegment>>,
}

impl SimulatedAllocator {
    pub(super) fn new(device: Arc<SimulatedDevice>, folder: SegmentFolder, owner: Identity, budget: usize) -> Self {
        Self { device, folder, owner, book: SegmentBook::new(budget) }
    }

    /// The segment of an allocation and the offset of `len` bytes in it.
    fn place(&self, of: &Allocation, offset: usize, len: usize) -> Result<(&SimulatedSegment, usize), CopyError> {
        let bounds = CopyError::Bounds { len, room: of.capacity.saturating_sub(offset) };
        let range = of.range(offset, len).ok_or(bounds)?;
        let segment = self.book.segment(of.segment).ok_or(CopyError::Bounds { len, room: 0 })?;
        Ok((segment, range.start))
    }
}

/// Moves bytes from one segment to another, or within one.
fn move_bytes(from: (&SimulatedSegment, usize), to: (&SimulatedSegment, usize), len: usize) -> Result<(), CopyError> {
    let mut bounce = vec![0; len.min(BOUNCE_BYTES)];
    let mut done = 0;
    while done < len {
        let step = bounce.len().min(len - done);
        let Some(part) = bounce.get_mut(..step) else { break };
        from.0.read(from.1 + done, part)?;
        to.0.write(to.1 + done, part)?;
        done += step;
    }
    Ok(())
}

impl DomainAllocator for SimulatedAllocator {
    fn domain(&self) -> DomainId {
        self.device.id
    }

    fn allocate(&mut self, bytes: usize) -> Result<Allocation, AllocateError> {
        let (folder, owner, device) = (&self.folder, self.owner, self.device.id);
        let allocation = self.book.allocate(bytes, |len| {
            let id = SegmentId::random();
            let path = folder.path(id, owner.word());
            Ok(folder.make(|| SimulatedSegment::create(&path, folder.directory.own_file_mode(), len, id, device))?)
        })?;
        self.device.counters.allocations.fetch_add(1, Ordering::Relaxed);
        Ok(allocation)
    }

    fn deallocate(&mut self, allocation: Allocation) {
        self.device.counters.deallocations.fetch_add(1, Ordering::Relaxed);
        self.book.deallocate(allocation);
    }

    fn would_fit(&self, bytes: usize, freed: &[Allocation]) -> bool {
        self.book.would_fit(bytes, freed)
    }

    fn share(&self, segment: u32) -> Option<SegmentId> {
        self.book.segment(segment).map(|segment| segment.id())
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.book.segments().map(|segment| segment.path().to_owned()).collect()
    }

    fn address(&self, allocation: &Allocation) -> Option<*mut u8> {
        self.book.segment(allocation.segment)?.address(allocation.byte_offset(), allocation.capacity)
    }

    fn copy_from(&mut self, from: &[u8], to: &Allocation, offset: usize) -> Result<(), CopyError> {
        let (segment, at) = self.place(to, offset, from.len())?;
        self.device.trouble.befall(self.device.id, "copy from host")?;
        segment.write(at, from)?;
        self.device.counters.from_host.add(from.len());
        Ok(())
    }

    fn copy_to(&self, from: &Allocation, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        let (segment, at) = self.place(from, offset, to.len())?;
        self.device.trouble.befall(self.device.id, "copy to host")?;
        segment.read(at, to)?;
        self.device.counters.to_host.add(to.len());
        Ok(())
    }

    fn copy(&mut self, from: &Allocation, to: &Allocation, len: usize) -> Result<(), CopyError> {
        let (source, target) = (self.place(from, 0, len)?, self.place(to, 0, len)?);
        self.device.trouble.befall(self.device.id, "copy on the device")?;
        move_bytes(source, target, len)?;
        self.device.counters.within.add(len);
        Ok(())
    }

    fn copy_from_remote(
        &mut self,
        from: &dyn RemoteMemory,
        offset: usize,
        len: usize,
        to: &Allocation,
    ) -> Result<(), CopyError> {
        let (segment, at) = self.place(to, 0, len)?;
        let Some(peer) = from.as_any().downcast_ref::<RemoteSimulatedMemory>() else {
            self.device.trouble.befall(self.device.id, "copy from another domain")?;
            let mut bounce = vec![0; len.min(BOUNCE_BYTES)];
            let mut done = 0;
            while done < len {
                let step = bounce.len().min(len - done);
                let Some(part) = bounce.get_mut(..step) else { break };
                from.copy_to_host(offset + done, part)?;
                segment.write(at + done, part)?;
                done += step;
            }
            self.device.counters.from_host.add(len);
            return Ok(());
        };
        self.device.trouble.befall(self.device.id, "copy from another device")?;
        move_bytes((&peer.segment, offset), (segment, at), len)?;
        self.device.counters.within.add(len);
        Ok(())
    }

    fn usage(&self) -> (usize, usize) {
        self.book.usage()
    }
}

/// Another allocator's segment.
pub(super) struct RemoteSimulatedMemory {
    device: Arc<SimulatedDevice>,
    segment: Arc<SimulatedSegment>,
}

impl RemoteSimulatedMemory {
    pub(super) fn new(device: Arc<SimulatedDevice>, segment: Arc<SimulatedSegment>) -> Self {
        device.counters.remaps.fetch_add(1, Ordering::Relaxed);
        Self { device, segment }
    }
}

impl RemoteMemory for RemoteSimulatedMemory {
    fn address(&self, offset: usize, len: usize) -> Option<*const u8> {
        self.segment.address(offset, len).map(<*mut u8>::cast_const)
    }

    fn copy_to_host(&self, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        self.device.trouble.befall(self.device.id, "copy to host")?;
        self.segment.read(offset, to)?;
        self.device.counters.to_host.add(to.len());
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
