//! Host memory: segments in shared memory, each mapped writable by its owner and read-only by everybody else.
//!
//! What is where in a segment is in private books ([`SegmentBook`]): in steady state an allocation is a pop and a release a
//! push, without touching the shared memory itself.

use super::book::{SegmentBook, SegmentMemory};
use super::folder::SegmentFolder;
use super::{AllocateError, Allocation, CopyError, DomainAllocator, DomainId, MemoryDomain, RemoteMemory};
use crate::ids::{Identity, SegmentId};
use crate::log::warn_log;
use crate::payload::segment::Segment;
use crate::ring::word::CHUNK_UNIT;
use crate::sys::shm_file::FileError;
use std::path::PathBuf;
use std::sync::Arc;

/// Ordinary shared memory.
#[derive(Debug)]
pub struct HostDomain;

impl MemoryDomain for HostDomain {
    fn id(&self) -> DomainId {
        DomainId::HOST
    }

    fn description(&self) -> String {
        "host".into()
    }

    fn allocator(
        &self,
        folder: &SegmentFolder,
        owner: Identity,
        budget: usize,
    ) -> Result<Box<dyn DomainAllocator>, AllocateError> {
        Ok(Box::new(HostAllocator::new(folder.clone(), owner, budget)))
    }

    fn remap(
        &self,
        folder: &SegmentFolder,
        segment: SegmentId,
        owner: u64,
    ) -> Result<Arc<dyn RemoteMemory>, AllocateError> {
        Ok(Arc::new(RemoteHostMemory(Segment::open(&folder.path(segment, owner), segment)?)))
    }
}

impl SegmentMemory for Segment {
    fn len(&self) -> usize {
        self.mapping().len()
    }
}

/// The host memory of one publisher, or of one subscription that makes copies.
pub struct HostAllocator {
    names: SegmentFolder,
    owner: Identity,
    book: SegmentBook<Segment>,
    /// Segments whose files were cut short: loans and messages in them are still in use here.
    former: Vec<Segment>,
}

/// Most segments of an allocator that are made anew while something in them is in use.
const MOST_FORMER: usize = 64;

impl HostAllocator {
    /// An allocator without any segment yet; the first is made by the first allocation.
    pub fn new(names: SegmentFolder, owner: Identity, budget: usize) -> Self {
        Self { names, owner, book: SegmentBook::new(budget), former: Vec::new() }
    }

    /// Makes one segment anew whose file somebody has cut short: another file, the same index, the same pieces in use. What was
    /// in it is lost, but for those who have its addresses. Answers which; `None` where all are whole.
    ///
    /// # Errors
    /// [`AllocateError::System`]; the segment stays as it is then.
    pub fn renew_one_cut(&mut self) -> Result<Option<u32>, AllocateError> {
        let cut = self.book.segments().enumerate().find(|(_, segment)| segment.mapping().is_cut());
        let Some((index, id, len)) = cut.map(|(index, segment)| (index as u32, segment.id(), segment.mapping().len()))
        else {
            return Ok(None);
        };
        let path = self.names.path(id, self.owner.word());
        if self.former.len() >= MOST_FORMER {
            return Err(FileError::Corrupt { path, what: "cut short by somebody, again and again" }.into());
        }
        // Its memory may be wanted for the new one.
        crate::directory::kept::remove_both(&path);
        let new = make_segment(&self.names, self.owner, len)?;
        warn_log!("{} was cut short by somebody: the messages in it are lost", path.display());
        self.former.extend(self.book.replace_segment(index, new));
        Ok(Some(index))
    }

    /// Whether a segment's file was cut short, and something of it missed.
    pub fn is_cut(&self, index: u32) -> bool {
        self.segment(index).is_none_or(|segment| segment.mapping().is_cut())
    }

    /// Lets go of what was made anew. For when nobody has an address in it.
    pub fn forget_former(&mut self) {
        self.former.clear();
    }

    /// Mapping of a segment.
    #[inline]
    pub fn segment(&self, index: u32) -> Option<&Segment> {
        self.book.segment(index)
    }

