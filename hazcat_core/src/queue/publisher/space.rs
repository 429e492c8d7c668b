//! Keep-all: waiting until the subscriptions have made room.
//!
//! A keep-all publisher waits instead of losing a message that a keep-all subscription has not read. What it may have unread is
//! bounded twice:
//!
//! 1. *Its history* must still have the word of every unread message: a subscription that others have lapped fetches the
//!    message there. This alone is what nothing is lost by, whatever happens in the ring.
//! 2. *The window*, half the ring, is shared by all keep-all publishers: while the claimed position is in the window of the
//!    slowest keep-all subscription, nobody is lapped. Beyond it a publisher may go on while it has less than its fair share
//!    of the window unread. Keep-last publishers, who never wait, can thus fill the window without shutting the keep-all ones
//!    out; and keep-all publishers alone never lap the subscription: a full window and everybody's share are less than the ring.
//!
//! The second is tested against the claimed position inside the loop that appends, as two publishers may see the same last place.

use super::{PublishError, Publisher, State};
use crate::ids::{PublicationNumber, Sequence};
use crate::queue::layout::{Owner, ACTIVE, KEEP_ALL};
use crate::queue::History;
use crate::ring::full_fence;
use crate::sync::atomic::Ordering;
use crate::sys::futex;
use std::time::{Duration, Instant};

/// Longest a waiting keep-all publisher sleeps before it looks by itself.
const SPACE_SLICE: Duration = Duration::from_millis(5);

impl Publisher {
    /// Whether its message `number` may take the position `claimed`.
    pub(super) fn has_space(&self, state: &State, number: PublicationNumber, claimed: Sequence) -> bool {
        let window = History::KeepAll.depth_in(self.topic.layout().capacity()) as u64;
        let Some(slowest) = state.pool.waits().look(&self.topic).slowest_keep_all else { return true };
        let unread = state.pool.unread_from(slowest);
        if unread.is_some_and(|(_, oldest)| number.0.saturating_sub(oldest.0) >= window) {
            return false;
        }
        let own = unread.map_or(0, |(count, _)| count as u64);
        claimed.0.saturating_sub(slowest.0) < window || own < window / self.keep_all_publishers()
    }

    /// Number of keep-all publishers on the topic, itself among them.
    #[cold]
    fn keep_all_publishers(&self) -> u64 {
        let records = self.topic.layout().publishers().iter();
        let keep_all = records.filter(|record| {
            // SYNC publisher-active
            record.state.load(Ordering::Acquire) == ACTIVE
                && record.flags.load(Ordering::Relaxed) & KEEP_ALL != 0
                && !self.topic.is_gone(Owner::from_word(record.owner.load(Ordering::Acquire)))
        });
        keep_all.count().max(1) as u64
    }

    /// Waits for room before the history is written; answers until when the rest may wait.
    pub(super) fn wait_for_space(
        &self,
        state: &State,
        number: PublicationNumber,
        head: Sequence,
    ) -> Result<Option<Instant>, PublishError> {
        if self.has_space(state, number, head) {
            return Ok(futex::deadline_after(Some(self.max_blocking)));
        }
        let deadline = futex::deadline_after(Some(self.max_blocking));
        self.wait_until_space(state, number, head, deadline)?;
        Ok(deadline)
    }

    /// Waits for room from `head` on, at most until `deadline`.
    pub(super) fn wait_until_space(
        &self,
        state: &State,
        number: PublicationNumber,
        head: Sequence,
        deadline: Option<Instant>,
    ) -> Result<(), PublishError> {
        let hot = self.topic.layout().hot();
        loop {
            let bell = hot.space_bell.load(Ordering::Acquire);
            hot.space_wanted.store(1, Ordering::Relaxed);
            fault_point!("publish.space-wanted");
            // SYNC space: the taker stores its cursor, fences, and reads `space_wanted`.
            full_fence();
            if self.has_space(state, number, head.max(self.topic.ring().head())) {
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
