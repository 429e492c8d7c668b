//! Keep-all: waiting until the subscriptions have made room.

use super::{PublishError, Publisher};
use crate::ids::Sequence;
use crate::queue::cursors::Cursors;
use crate::queue::History;
use crate::ring::full_fence;
use crate::sync::atomic::Ordering;
use crate::sys::futex;
use std::time::{Duration, Instant};

/// Longest a waiting keep-all publisher sleeps before it looks by itself.
const SPACE_SLICE: Duration = Duration::from_millis(5);

impl Publisher {
    /// Whether every keep-all subscription has passed what stands where `claimed` would go.
    pub(super) fn has_space(&self, claimed: Sequence) -> bool {
        let window = History::KeepAll.depth_in(self.topic.layout().capacity()) as u64;
        match Cursors::look(&self.topic).slowest_keep_all {
            Some(slowest) => claimed.0.saturating_sub(slowest.0) < window,
            None => true,
        }
    }

    /// Waits for room before the history is written; answers until when the rest may wait.
    pub(super) fn wait_for_space(&self, head: Sequence) -> Result<Option<Instant>, PublishError> {
        if self.has_space(head) {
            return Ok(futex::deadline_after(Some(self.max_blocking)));
        }
        let deadline = futex::deadline_after(Some(self.max_blocking));
        self.wait_until_space(head, deadline)?;
        Ok(deadline)
    }

    pub(super) fn wait_until_space(&self, head: Sequence, deadline: Option<Instant>) -> Result<(), PublishError> {
        let hot = self.topic.layout().hot();
        loop {
            let bell = hot.space_bell.load(Ordering::Acquire);
            hot.space_wanted.store(1, Ordering::Relaxed);
            // SYNC space: the taker stores its cursor, fences, and reads `space_wanted`.
            full_fence();
            if self.has_space(head.max(self.topic.ring().head())) {
                return Ok(());
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Err(PublishError::TimedOut);
            }
            let slice = now.checked_add(SPACE_SLICE);
            futex::wait(&hot.space_bell, bell, slice.min(deadline.or(slice)));
        }
    }
}