    /// The chunk that the next allocation of this size will probably get.
    #[inline]
    pub fn next_of_size(&self, capacity: usize) -> Option<*const u8> {
        let next = self.book.next_of_size(capacity)?;
        self.segment(next.segment)?.mapping().range(next.byte_offset(), CHUNK_UNIT)
    }

    fn bytes(&self, allocation: &Allocation, offset: usize, len: usize) -> Result<*mut u8, CopyError> {
        let place = allocation.range(offset, len).ok_or(CopyError::Bounds { len, room: allocation.capacity })?;
        let segment = self.segment(allocation.segment);
        let at = segment.and_then(|segment| segment.mapping().range_mut(place.start, len));
        at.ok_or(CopyError::Bounds { len, room: 0 })
    }
}

fn make_segment(names: &SegmentFolder, owner: Identity, len: usize) -> Result<Segment, AllocateError> {
    let id = SegmentId::random();
    let path = names.path(id, owner.word());
    Ok(names.make(|| Segment::create(&path, names.directory.own_file_mode(), len, id, owner))?)
}

impl DomainAllocator for HostAllocator {
    fn domain(&self) -> DomainId {
        DomainId::HOST
    }

    #[inline]
    fn allocate(&mut self, bytes: usize) -> Result<Allocation, AllocateError> {
        let Self { names, owner, book, .. } = self;
        book.allocate(bytes, |len| make_segment(names, *owner, len))
    }

    #[inline]
    fn deallocate(&mut self, allocation: Allocation) {
        self.book.deallocate(allocation);
    }

    fn would_fit(&self, bytes: usize, freed: &[Allocation]) -> bool {
        self.book.would_fit(bytes, freed)
    }

    #[inline]
    fn share(&self, segment: u32) -> Option<SegmentId> {
        self.segment(segment).map(Segment::id)
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.book.segments().map(|segment| self.names.path(segment.id(), self.owner.word())).collect()
    }

    #[inline]
    fn address(&self, allocation: &Allocation) -> Option<*mut u8> {
        self.segment(allocation.segment)?.mapping().range_mut(allocation.byte_offset(), allocation.capacity)
    }

    fn copy_from(&mut self, from: &[u8], to: &Allocation, offset: usize) -> Result<(), CopyError> {
        let at = self.bytes(to, offset, from.len())?;
        // SAFETY: `at` addresses as many writable bytes of this allocator's own mapping as `from` has; a caller's slice
        // cannot overlap memory that only this allocator hands out mutably.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), at, from.len()) };
        Ok(())
    }

    fn copy_to(&self, from: &Allocation, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        let at = self.bytes(from, offset, to.len())?;
        // SAFETY: `at` addresses as many readable bytes as `to` has; see `copy_from` for overlap.
        unsafe { std::ptr::copy_nonoverlapping(at, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn copy(&mut self, from: &Allocation, to: &Allocation, len: usize) -> Result<(), CopyError> {
        let source = self.bytes(from, 0, len)?;
        let target = self.bytes(to, 0, len)?;
        // SAFETY: both address at least `len` bytes of this allocator's mappings; `copy` allows overlap.
        unsafe { std::ptr::copy(source, target, len) };
        Ok(())
    }

    fn usage(&self) -> (usize, usize) {
        self.book.usage()
    }
}

/// Another process's host segment.
pub(super) struct RemoteHostMemory(Segment);

impl RemoteMemory for RemoteHostMemory {
    fn address(&self, offset: usize, len: usize) -> Option<*const u8> {
        self.0.mapping().range(offset, len)
    }

    fn copy_to_host(&self, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        let bounds = CopyError::Bounds { len: to.len(), room: self.0.mapping().len().saturating_sub(offset) };
        let at = self.0.mapping().range(offset, to.len()).ok_or(bounds)?;
        // SAFETY: `at` addresses `to.len()` readable bytes of the mapping; `to` is private memory.
        unsafe { std::ptr::copy_nonoverlapping(at, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Directory, TopicStem};
    use crate::domain::book::{size_class, RESERVED_BYTES};
    use crate::test_root::TestRoot;

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
        let most = (1 << 20) - RESERVED_BYTES;
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
