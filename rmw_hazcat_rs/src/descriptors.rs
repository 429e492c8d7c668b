//! Room for file descriptors.
//!
//! Every topic that a process uses costs it one descriptor, the lock by which the others know that it is there; a node has eight
//! for its parameter services alone. The usual limit of 1,024 is there for programs that call `select`, and may be raised by any
//! program up to the hard limit, which is far above. So it is raised here, before it is reached: otherwise a process of 150 nodes
//! could make no more, and its own files would not open either.

use std::fs::File;
use std::os::fd::AsRawFd;

use crate::logging::{log, Severity};

/// Raises the limit if most of it is used. To be called when an endpoint was made.
pub fn make_room() {
    // The lowest number that is free tells how many are in use; none is free where they all are.
    let lowest = File::open("/dev/null").map_or(u64::MAX, |file| u64::try_from(file.as_raw_fd()).unwrap_or(0));
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live structure for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return;
    }
    let Some(more) = better_limit(lowest, limit.rlim_cur, limit.rlim_max) else { return };
    let new = libc::rlimit { rlim_cur: more, ..limit };
    // SAFETY: `new` is a live structure, which is only read.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const new) } == 0 {
        log(Severity::Info, format_args!("raised the limit of open files from {} to {more}", limit.rlim_cur));
    }
}

/// The limit to have where `used` descriptors are in use; `None` where the present one will do, or is the last.
fn better_limit(used: u64, soft: u64, hard: u64) -> Option<u64> {
    (soft < hard && used >= soft / 4 * 3).then(|| soft.saturating_mul(4).min(hard))
}

#[cfg(test)]
mod tests {
    use super::better_limit;

    #[test]
    fn it_is_raised_in_time_and_as_far_as_allowed() {
        assert_eq!(better_limit(500, 1024, 20_000), None);
        assert_eq!(better_limit(768, 1024, 20_000), Some(4096));
        assert_eq!(better_limit(15_000, 16_384, 20_000), Some(20_000));
        assert_eq!(better_limit(20_000, 20_000, 20_000), None);
        assert_eq!(better_limit(u64::MAX, 1024, libc::RLIM_INFINITY), Some(4096));
    }
}
