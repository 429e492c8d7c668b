//! The message queue of a topic: one ring in shared memory, and the publishers and subscriptions on it.
//!
//! | file | what |
//! |---|---|
//! | `layout.rs` | what the bytes of a topic file mean |
//! | `topic.rs` | opening, joining, leaving, removing a topic file |
//! | `publisher/`, `loan.rs` | publishing |
//! | `pool.rs` | which of a publisher's chunks are in use, and reclaiming them |
//! | `copier.rs`, `device.rs` | copies between memory domains, and device memory |
//! | `counters.rs` | what publishers and subscriptions count |
//! | `cursors.rs` | one look at all subscriptions of a topic |
//! | `subscription/`, `sample.rs` | taking |
//! | `backlog.rs` | the past, for late subscriptions and lapped keep-all ones |
//! | `peers.rs` | other publishers' segments, mapped here |
//! | `signs.rs` | when publishers last published, and showed that they are alive |
//! | `sweep.rs` | cleaning up behind the dead |

mod backlog;
mod copier;
mod counters;
mod cursors;
mod device;
pub(crate) mod kept;
pub mod layout;
mod loan;
mod peers;
mod pool;
pub mod publisher;
mod sample;
pub mod signs;
pub mod subscription;
pub mod sweep;
pub mod topic;

pub use copier::{AcrossError, MOST_FAILED_COPIES};
pub use counters::{Passage, PublisherCounters, SubscriptionCounters};
pub use layout::{MAX_DOMAINS, MAX_HELD, MAX_SUBSCRIPTIONS};
pub use loan::{DeviceLoan, Loan, RawLoan};
pub use sample::{DeviceSample, HeldIndex, RawSample, Sample, SampleInfo};

/// How many messages an endpoint keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum History {
    /// The last so many; zero counts as one.
    KeepLast(usize),
    /// All, as far as the limits of the queue allow.
    KeepAll,
}

impl History {
    /// Smallest capacity of a topic's ring, in messages.
    pub const MIN_CAPACITY: usize = 4096;
    /// Largest capacity of a topic's ring, in messages.
    pub const MAX_CAPACITY: usize = 1 << 16;
    /// Largest depth that can be asked for: a quarter of the largest ring.
    pub const MAX_DEPTH: usize = Self::MAX_CAPACITY / 4;

    /// Capacity of the ring that an endpoint with this history wishes for.
    pub fn wished_capacity(self) -> usize {
        match self {
            Self::KeepLast(depth) => {
                (depth.min(Self::MAX_DEPTH) * 4).next_power_of_two().clamp(Self::MIN_CAPACITY, Self::MAX_CAPACITY)
            }
            Self::KeepAll => Self::MIN_CAPACITY,
        }
    }

    /// Number of messages kept in a ring of `capacity`: at most a quarter of it, half of it for keep-all.
    pub fn depth_in(self, capacity: usize) -> usize {
        match self {
            Self::KeepLast(depth) => depth.clamp(1, capacity / 4),
            Self::KeepAll => capacity / 2,
        }
    }
}

/// What a topic's ring is known by: the same name, type and type hash meet in the same ring, others never.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct TopicKey {
    /// Name of the topic, at most [`layout::MAX_NAME`] bytes.
    pub name: String,
    /// Name of the message type, at most [`layout::MAX_NAME`] bytes.
    pub type_name: String,
    /// Hash over the structure of the type.
    pub type_hash: u128,
}

/// What a subscription sees of a publisher when it decides whether to listen to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublisherInfo {
    /// Its gid.
    pub gid: crate::ids::Gid,
    /// The word it was created with.
    pub traits: u64,
    /// The participant it belongs to; `None` where it has left.
    pub owner: Option<crate::ids::Identity>,
}

/// What a publication was numbered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// Position in the ring.
    pub sequence: crate::ids::Sequence,
    /// Number among the publisher's own.
    pub number: crate::ids::PublicationNumber,
}
