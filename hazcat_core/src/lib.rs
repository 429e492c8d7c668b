//! Zero-copy publish/subscribe on one host.

pub mod doorbell;
pub mod history;
pub mod ids;
pub mod ring;
pub mod sync;

#[cfg(not(loom))]
mod checksum;
#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
pub mod directory;
#[cfg(not(loom))]
pub mod domain;
#[cfg(not(loom))]
pub mod graph;
#[cfg(not(loom))]
pub mod lease;
#[cfg(not(loom))]
pub mod log;
#[cfg(not(loom))]
pub mod news;
#[cfg(not(loom))]
pub mod participant;
#[cfg(not(loom))]
pub mod payload;
#[cfg(not(loom))]
pub mod queue;
#[cfg(not(loom))]
pub mod sys;
#[cfg(all(test, not(loom)))]
mod test_root;
#[cfg(not(loom))]
pub mod wait;

#[cfg(not(loom))]
pub use config::Config;
#[cfg(not(loom))]
pub use ids::{Gid, Identity, PublicationNumber, Sequence};
#[cfg(not(loom))]
pub use participant::Participant;
#[cfg(not(loom))]
pub use payload::chunk::MessageMeta;
#[cfg(not(loom))]
pub use queue::publisher::{LoanError, PublishError, Publisher, PublisherOptions};
#[cfg(not(loom))]
pub use queue::subscription::{LostCount, NotHeld, Subscription, SubscriptionOptions, TakeError};
#[cfg(not(loom))]
pub use queue::topic::CreateError;
#[cfg(not(loom))]
pub use queue::{
    HeldIndex, History, Loan, Published, PublisherInfo, RawLoan, RawSample, Sample, SampleInfo, TopicKey,
};
#[cfg(not(loom))]
pub use wait::{GuardCondition, WaitOutcome, WaitSet, Waitable};
