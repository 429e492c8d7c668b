//! Messages that cannot be read as their subscription's type, whatever somebody published as a serialized message.
//!
//! They are passed over: counted as lost (`MESSAGE_LOST`), told of in the log, and the next message is taken. Were taking one
//! an error, as it is nowhere else, each would end the `spin` of every rclpy node that listens.

use std::sync::atomic::{AtomicU64, Ordering};

use super::subscription::{Held, Subscription};
use crate::error::{Code, Failure, Result};
use crate::logging::{log, Severity};

/// How many messages one take passes over. Behind them it says that there is none, and whoever waits looks again.
pub(super) const MOST_AT_ONCE: usize = 64;

/// How many there have been.
#[derive(Default)]
pub(super) struct Unreadable(AtomicU64);

impl Subscription {
    /// Loses a message that cannot be read. What is not its fault, such as memory that is missing, stays an error.
    #[cold]
    pub(super) fn pass_over(&self, held: Held<'_>, failure: Failure) -> Result<()> {
        if failure.code != Code::Error {
            return Err(failure.about(self.subject()));
        }
        let _ = self.core.lose_raw(held.keep().index);
        let count = self.unreadable.0.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        // Not a line for each: there may be nothing else on the topic.
        if count.is_power_of_two() {
            let (topic, why) = (self.topic(), &failure.message);
            log(Severity::Error, format_args!("topic '{topic}': a message is lost ({count} so far): {why}"));
        }
        Ok(())
    }
}
