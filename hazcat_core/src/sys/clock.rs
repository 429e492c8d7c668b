//! The clock that processes of one host share.

/// Nanoseconds of `CLOCK_MONOTONIC`: the same for all processes of the host (of its time namespace, which containers share
/// unless they ask not to), never set back, stopped while the machine sleeps. No system call where the vDSO answers; never
/// zero.
pub fn monotonic_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a live timespec. The clock exists on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos).max(1)
}

#[cfg(test)]
mod tests {
    use super::monotonic_nanos;

    #[test]
    fn it_moves_with_time_and_never_back() {
        let start = monotonic_nanos();
        let mut last = start;
        while last - start < 2_000_000 {
            let now = monotonic_nanos();
            assert!(now >= last);
            last = now;
        }
    }
}
