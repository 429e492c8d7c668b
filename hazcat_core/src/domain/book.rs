//! The private books of an allocator: which pieces of its segments are in use.
//!
//! Serves every kind of memory, because it never touches the memory itself. Grows by adding segments (each at least as large
//! as all before it together), up to a byte budget. Sizes are rounded up to classes of at most 12.5 % waste, and freed
//! pieces are kept per class: in steady state an allocation is a pop and a release a push.

use super::{AllocateError, Allocation};
use crate::ring::word::{CHUNK_UNIT, MAX_SEGMENTS, MAX_SEGMENT_BYTES};

/// Bytes at the beginning of a segment that are not handed out.
pub const RESERVED_BYTES: usize = crate::payload::segment::SEGMENT_HEADER_BYTES;
/// Smallest segment, in bytes.
const MIN_SEGMENT_BYTES: usize = 64 << 10;
/// Most segments that are made smaller than wished, for want of room: the others are for when there is room again, so that a
/// shortage does not leave a publisher with small segments for ever.
const MOST_MADE_SHORT: usize = 6;
/// Segments are whole pages.
const PAGE: usize = 4096;
/// Most pieces a segment is cut into.
const MAX_PIECES: u32 = 1 << 15;
/// Pieces for which there is room in the books from the start: how many are in use at a time depends on chance, and that
/// should not decide whether a message costs an allocation.
pub(crate) const USUAL_PIECES: usize = 128;
/// Size classes: eight per power of two, over 30 bits of units.
const CLASSES: usize = 8 * 32;

/// A segment of whatever memory.
pub trait SegmentMemory {
    /// Its length in bytes, [`RESERVED_BYTES`] included.
    fn len(&self) -> usize;

