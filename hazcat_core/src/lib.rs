//! Zero-copy publish/subscribe between the processes of one host.
//!
//! A topic is a ring in shared memory that all its publishers append to and all its subscriptions read. A message is
//! written once, into memory that only its publisher can write to, and read where it lies. There is no daemon and nothing
//! to configure; a process that is killed at any instruction costs the others nothing but its own messages.
//!
//! # Example
//!
//! ```
//! use hazcat_core::{Config, MessageMeta, Participant, Publisher, PublisherOptions};
//! use hazcat_core::{Subscription, SubscriptionOptions, TopicKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = std::path::PathBuf::from(format!("/dev/shm/hazcat-doc-{}", std::process::id()));
//! # std::fs::create_dir(&root)?;
//! // One participant per process. (`Config::default()` shares everything below /dev/shm with the user's other processes.)
//! let participant = Participant::join(&Config { root: root.clone(), ..Config::default() })?;
//! let topic = TopicKey { name: "distance".into(), type_name: "f64".into(), type_hash: 0 };
//!
//! let subscription = Subscription::new(&participant, &topic, SubscriptionOptions::default())?;
//! let publisher = Publisher::new(&participant, &topic, PublisherOptions::default())?;
//!
//! let mut loan = publisher.loan(8)?;
//! loan.copy_from_slice(&1.5f64.to_le_bytes());
//! publisher.publish(loan, &MessageMeta::default())?;
//!
//! let sample = subscription.take()?.expect("it was just published");
//! assert_eq!(*sample, 1.5f64.to_le_bytes());
//! assert_eq!(sample.info().number.0, 1);
//! # drop(sample);
//! # drop((publisher, subscription));
//! # participant.leave();
//! # std::fs::remove_dir(&root)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to go from here
//!
//! | to | see |
//! |---|---|
//! | publish and take | [`queue`], [`Publisher`], [`Subscription`] |
//! | sleep until something arrives | [`wait`], [`WaitSet`] |
//! | know who is there | [`graph`], [`Participant`] |
//! | understand the protocol | [`ring`], [`ring::held`], [`history`], [`doorbell`], and `docs/architecture.md` |
//! | allocate elsewhere | [`domain`] |
//! | see what lies in shared memory, and remove what nobody holds | [`inspect`] |
//!
//! # Limits
//!
//! | what | most | constant |
//! |---|---|---|
//! | subscriptions of a topic | 512 | [`queue::MAX_SUBSCRIPTIONS`] |
//! | publishers of a topic | 1,024 | [`ring::word::MAX_PUBLISHERS`] |
//! | messages a subscription holds at a time | 25 | [`queue::MAX_HELD`] |
//! | depth | 16,384, and a quarter of the ring (1,024 unless the topic's first endpoint asked for more) | [`History::MAX_DEPTH`] |
//! | bytes of one publisher's messages | 1 GiB unless set otherwise | [`PublisherOptions::DEFAULT_BUDGET`] |
//! | topic and type names | 900 bytes each | [`queue::layout::MAX_NAME`] |

#[macro_use]
pub mod fault;

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
#[doc(hidden)]
pub mod fuzz;
#[cfg(not(loom))]
pub mod graph;
#[cfg(not(loom))]
pub mod inspect;
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
pub use queue::signs::Signs;
#[cfg(not(loom))]
pub use queue::subscription::{
    FilterFn, LostCount, NotHeld, ReturnError, Subscription, SubscriptionOptions, TakeError,
};
#[cfg(not(loom))]
pub use queue::topic::CreateError;
#[cfg(not(loom))]
pub use queue::{
    HeldIndex, History, Loan, Passage, Published, PublisherCounters, PublisherInfo, RawLoan, RawSample, Sample,
    SampleInfo, SubscriptionCounters, TopicKey,
};
#[cfg(not(loom))]
pub use wait::{GuardCondition, WaitOutcome, WaitSet, Waitable};
