//! Random numbers that can be had again.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// From the environment variable `HAZCAT_TEST_SEED`, else from the clock; printed either way.
    pub fn new(what: &str) -> Self {
        let seed = std::env::var("HAZCAT_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |now| u64::from(now.subsec_nanos()) ^ (now.as_secs() << 20))
        });
        println!("{what}: HAZCAT_TEST_SEED={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end - 1`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// How long a random test runs, in rounds: `HAZCAT_TEST_ROUNDS`, else the default.
pub fn rounds(default: usize) -> usize {
    std::env::var("HAZCAT_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}