    /// Whether there is nothing in it (there always is).
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

struct OwnedSegment<S> {
    segment: S,
    pieces: offset_allocator::Allocator<u32>,
}

/// A piece of a segment, in units from the end of the segment's header.
struct Piece {
    piece: offset_allocator::Allocation<u32>,
    segment: usize,
    units: u32,
}

/// The books of one allocator, and its segments.
pub struct SegmentBook<S> {
    budget: usize,
    used: usize,
    segments: Vec<OwnedSegment<S>>,
    /// How many of them are smaller than was wished.
    made_short: usize,
    /// What the library handed out, by ticket.
    tickets: Vec<Option<Piece>>,
    free_tickets: Vec<u32>,
    /// Free pieces by size class.
    cached: Vec<Vec<Allocation>>,
}

/// Rounds a number of units up to a size class and says which.
pub(super) fn size_class(units: u32) -> (usize, u32) {
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
    (len.saturating_sub(RESERVED_BYTES) / CHUNK_UNIT) as u32
}

fn whole_pages(len: usize) -> usize {
    len.div_ceil(PAGE) * PAGE
}

impl<S: SegmentMemory> SegmentBook<S> {
    /// Books without any segment yet; the first is made by the first allocation. `budget` is in bytes.
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            used: 0,
            segments: Vec::new(),
            made_short: 0,
            tickets: Vec::with_capacity(USUAL_PIECES),
            free_tickets: Vec::with_capacity(USUAL_PIECES),
            cached: vec![Vec::new(); CLASSES],
        }
    }

    /// A segment by its index.
    #[inline]
    pub fn segment(&self, index: u32) -> Option<&S> {
        self.segments.get(index as usize).map(|own| &own.segment)
    }

    /// Puts a segment of the same length in the place of another, which comes back; the pieces in use stay in use.
    pub fn replace_segment(&mut self, index: u32, new: S) -> Option<S> {
        self.segments.get_mut(index as usize).map(|own| std::mem::replace(&mut own.segment, new))
    }

    /// All segments.
    pub fn segments(&self) -> impl Iterator<Item = &S> {
        self.segments.iter().map(|own| &own.segment)
    }

    /// The piece that the next allocation of this size will probably get.
    #[inline]
    pub fn next_of_size(&self, capacity: usize) -> Option<&Allocation> {
        let (class, _) = size_class((capacity / CHUNK_UNIT) as u32);
        self.cached.get(class)?.last()
    }

    /// Bytes in segments now, and the most there may be.
    pub fn usage(&self) -> (usize, usize) {
        (self.used, self.budget)
    }

    /// A piece of `bytes` bytes. `make` makes a segment of the given length where one more is needed.
    ///
    /// # Errors
    /// [`AllocateError::Budget`], [`AllocateError::NeverFits`], or what `make` answers; nothing has changed then.
    #[inline]
    pub fn allocate(
        &mut self,
        bytes: usize,
        make: impl FnMut(usize) -> Result<S, AllocateError>,
    ) -> Result<Allocation, AllocateError> {
        let never = AllocateError::NeverFits { needed: bytes, limit: self.budget };
        let Some((class, units)) = class_of(bytes) else { return Err(never) };
        if let Some(allocation) = self.cached.get_mut(class).and_then(Vec::pop) {
            return Ok(allocation);
        }
        self.allocate_anew(units, never, make)
    }

    fn allocate_anew(
        &mut self,
        units: u32,
        never: AllocateError,
        make: impl FnMut(usize) -> Result<S, AllocateError>,
    ) -> Result<Allocation, AllocateError> {
        if let Some(allocation) = self.take_piece(units) {
            return Ok(allocation);
        }
        if self.flush_cache() {
            if let Some(allocation) = self.take_piece(units) {
                return Ok(allocation);
            }
        }
        let size = units as usize * CHUNK_UNIT;
        if whole_pages(size + RESERVED_BYTES) > self.budget {
            return Err(never);
        }
        self.grow(size, make)?;
        self.take_piece(units).ok_or(AllocateError::Budget { needed: size, used: self.used, limit: self.budget })
    }

    /// Takes back what [`SegmentBook::allocate`] gave.
    #[inline]
    pub fn deallocate(&mut self, allocation: Allocation) {
        let (class, _) = size_class((allocation.capacity / CHUNK_UNIT) as u32);
        match self.cached.get_mut(class) {
            Some(cached) => {
                if cached.capacity() == 0 {
                    cached.reserve(USUAL_PIECES);
                }
                cached.push(allocation);
            }
            None => self.give_piece_back(allocation),
        }
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
                    chunk: piece.offset + (RESERVED_BYTES / CHUNK_UNIT) as u32,
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
            let end = units_of(own.segment.len());
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

    fn grow(
        &mut self,
        bytes: usize,
        mut make: impl FnMut(usize) -> Result<S, AllocateError>,
    ) -> Result<(), AllocateError> {
        let budget_error = AllocateError::Budget { needed: bytes, used: self.used, limit: self.budget };
        if self.segments.len() >= MAX_SEGMENTS {
            return Err(budget_error);
        }
        let least = whole_pages(bytes + RESERVED_BYTES);
        let room = self.budget.saturating_sub(self.used);
        if least > room {
            return Err(budget_error);
        }
        let wished = whole_pages((2 * bytes + RESERVED_BYTES).max(self.used).max(MIN_SEGMENT_BYTES));
        let wished = wished.min(room / PAGE * PAGE).max(least).min(MAX_SEGMENT_BYTES as usize);
        let mut size = wished;
        let segment = loop {
            match make(size) {
                // Memory is nearly full: what is needed now may still fit.
                Err(error) if size > least && self.made_short < MOST_MADE_SHORT && error.is_for_want_of_room() => {
                    size = whole_pages(size / 2).max(least);
                }
                made => break made?,
            }
        };
        self.made_short += usize::from(size < wished);
        let len = segment.len();
        let units = units_of(len);
        let pieces = offset_allocator::Allocator::with_max_allocs(units, (units + 8).min(MAX_PIECES));
        self.segments.push(OwnedSegment { segment, pieces });
        self.used += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::shm_file::FileError;

    /// Memory of which there is nothing but its length.
    struct Length(usize);

    impl SegmentMemory for Length {
        fn len(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn a_shortage_of_memory_leaves_no_trace() {
        let full = |needed: u64| AllocateError::System(FileError::Full { path: "/dev/shm".into(), needed });
        let mut book = SegmentBook::new(1 << 30);
        // As much as a hundred kilobytes are to be had, in all.
        let mut left = 100_000usize;
        let mut taken = Vec::new();
        let error = loop {
            let made = book.allocate(1000, |len| {
                left = left.checked_sub(len).ok_or_else(|| full(len as u64))?;
                Ok(Length(len))
            });
            match made {
                Ok(piece) => taken.push(piece),
                Err(error) => break error,
            }
        };
        assert!(error.is_for_want_of_room(), "{error}");
        assert!(taken.len() * 1024 > 85_000, "nearly all of it was used: {} pieces", taken.len());
        // The shortage is over: small messages, and ever larger ones, up to what the budget allows.
        for bytes in std::iter::repeat_n(1000, 40_000).chain((12..28).map(|power| 1 << power)) {
            book.allocate(bytes, |len| Ok(Length(len))).unwrap_or_else(|error| panic!("{bytes} bytes: {error}"));
        }
    }

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
}
