//! Random operations against a model: what was written stays as it is until it is overwritten or given back.

use super::bench::{content, read, Bench, Random};
use crate::domain::{Allocation, DomainAllocator};
use crate::ring::word::CHUNK_UNIT;
use std::collections::HashMap;
use std::ops::Range;

/// Operations of one run.
const OPERATIONS: usize = 1500;

/// An allocation, and what is in it.
struct Piece {
    allocation: Allocation,
    bytes: Vec<u8>,
}

/// Allocates, writes, copies, reads and gives back at random, and compares with a model after every step that reads.
///
/// # Panics
/// Where the allocator breaks its word; the seed is printed.
pub fn random_operations_agree_with_a_model(bench: &Bench) {
    let mut random = Random::seeded("random operations");
    let mut allocator = bench.allocator(16 << 20);
    assert_eq!(allocator.domain(), bench.domain().id(), "an allocator belongs to its domain");
    let mut pieces: Vec<Piece> = Vec::new();
    for operation in 0..OPERATIONS {
        match random.below(10) {
            0..=3 => {
                let magnitude = random.below(17);
                let bytes = 1 + random.below(1 << magnitude);
                if let Ok(allocation) = allocator.allocate(bytes) {
                    assert!(allocation.capacity >= bytes, "{bytes} bytes asked for, {} got", allocation.capacity);
                    // Whatever it holds, the model knows it from here on.
                    let bytes = content(random.next(), bytes);
                    allocator.copy_from(&bytes, &allocation, 0).unwrap_or_else(|error| panic!("copy_from: {error}"));
                    pieces.push(Piece { allocation, bytes });
                    check_places(allocator.as_ref(), &pieces);
                } else {
                    assert!(!pieces.is_empty(), "{bytes} bytes refused by an allocator of 16 MiB with nothing in use");
                }
            }
            4 | 5 if !pieces.is_empty() => {
                let piece = pieces.swap_remove(random.below(pieces.len()));
                compare(allocator.as_ref(), &piece, operation);
                allocator.deallocate(piece.allocation);
            }
            6 if !pieces.is_empty() => {
                let at = random.below(pieces.len());
                let piece = &mut pieces[at];
                let from = random.below(piece.bytes.len());
                let part = content(random.next(), 1 + random.below(piece.bytes.len() - from));
                allocator
                    .copy_from(&part, &piece.allocation, from)
                    .unwrap_or_else(|error| panic!("copy_from inside an allocation: {error}"));
                piece.bytes[from..from + part.len()].copy_from_slice(&part);
            }
            7 | 8 if pieces.len() > 1 => {
                let (from, to) = (random.below(pieces.len()), random.below(pieces.len()));
                let len = pieces[from].bytes.len().min(pieces[to].bytes.len());
                let (source, target) = (pieces[from].allocation, pieces[to].allocation);
                allocator.copy(&source, &target, len).unwrap_or_else(|error| panic!("copy: {error}"));
                let moved = pieces[from].bytes[..len].to_vec();
                pieces[to].bytes[..len].copy_from_slice(&moved);
            }
            _ if !pieces.is_empty() => {
                compare(allocator.as_ref(), &pieces[random.below(pieces.len())], operation);
            }
            _ => {}
        }
        let (used, limit) = allocator.usage();
        assert!(used <= limit, "{used} bytes used of {limit}");
    }
    assert!(!pieces.is_empty(), "the run tested nothing");
    pieces.iter().for_each(|piece| compare(allocator.as_ref(), piece, OPERATIONS));
}

fn compare(allocator: &dyn DomainAllocator, piece: &Piece, operation: usize) {
    let found = read(allocator, &piece.allocation, piece.bytes.len());
    let first = found.iter().zip(&piece.bytes).position(|(found, expected)| found != expected);
    assert_eq!(first, None, "operation {operation}: another byte than was written, in {:?}", piece.allocation);
}

/// No two pieces overlap, as offsets and as addresses, and all are aligned and in segments that others can be told of.
fn check_places(allocator: &dyn DomainAllocator, pieces: &[Piece]) {
    let mut addresses: Vec<Range<usize>> = Vec::new();
    let mut offsets: HashMap<u32, Vec<Range<usize>>> = HashMap::new();
    for Piece { allocation, .. } in pieces {
        let address = allocator.address(allocation).map(|at| at as usize);
        let address = address.unwrap_or_else(|| panic!("no address for {allocation:?}"));
        assert_eq!(address % CHUNK_UNIT, 0, "an address is not aligned");
        assert!(allocator.share(allocation.segment).is_some(), "no id for the segment of {allocation:?}");
        addresses.push(address..address + allocation.capacity);
        let offset = allocation.byte_offset();
        offsets.entry(allocation.segment).or_default().push(offset..offset + allocation.capacity);
    }
    offsets.into_values().chain([addresses]).for_each(|mut ranges| {
        ranges.sort_by_key(|range| range.start);
        ranges.windows(2).for_each(|pair| assert!(pair[0].end <= pair[1].start, "{pair:?} overlap"));
    });
}
