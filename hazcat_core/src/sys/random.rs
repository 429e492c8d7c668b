//! Random numbers for names and first generations.

/// 64 random bits from the kernel.
///
/// Names made from them are unique even between a process and its forked child, which share every user-space generator.
pub fn random_u64() -> u64 {
    let mut bytes = [0_u8; 8];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the buffer is live and as long as said.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(count) if count > 0 => done += count,
            _ => {
                // Only a kernel older than 3.17 or a filter refuses. The clock and the thread's address are distinct enough
                // for names, which are created exclusively anyway.
                let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let here = (&raw const done).addr() as u64;
                return (clock.as_nanos() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    ^ here
                    ^ u64::from(std::process::id()) << 32;
            }
        }
    }
    u64::from_ne_bytes(bytes)
}
