//! Why there is no loan, and why a message was not published.

use crate::queue::pool::PoolUsage;
use crate::ring::RingError;

/// Why there is no loan.
#[derive(Debug, thiserror::Error)]
pub enum LoanError {
    /// The byte budget is used up by messages that somebody needs or holds.
    #[error(
        "topic '{topic}': no memory for {needed} bytes (used {}, pinned by readers {}, limit {})",
        usage.used, usage.pinned, usage.limit
    )]
    Exhausted {
        /// Name of the topic.
        topic: String,
        /// Bytes asked for.
        needed: usize,
        /// The publisher's figures.
        usage: PoolUsage,
    },
    /// Larger than the budget can ever hold.
    #[error("topic '{topic}': {needed} bytes can never fit into the publisher's budget of {limit} bytes")]
    TooLarge {
        /// Name of the topic.
        topic: String,
        /// Bytes asked for.
        needed: usize,
        /// The budget.
        limit: usize,
    },
    /// Shared memory is full, or the system refused otherwise.
    #[error("topic '{topic}': {source} (used {}, pinned by readers {}, limit {})", usage.used, usage.pinned, usage.limit)]
    System {
        /// Name of the topic.
        topic: String,
        /// The system's answer.
        source: crate::sys::shm_file::FileError,
        /// The publisher's figures.
        usage: PoolUsage,
    },
    /// The device refused.
    #[error("topic '{topic}': {source} (used {}, pinned by readers {}, limit {})", usage.used, usage.pinned, usage.limit)]
    Device {
        /// Name of the topic.
        topic: String,
        /// The device's answer.
        source: crate::domain::DeviceError,
        /// The publisher's figures.
        usage: PoolUsage,
    },
    /// Device memory was asked for of a publisher that has none.
    #[error("topic '{topic}': the publisher has no device memory")]
    NotOnDevice {
        /// Name of the topic.
        topic: String,
    },
    /// The publisher has been shut down.
    #[error("topic '{topic}': the publisher has been shut down")]
    ShutDown {
        /// Name of the topic.
        topic: String,
    },
    /// The calling process is a fork of the one that created the publisher.
    #[error("topic '{topic}': a forked child must not use its parent's publisher")]
    Forked {
        /// Name of the topic.
        topic: String,
    },
}

/// Why a message was not published. The loan has been taken back.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PublishError {
    /// A keep-all subscription did not make room in time.
    #[error("a keep-all subscription made no room within the blocking time")]
    TimedOut,
    /// The topic's ring was overwritten by somebody.
    #[error(transparent)]
    Corrupt(#[from] RingError),
    /// The file of the topic, or that of the loan, was cut short by somebody; what was in it is lost. Another loan can be
    /// published, unless it was the topic's.
    #[error("{path} or a file of its messages was cut short by somebody, and what was in it is lost")]
    Cut {
        /// The topic's file.
        path: std::path::PathBuf,
    },
    /// More bytes than the loan has.
    #[error("{length} bytes in a loan of {capacity}")]
    TooLong {
        /// Bytes to publish.
        length: usize,
        /// Bytes of the loan.
        capacity: usize,
    },
    /// What is to be published is not on loan from this publisher: it was published or returned before, or is another's.
    #[error("not a loan of this publisher, or published or returned before")]
    NotLoaned,
    /// The device refused to say when the message will be ready.
    #[error(transparent)]
    Device(crate::domain::CopyError),
    /// The publisher has been shut down.
    #[error("the publisher has been shut down")]
    ShutDown,
    /// The calling process is a fork of the one that created the publisher.
    #[error("a forked child must not use its parent's publisher")]
    Forked,
}
