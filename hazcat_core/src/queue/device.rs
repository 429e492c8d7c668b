//! Device memory behind the queue: what a pool has of it, and others' segments mapped here.

use super::layout::PublisherRecord;
use super::topic::Topic;
use crate::domain::{registry, AllocateError, Allocation, DomainAllocator, DomainError, DomainId, RemoteMemory};
use crate::ids::SegmentId;
use crate::payload::descriptor::DeviceBytes;
use crate::sync::atomic::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The device memory of one pool: each chunk of a device message has a piece of it.
pub(super) struct DeviceSide {
    pub(super) allocator: Box<dyn DomainAllocator>,
    /// By the ticket of the chunk.
    pieces: Vec<Option<Allocation>>,
}

impl DeviceSide {
    pub(super) fn new(allocator: Box<dyn DomainAllocator>) -> Self {
        Self { allocator, pieces: Vec::new() }
    }

    /// Ties a piece of `bytes` bytes to a chunk.
    pub(super) fn allocate(&mut self, chunk: &Allocation, bytes: usize) -> Result<(), AllocateError> {
        let ticket = chunk.ticket as usize;
        if self.pieces.len() <= ticket {
            self.pieces.resize(ticket + 1, None);
        }
        let piece = self.allocator.allocate(bytes)?;
        if let Some(place) = self.pieces.get_mut(ticket) {
            *place = Some(piece);
        }
        Ok(())
    }

    /// The piece of a chunk.
    pub(super) fn piece(&self, chunk: &Allocation) -> Option<Allocation> {
        self.pieces.get(chunk.ticket as usize).copied().flatten()
    }

    /// Frees the piece of a chunk, if it has one.
    pub(super) fn free(&mut self, chunk: &Allocation) {
        if let Some(piece) = self.pieces.get_mut(chunk.ticket as usize).and_then(Option::take) {
            self.allocator.deallocate(piece);
        }
    }

    /// Whether a piece of `bytes` bytes would find room if those of `chunks` were freed.
    pub(super) fn would_fit(&self, bytes: usize, chunks: &[Allocation]) -> bool {
        let pieces: Vec<Allocation> = chunks.iter().filter_map(|chunk| self.piece(chunk)).collect();
        self.allocator.would_fit(bytes, &pieces)
    }

    /// Names the segment of a piece in the record of its owner, before a message in it can be found. Answers its id.
    pub(super) fn publish_segment(&self, record: &PublisherRecord, piece: &Allocation) -> Option<SegmentId> {
        let place = record.device_segments.get(piece.segment as usize)?;
        let id = self.allocator.share(piece.segment)?;
        if place.load(Ordering::Relaxed) != id.0 {
            // SYNC segment-id
            place.store(id.0, Ordering::Release);
            fault_point!("device.segment-named");
        }
        Some(id)
    }
}

/// Why bytes in device memory cannot be reached here.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    #[error(transparent)]
    Domain(#[from] DomainError),
    #[error(transparent)]
    Segment(#[from] AllocateError),
    #[error("the message names bytes that its segment does not have")]
    Bounds,
}

/// Device segments mapped in this process, shared by all subscriptions of a topic.
#[derive(Default)]
pub(super) struct DeviceCache(Mutex<HashMap<u64, Weak<dyn RemoteMemory>>>);

impl DeviceCache {
    fn get(&self, topic: &Topic, domain: DomainId, bytes: &DeviceBytes) -> Result<Arc<dyn RemoteMemory>, Unreachable> {
        let mut mapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(segment) = mapped.get(&bytes.segment.0).and_then(Weak::upgrade) {
            return Ok(segment);
        }
        let segment = registry::get(domain)?.remap(topic.folder(), bytes.segment, bytes.owner)?;
        mapped.retain(|_, weak| weak.strong_count() > 0);
        mapped.insert(bytes.segment.0, Arc::downgrade(&segment));
        Ok(segment)
    }
}

/// The device segments that a subscription has mapped.
#[derive(Default)]
pub(super) struct DeviceSegments {
    current: HashMap<u64, (DomainId, Arc<dyn RemoteMemory>)>,
    /// Segments that nobody names any more while messages in them may still be held.
    retired: Vec<Arc<dyn RemoteMemory>>,
}

impl DeviceSegments {
    /// The segment in which bytes lie, mapped now if it was not; only if it has them.
    pub(super) fn reach(
        &mut self,
        topic: &Topic,
        domain: DomainId,
        bytes: &DeviceBytes,
    ) -> Result<Arc<dyn RemoteMemory>, Unreachable> {
        let known = self.current.get(&bytes.segment.0).filter(|(of, _)| *of == domain);
        let segment = match known {
            Some((_, segment)) => Arc::clone(segment),
            None => {
                let segment = topic.devices.get(topic, domain, bytes)?;
                self.current.insert(bytes.segment.0, (domain, Arc::clone(&segment)));
                segment
            }
        };
        match segment.address(bytes.offset, bytes.length) {
            Some(_) => Ok(segment),
            None => Err(Unreachable::Bounds),
        }
    }

    /// Retires the segments that no record of the topic names.
    pub(super) fn retire_former(&mut self, topic: &Topic) {
        if self.current.is_empty() {
            return;
        }
        let records = topic.layout().publishers().iter();
        let named: Vec<u64> =
            records.flat_map(|record| &record.device_segments).map(|id| id.load(Ordering::Acquire)).collect();
        let former: Vec<u64> = self.current.keys().copied().filter(|id| !named.contains(id)).collect();
        for id in former {
            self.retired.extend(self.current.remove(&id).map(|(_, segment)| segment));
        }
    }

    /// Unmaps what was retired. Only while no message is held.
    pub(super) fn bury(&mut self) {
        self.retired.clear();
    }

    pub(super) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }
}
