//! Memory bandwidth: what one `memcpy` of a message's size can do at best, on one core, between private buffers.

use std::hint::black_box;

use serde::Serialize;

use crate::clock::Clock;
use crate::statistics::median;

/// One size's figure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bandwidth {
    /// Bytes copied at a time.
    pub size: usize,
    /// Median time of one copy in nanoseconds.
    pub copy_ns: f64,
    /// The same as bytes per second, in units of 2^30.
    pub gib_per_second: f64,
}

/// Copies `size` bytes again and again between the same two buffers (so small sizes come from the cache).
pub fn memory_bandwidth(size: usize, clock: &Clock) -> Bandwidth {
    const ROUNDS: usize = 31;
    let source = vec![1_u8; size];
    let mut target = vec![2_u8; size];
    let group = ((16 << 20) / size.max(1)).clamp(1, 10_000);
    let mut copy = || {
        let start = clock.ticks();
        for _ in 0..group {
            black_box(&mut target).copy_from_slice(black_box(&source));
        }
        clock.nanoseconds(clock.ticks().saturating_sub(start)) / group as f64
    };
    copy();
    let copy_ns = median(&mut (0..ROUNDS).map(|_| copy()).collect::<Vec<_>>());
    Bandwidth { size, copy_ns, gib_per_second: size as f64 / copy_ns * 1e9 / (1_u64 << 30) as f64 }
}
