//! Host memory: segments in shared memory, each with its own offset allocator.
//!
//! Grows by adding segments (each at least as large as all before it together), up to a byte budget. Sizes are rounded up
//! to classes of at most 12.5 % waste, and freed chunks are kept per class: in steady state an allocation is a pop and a
//! release a push, without touching the shared memory itself.

use super::{AllocateError, Allocation, CopyError, DomainAllocator, DomainId, RemoteMemory};
use crate::directory::{Directory, TopicStem};
use crate::ids::{Identity, SegmentId};
use crate::payload::segment::{Segment, SEGMENT_HEADER_BYTES};
use crate::ring::word::{CHUNK_UNIT, MAX_SEGMENTS, MAX_SEGMENT_BYTES};
use crate::sys::random::random_u64;
use std::path::PathBuf;
use std::sync::Arc;

/// Smallest segment, in bytes.
const MIN_SEGMENT_BYTES: usize = 64 << 10;
/// Segments are whole pages.
const PAGE: usize = 4096;
/// Most pieces a segment is cut into.
const MAX_PIECES: u32 = 1 << 15;
/// Size classes: eight per power of two, over 30 bits of units.
const CLASSES: usize = 8 * 32;

/// Which topic's publisher the segments of an allocator belong to: decides their names.
#[derive(Clone, Debug)]
pub struct SegmentFolder {
    /// The participant's directory.
    pub directory: Directory,
    /// The topic.
    pub topic: TopicStem,
}

impl SegmentFolder {
    /// Path of a segment; `owner` is the identity's word, as it stands in the topic file.
    pub fn path(&self, id: SegmentId, owner: u64) -> PathBuf {
        self.directory.payload_path(id, owner, &self.topic)
    }
}

struct OwnedSegment {
    segment: Segment,
    pieces: offset_allocator::Allocator<u32>,
}

/// A piece of a segment, in units from the end of the segment's header.
struct Piece {
    piece: offset_allocator::Allocation<u32>,
    segment: usize,
    units: u32,
}

/// The host memory of one publisher.
pub struct HostAllocator {
    names: SegmentFolder,
    owner: Identity,
    budget: usize,
    used: usize,
    segments: Vec<OwnedSegment>,
    /// What the library handed out, by ticket.
    tickets: Vec<Option<Piece>>,
    free_tickets: Vec<u32>,
    /// Free chunks by size class.
    cached: Vec<Vec<Allocation>>,
}

/// Rounds a number of units up to a size class and says which.
fn size_class(units: u32) -> (usize, u32) {
    if units < 8 {
        return (units as usize, units);
    }
    let shift = 28 - units.leading_zeros(); // keeps four significant bits
    let step = 1u32 << shift;
    let rounded = (units + step - 1) & !(step - 1);
    let shift = 28 - rounded.leading_zeros();
    ((shift as usize + 1) * 8 + ((rounded >> shift) as usize & 7), rounded)
}

/// Size class of an allocation, and its size in units; `None` for more than a segment can have.
fn class_of(bytes: usize) -> Option<(usize, u32)> {
    let units = u32::try_from(bytes.div_ceil(CHUNK_UNIT)).ok().filter(|units| *units < 1 << 29)?;
    Some(size_class(units.max(1)))
}

/// Units that can be handed out of a segment of so many bytes.
fn units_of(len: usize) -> u32 {
    (len.saturating_sub(SEGMENT_HEADER_BYTES) / CHUNK_UNIT) as u32
}

fn whole_pages(len: usize) -> usize {
    len.div_ceil(PAGE) * PAGE
}

/// A new segment's id.
fn random_id() -> SegmentId {
    loop {
        match random_u64() {
            0 => {}
            id => return SegmentId(id),
        }
    }
}

impl HostAllocator {
    /// An allocator without any segment yet; the first is made by the first allocation.
    pub fn new(names: SegmentFolder, owner: Identity, budget: usize) -> Self {
        Self {
            names,
            owner,
            budget,
            used: 0,
            segments: Vec::new(),
            tickets: Vec::new(),
            free_tickets: Vec::new(),
            cached: vec![Vec::new(); CLASSES],
        }
    }

