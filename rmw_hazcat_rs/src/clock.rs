//! The time stamps that messages carry.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch; no system call on Linux (the vDSO answers).
pub fn now_nanos() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        // A clock before 1970 is a clock that was never set.
        Err(_) => 0,
    }
}
