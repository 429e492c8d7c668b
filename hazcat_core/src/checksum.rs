//! A 64-bit checksum: fast, for noticing torn reads and for file names. Not against forgery.

/// Checksum of `bytes`, different for each `seed`.
pub(crate) fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    // The high half carries every bit of the word upwards, the low half downwards; both are kept.
    let mix = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * u128::from(MULTIPLIER);
        (product as u64).rotate_left(29) ^ (product >> 64) as u64
    };
    let mut state = mix(seed, bytes.len() as u64);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        state = mix(state, u64::from_le_bytes(word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(chunks.remainder()) {
        *to = *from;
    }
    state = mix(state, u64::from_le_bytes(last));
    // Final avalanche (the finaliser of SplitMix64), so that every input bit reaches every output bit.
    state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
}

#[cfg(test)]
mod tests {
    use super::checksum;
    use std::collections::HashSet;

    #[test]
    fn every_changed_bit_and_every_length_changes_it() {
        let mut seen = HashSet::new();
        for length in 0..40 {
            let mut bytes = vec![0x5a_u8; length];
            assert!(seen.insert(checksum(1, &bytes)));
            for bit in 0..length * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(seen.insert(checksum(1, &bytes)), "length {length}, bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert_ne!(checksum(1, b"x"), checksum(2, b"x"));
    }
}