    /// Paths of all segments, to be unlinked when the messages in them are gone.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.segments.iter().map(|own| self.names.path(own.segment.id(), self.owner.word())).collect()
    }

    /// Mapping of a segment.
    pub fn segment(&self, index: u32) -> Option<&Segment> {
        self.segments.get(index as usize).map(|own| &own.segment)
    }

    /// The chunk that the next allocation of this size will probably get.
    #[inline]
    pub fn next_of_size(&self, capacity: usize) -> Option<*const u8> {
        let (class, _) = size_class((capacity / CHUNK_UNIT) as u32);
        let next = self.cached.get(class)?.last()?;
        self.segment(next.segment)?.mapping().range(next.chunk as usize * CHUNK_UNIT, CHUNK_UNIT)
    }

    fn take_piece(&mut self, units: u32) -> Option<Allocation> {
        for (index, own) in self.segments.iter_mut().enumerate().rev() {
            if let Some(piece) = own.pieces.allocate(units) {
                let ticket = match self.free_tickets.pop() {
                    Some(ticket) => ticket,
                    None => {
                        self.tickets.push(None);
                        self.tickets.len() as u32 - 1
                    }
                };
                if let Some(place) = self.tickets.get_mut(ticket as usize) {
                    *place = Some(Piece { piece, segment: index, units });
                }
                return Some(Allocation {
                    segment: index as u32,
                    chunk: piece.offset + (SEGMENT_HEADER_BYTES / CHUNK_UNIT) as u32,
                    capacity: units as usize * CHUNK_UNIT,
                    ticket,
                });
            }
        }
        None
    }

    fn give_piece_back(&mut self, allocation: Allocation) {
        let piece = self.tickets.get_mut(allocation.ticket as usize).and_then(Option::take);
        if let (Some(piece), Some(own)) = (piece, self.segments.get_mut(allocation.segment as usize)) {
            own.pieces.free(piece.piece);
            self.free_tickets.push(allocation.ticket);
        }
    }

    /// Whether `bytes` bytes would find room in the segments there are if `freed` were given back.
    pub fn would_fit(&self, bytes: usize, freed: &[Allocation]) -> bool {
        let Some((_, units)) = class_of(bytes) else { return false };
        let mut free = vec![false; self.tickets.len()];
        for allocation in self.cached.iter().flatten().chain(freed) {
            if let Some(free) = free.get_mut(allocation.ticket as usize) {
                *free = true;
            }
        }
        let taken = self.tickets.iter().zip(free).filter_map(|(piece, free)| piece.as_ref().filter(|_| !free));
        let mut taken: Vec<_> = taken.map(|piece| (piece.segment, piece.piece.offset, piece.units)).collect();
        taken.sort_unstable();
        self.segments.iter().enumerate().any(|(index, own)| {
            let end = units_of(own.segment.mapping().len());
            let mut from = 0;
            let pieces =
                taken.iter().filter(|(segment, ..)| *segment == index).map(|(_, start, units)| (*start, *units));
            pieces.chain([(end, 0)]).any(|(start, taken)| {
                let gap = start.saturating_sub(from);
                from = start.saturating_add(taken);
                gap >= units
            })
        })
    }

    fn flush_cache(&mut self) -> bool {
        let cached = std::mem::take(&mut self.cached);
        let mut any = false;
        for mut class in cached {
            for allocation in class.drain(..) {
                any = true;
                self.give_piece_back(allocation);
            }
            self.cached.push(class);
        }
        any
    }

    fn grow(&mut self, bytes: usize) -> Result<(), AllocateError> {
        let budget_error = AllocateError::Budget { needed: bytes, used: self.used, limit: self.budget };
        if self.segments.len() >= MAX_SEGMENTS {
            return Err(budget_error);
        }
        let least = whole_pages(bytes + SEGMENT_HEADER_BYTES);
        let room = self.budget.saturating_sub(self.used);
        if least > room {
            return Err(budget_error);
        }
        let wished = whole_pages((2 * bytes + SEGMENT_HEADER_BYTES).max(self.used).max(MIN_SEGMENT_BYTES));
        let mut len = wished.min(room / PAGE * PAGE).max(least).min(MAX_SEGMENT_BYTES as usize);
        let id = random_id();
        let path = self.names.path(id, self.owner.word());
        let segment = match Segment::create(&path, self.names.directory.file_mode(), len, id, self.owner) {
            Ok(segment) => segment,
            // Shared memory is nearly full: what is needed now may still fit.
            Err(crate::sys::shm_file::FileError::Full { .. }) if len > least => {
                len = least;
                Segment::create(&path, self.names.directory.file_mode(), len, id, self.owner)?
            }
            Err(error) => return Err(error.into()),
        };
        let units = units_of(len);
        let pieces = offset_allocator::Allocator::with_max_allocs(units, (units + 8).min(MAX_PIECES));
        self.segments.push(OwnedSegment { segment, pieces });
        self.used += len;
        Ok(())
    }
}

