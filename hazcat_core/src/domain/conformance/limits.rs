//! Budgets, promises of room, and what does not fit.

use super::bench::{content, read, Bench, Random};
use crate::domain::{AllocateError, CopyError};

/// What lies outside an allocation is neither written nor read, and the refusal changes nothing.
///
/// # Panics
/// Where the allocator breaks its word.
pub fn what_is_out_of_bounds_is_refused(bench: &Bench) {
    let mut allocator = bench.allocator(4 << 20);
    let mut allocate = |bytes| allocator.allocate(bytes).unwrap_or_else(|error| panic!("{bytes} bytes: {error}"));
    let (one, other) = (allocate(1000), allocate(5000));
    let (room, bytes) = (one.capacity, content(1, one.capacity));
    allocator.copy_from(&bytes, &one, 0).unwrap_or_else(|error| panic!("as many bytes as there is room for: {error}"));
    let is_bounds = |result: Result<(), CopyError>, what: &str| {
        assert!(matches!(result, Err(CopyError::Bounds { .. })), "{what}: {result:?}");
    };
    is_bounds(allocator.copy_from(&vec![7; room + 1], &one, 0), "copy_from of one byte too many");
    is_bounds(allocator.copy_from(&[7], &one, room), "copy_from behind the end");
    is_bounds(allocator.copy_from(&[7, 7], &one, usize::MAX), "copy_from at an offset that overflows");
    is_bounds(allocator.copy_to(&one, 1, &mut vec![0; room]), "copy_to of one byte too many");
    is_bounds(allocator.copy_to(&one, usize::MAX, &mut [0, 0]), "copy_to at an offset that overflows");
    is_bounds(allocator.copy(&other, &one, room + 1), "copy into a shorter allocation");
    is_bounds(allocator.copy(&one, &other, room + 1), "copy out of a shorter allocation");
    assert_eq!(read(allocator.as_ref(), &one, room), bytes, "a refused copy changed something");
    allocator.copy_from(&[], &one, room).unwrap_or_else(|error| panic!("nothing at the end: {error}"));
    assert_eq!(allocator.share(u32::MAX), None, "an id for a segment that there is not");
}

/// Asking for ever ends in [`AllocateError::Budget`]; what can never fit is [`AllocateError::NeverFits`] at once; and what was
/// given back can be had again.
///
/// # Panics
/// Where the allocator breaks its word.
pub fn exhaustion_is_an_error_that_ends(bench: &Bench) {
    const BUDGET: usize = 8 << 20;
    let mut allocator = bench.allocator(BUDGET);
    let never = allocator.allocate(BUDGET + 1);
    assert!(matches!(never, Err(AllocateError::NeverFits { .. })), "{never:?}");
    let mut taken = Vec::new();
    let error = loop {
        match allocator.allocate(300_000) {
            Ok(allocation) => taken.push(allocation),
            Err(error) => break error,
        }
        assert!(taken.len() * 300_000 <= BUDGET, "more than the budget was handed out");
    };
    assert!(matches!(error, AllocateError::Budget { limit: BUDGET, .. }), "{error}");
    assert!(taken.len() * 300_000 > BUDGET / 2, "{} pieces of 300 kB out of {BUDGET} bytes", taken.len());
    for (number, allocation) in taken.iter().enumerate() {
        let bytes = content(number as u64, 1000);
        allocator.copy_from(&bytes, allocation, 0).unwrap_or_else(|error| panic!("{error}"));
    }
    let last = taken.pop().unwrap_or_else(|| unreachable!("counted above"));
    allocator.deallocate(last);
    allocator.allocate(300_000).unwrap_or_else(|error| panic!("what was given back is not there again: {error}"));
    for (number, allocation) in taken.iter().enumerate() {
        assert_eq!(read(allocator.as_ref(), allocation, 1000), content(number as u64, 1000), "piece {number}");
    }
}

/// `would_fit` tells beforehand whether giving something back will help.
///
/// # Panics
/// Where the allocator breaks its word.
pub fn promises_of_room_are_kept(bench: &Bench) {
    let mut random = Random::seeded("promises of room");
    let (mut yes, mut no) = (0, 0);
    for _ in 0..40 {
        let mut allocator = bench.allocator(4 << 20);
        let mut taken = Vec::new();
        while let Ok(allocation) = allocator.allocate(1 + random.below(300_000)) {
            taken.push(allocation);
        }
        let (freed, _kept): (Vec<_>, Vec<_>) = taken.into_iter().partition(|_| random.below(3) == 0);
        let bytes = 1 + random.below(1_200_000);
        let promised = allocator.would_fit(bytes, &freed);
        freed.into_iter().for_each(|allocation| allocator.deallocate(allocation));
        let grown = allocator.usage().0;
        // A segment more is not what was promised.
        let got = allocator.allocate(bytes).is_ok() && allocator.usage().0 == grown;
        assert!(got || !promised, "{bytes} bytes were promised");
        *(if promised { &mut yes } else { &mut no }) += 1;
    }
    assert!(yes > 0 && no > 0, "promised {yes} times, not promised {no} times: tested nothing");
}
