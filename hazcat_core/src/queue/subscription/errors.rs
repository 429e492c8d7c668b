//! What can go wrong with a subscription.

use crate::queue::copier::AcrossError;

/// Why nothing was taken although something may be there.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// As many messages are held as a subscription can hold.
    #[error("{limit} messages are held already; return one first")]
    TooManyHeld {
        /// Most messages.
        limit: usize,
    },
    /// The calling process is a fork of the one that created the subscription.
    #[error("a forked child must not use its parent's subscription")]
    Forked,
    /// The message lies in another memory domain, and could not be copied into this subscription's. It is still there;
    /// but where [`MOST_FAILED_COPIES`](crate::queue::MOST_FAILED_COPIES) copies have failed in a row, for another reason than want
    /// of room, messages whose copies fail are lost, without an error, until one succeeds.
    #[error("topic '{topic}': {error}")]
    Across {
        /// Name of the topic.
        topic: String,
        /// What went wrong.
        error: AcrossError,
    },
    /// Shared memory was overwritten so that the ring makes no sense.
    #[error("the topic's ring is corrupt")]
    Corrupt,
}

/// A message was returned that is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is not held by this subscription")]
pub struct NotHeld;