impl DomainAllocator for HostAllocator {
    fn domain(&self) -> DomainId {
        DomainId::HOST
    }

    fn allocate(&mut self, bytes: usize) -> Result<Allocation, AllocateError> {
        let never = AllocateError::NeverFits { needed: bytes, limit: self.budget };
        let Some((class, units)) = class_of(bytes) else { return Err(never) };
        if let Some(allocation) = self.cached.get_mut(class).and_then(Vec::pop) {
            return Ok(allocation);
        }
        if let Some(allocation) = self.take_piece(units) {
            return Ok(allocation);
        }
        if self.flush_cache() {
            if let Some(allocation) = self.take_piece(units) {
                return Ok(allocation);
            }
        }
        let size = units as usize * CHUNK_UNIT;
        if whole_pages(size + SEGMENT_HEADER_BYTES) > self.budget {
            return Err(never);
        }
        self.grow(size)?;
        self.take_piece(units).ok_or(AllocateError::Budget { needed: size, used: self.used, limit: self.budget })
    }

    fn deallocate(&mut self, allocation: Allocation) {
        let (class, _) = size_class((allocation.capacity / CHUNK_UNIT) as u32);
        match self.cached.get_mut(class) {
            Some(cached) => cached.push(allocation),
            None => self.give_piece_back(allocation),
        }
    }

    fn share(&self, segment: u32) -> Option<SegmentId> {
        self.segment(segment).map(Segment::id)
    }

    fn remap(&self, segment: SegmentId, owner: Identity) -> Result<Arc<dyn RemoteMemory>, AllocateError> {
        let segment = Segment::open(&self.names.path(segment, owner.word()), segment)?;
        Ok(Arc::new(RemoteHostMemory(segment)))
    }

    fn host_address(&self, allocation: &Allocation) -> Option<*mut u8> {
        let offset = allocation.chunk as usize * CHUNK_UNIT;
        self.segment(allocation.segment)?.mapping().range_mut(offset, allocation.capacity)
    }

    fn copy_from(&mut self, from: &[u8], to: &Allocation) -> Result<(), CopyError> {
        let bounds = CopyError::Bounds { len: from.len(), room: to.capacity };
        if from.len() > to.capacity {
            return Err(bounds);
        }
        let at = self.host_address(to).ok_or(bounds)?;
        // SAFETY: `at` addresses `capacity` bytes of this allocator's own mapping, at least as many as `from` has; a
        // caller's slice cannot overlap memory that only this allocator hands out mutably.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), at, from.len()) };
        Ok(())
    }

