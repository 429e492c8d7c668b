//! Generations: numbers that tell the holders of one index apart, as they follow one another and as they stand in the file.

use super::{read_word, LEASE_DATA};
use crate::ids::Identity;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Writes and returns the generation of the new holder of `index`, who is the caller.
pub(super) fn next_generation(file: &File, index: u32) -> io::Result<u64> {
    let next = following(generation_of(read_word(file, generation_at(index))?), clock_generation());
    write_generation(file, index, next)?;
    Ok(next)
}

/// The generation after `last`: that of the clock, where it is later. Where an older copy of the file was put in its place,
/// the number behind `last` was somebody's already.
pub(super) fn following(last: Option<u64>, clock: u64) -> u64 {
    match last {
        Some(last) if last == clock || is_later(last, clock) => last % Identity::MAX_GENERATION + 1,
        _ => clock,
    }
}

pub(super) fn generation_at(index: u32) -> u64 {
    LEASE_DATA + 8 * u64::from(index)
}

pub(super) fn write_generation(file: &File, index: u32, generation: u64) -> io::Result<()> {
    file.write_all_at(&generation_word(generation).to_le_bytes(), generation_at(index))
}

/// The generation that the clock says: so that a directory that was removed and made anew does not repeat identities, and later
/// ones count as later. (In units of 8 microseconds since 2025; 48 bits are enough for 71 years, and generations may wrap
/// around.)
pub(super) fn clock_generation() -> u64 {
    const SINCE: Duration = Duration::from_secs(1_735_689_600);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(SINCE);
    let units = now.saturating_sub(SINCE).as_micros() / 8;
    u64::try_from(units).unwrap_or(0) % Identity::MAX_GENERATION + 1
}

/// A generation as it stands in the file.
fn generation_word(generation: u64) -> u64 {
    let check = (generation ^ 0x6861_7a63_6174).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    generation | check << 48
}

/// The generation that a word of the file says; `None` for one that nobody ever wrote, or that somebody scribbled on.
pub(super) fn generation_of(word: u64) -> Option<u64> {
    let generation = word & Identity::MAX_GENERATION;
    (generation != 0 && generation_word(generation) == word).then_some(generation)
}

/// Whether one generation follows the other, round the wrap as well.
pub(crate) fn is_later(generation: u64, than: u64) -> bool {
    let ahead = generation.wrapping_sub(than) & Identity::MAX_GENERATION;
    ahead != 0 && ahead <= Identity::MAX_GENERATION / 2
}