    fn copy_to(&self, from: &Allocation, to: &mut [u8]) -> Result<(), CopyError> {
        let bounds = CopyError::Bounds { len: to.len(), room: from.capacity };
        if to.len() > from.capacity {
            return Err(bounds);
        }
        let at = self.host_address(from).ok_or(bounds)?;
        // SAFETY: `at` addresses `capacity` readable bytes, at least as many as `to` has; see `copy_from` for overlap.
        unsafe { std::ptr::copy_nonoverlapping(at, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn copy(&mut self, from: &Allocation, to: &Allocation, len: usize) -> Result<(), CopyError> {
        let bounds = || CopyError::Bounds { len, room: from.capacity.min(to.capacity) };
        if len > from.capacity || len > to.capacity {
            return Err(bounds());
        }
        let source = self.host_address(from).ok_or_else(bounds)?;
        let target = self.host_address(to).ok_or_else(bounds)?;
        // SAFETY: both address at least `len` bytes of this allocator's mappings; `copy` allows overlap.
        unsafe { std::ptr::copy(source, target, len) };
        Ok(())
    }

    fn usage(&self) -> (usize, usize) {
        (self.used, self.budget)
    }
}

/// Another process's host segment.
struct RemoteHostMemory(Segment);

impl RemoteMemory for RemoteHostMemory {
    fn copy_to_host(&self, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        let bounds = CopyError::Bounds { len: to.len(), room: self.0.mapping().len().saturating_sub(offset) };
        let at = self.0.mapping().range(offset, to.len()).ok_or(bounds)?;
        // SAFETY: `at` addresses `to.len()` readable bytes of the mapping; `to` is private memory.
        unsafe { std::ptr::copy_nonoverlapping(at, to.as_mut_ptr(), to.len()) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_root::TestRoot;

    #[test]
    fn size_classes_are_ordered_tight_and_stable() {
        let mut last = (0, 0);
        for units in 1..200_000u32 {
            let (class, rounded) = size_class(units);
            assert!(rounded >= units && (rounded - units) * 8 <= units, "{units} -> {rounded}");
            assert_eq!(size_class(rounded), (class, rounded), "a class's own size stays in it");
            assert!(class < CLASSES && (class, rounded) >= last);
            last = (class, rounded);
        }
    }

    fn allocator(budget: usize) -> (TestRoot, HostAllocator) {
        let root = TestRoot::new();
        let directory = Directory::open_or_create(&root.config()).unwrap();
        let names = SegmentFolder { directory, topic: TopicStem::new("t", "T", 0) };
        (root, HostAllocator::new(names, Identity::new(0, 1).unwrap(), budget))
    }

    #[test]
    fn grows_by_segments_up_to_the_budget_and_says_so() {
        let (_scratch, mut host) = allocator(1 << 20);
        let mut got = Vec::new();
        let error = loop {
            match host.allocate(60_000) {
                Ok(allocation) => got.push(allocation),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, AllocateError::Budget { limit: 1_048_576, .. }), "{error}");
        assert!(got.len() >= 12, "{} chunks of 60 kB in 1 MiB", got.len());
        assert!(matches!(host.allocate(2 << 20), Err(AllocateError::NeverFits { .. })));
        let last = got.pop().unwrap();
        host.deallocate(last);
        host.allocate(60_000).expect("what was given back is there again");
    }

    #[test]
    fn a_segment_of_exactly_the_budget_can_be_had() {
        let (_scratch, mut host) = allocator(1 << 20);
        // The largest size class that fits beside the header.
        let most = (1 << 20) - SEGMENT_HEADER_BYTES;
        let fits =
            (1..=most / CHUNK_UNIT).rev().find(|units| size_class(*units as u32).1 as usize * CHUNK_UNIT <= most);
        let bytes = fits.unwrap() * CHUNK_UNIT;
        assert!(matches!(host.allocate(bytes + CHUNK_UNIT), Err(AllocateError::NeverFits { .. })));
        host.allocate(bytes).expect("fits");
    }

    #[test]
    fn it_is_known_beforehand_whether_freeing_will_help() {
        let mut state = 7u64;
        for _ in 0..60 {
            let (_scratch, mut host) = allocator(256 << 10);
            let mut random = |below: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % below
            };
            let mut taken = Vec::new();
            while let Ok(got) = host.allocate(random(30_000) + 1) {
                taken.push(got);
            }
            let (freed, _kept): (Vec<_>, Vec<_>) = taken.into_iter().partition(|_| random(3) == 0);
            let bytes = random(60_000) + 1;
            let promised = host.would_fit(bytes, &freed);
            freed.into_iter().for_each(|allocation| host.deallocate(allocation));
            // No room to grow: the budget is used up but for less than any of these sizes needs.
            let grown = host.usage().0;
            let got = host.allocate(bytes).is_ok() && host.usage().0 == grown;
            assert_eq!(got, promised, "{bytes} bytes");
        }
    }

    #[test]
    fn no_two_allocations_overlap() {
        let (_scratch, mut host) = allocator(8 << 20);
        let mut taken: Vec<(u32, std::ops::Range<u32>)> = Vec::new();
        let mut state = 12345u64;
        for _ in 0..2000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let bytes = (state >> 33) as usize % 3000 + 1;
            let got = host.allocate(bytes).unwrap();
            let range = got.chunk..got.chunk + (got.capacity / CHUNK_UNIT) as u32;
            assert!(got.capacity >= bytes && range.start >= 1);
            for (segment, other) in &taken {
                assert!(*segment != got.segment || range.end <= other.start || other.end <= range.start);
            }
            taken.push((got.segment, range));
        }
    }
}
