//! What lies in shared memory, who holds it, since when; and removing what nobody holds.
//!
//! For whoever looks from outside, without joining: [`look`] changes nothing, takes no lock that could keep others waiting, and
//! maps nothing that another process could cut short. What it says was true a moment ago. [`clean`] removes what the next to join,
//! or the next sweep of a survivor, would remove: never anything of a participant that is alive, of a topic that a process has
//! open, or of a directory that somebody is joining.
//!
//! ```no_run
//! use hazcat_core::{directory::Directory, inspect};
//!
//! for directory in Directory::all_in("/dev/shm".as_ref())? {
//!     let report = inspect::look(&directory)?;
//!     println!("{}: {} participants", report.path.display(), report.participants.len());
//!     inspect::clean(&directory)?;
//! }
//! # Ok::<(), hazcat_core::sys::shm_file::FileError>(())
//! ```

mod clean;
mod holders;
mod look;

pub use clean::{clean, Cleaned, Verdict};
pub(crate) use holders::Holders;
pub use look::look;
pub(crate) use look::look_among;

use crate::domain::DomainId;
use crate::graph::ParticipantGraph;
use crate::ids::{Gid, Identity, SegmentId};
use crate::queue::{PublisherCounters, SubscriptionCounters};
use std::path::PathBuf;
use std::time::SystemTime;

/// One directory: one user's (or group's) share of one ROS domain.
#[derive(Debug, Clone)]
pub struct Report {
    /// The directory.
    pub path: PathBuf,
    /// ROS domain id.
    pub domain_id: Option<u32>,
    /// User id of its owner.
    pub owner: u32,
    /// The group that shares it; `None` where it is one user's.
    pub group: Option<u32>,
    /// Its mode bits.
    pub mode: u32,
    /// When it was made, or last changed where the file system does not know.
    pub since: Option<SystemTime>,
    /// Why nobody can be alive in it, or nobody could be looked for: the lease is missing, or is none.
    pub lease_problem: Option<String>,
    /// Those who are alive or have left files, ordered by identity.
    pub participants: Vec<ParticipantReport>,
    /// The topics, by name of the file.
    pub topics: Vec<TopicReport>,
    /// The payload segments, by name of the file.
    pub segments: Vec<SegmentReport>,
    /// Files that are none of this library's.
    pub foreign: Vec<FileReport>,
    /// Bytes of memory that all of it takes.
    pub bytes: u64,
}

/// A participant: a context of a process.
#[derive(Debug, Clone)]
pub struct ParticipantReport {
    /// Who.
    pub identity: Identity,
    /// Whether it holds its lease. `None` where that cannot be told.
    pub alive: Option<bool>,
    /// Ids, in the PID namespace of the caller, of the processes that hold the lease's lock: as a rule one, and none where
    /// `/proc` does not show it (another user's, another container's).
    pub processes: Vec<Process>,
    /// When its files were made.
    pub since: Option<SystemTime>,
    /// User id of the owner of its files.
    pub user: Option<u32>,
    /// What it has told about itself.
    pub graph: Option<ParticipantGraph>,
    /// Why that could not be read.
    pub problem: Option<String>,
    /// Bytes of memory of its files, messages not counted.
    pub bytes: u64,
}

/// A process that holds something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// Its short name.
    pub name: String,
}

/// A topic file.
#[derive(Debug, Clone)]
pub struct TopicReport {
    /// The file.
    pub file: FileReport,
    /// Whether a process has it open.
    pub open: bool,
    /// Which, as far as `/proc` shows it.
    pub processes: Vec<Process>,
    /// Why its content could not be read; the fields that follow are empty then.
    pub problem: Option<String>,
    /// Name of the topic.
    pub name: String,
    /// Name of its type.
    pub type_name: String,
    /// Messages that the ring has room for.
    pub capacity: usize,
    /// Messages published since the file was made.
    pub published: u64,
    /// The memory domains that its endpoints were given, the host among them, and what was copied into each.
    pub domains: Vec<DomainReport>,
    /// Its publishers.
    pub publishers: Vec<EndpointReport>,
    /// Its subscriptions.
    pub subscriptions: Vec<EndpointReport>,
    /// The memory in which subscriptions make copies of messages from other domains.
    pub copiers: Vec<EndpointReport>,
}

/// A memory domain of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DomainReport {
    /// Which.
    pub domain: DomainId,
    /// Copies that subscriptions made into it since the topic's file was made, those that are gone included.
    pub copies: u64,
    /// Bytes of these copies.
    pub bytes: u64,
}

/// What an endpoint has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointCounters {
    /// A publisher.
    Publisher(PublisherCounters),
    /// A copier: its copies are counted by its subscription.
    Copier,
    /// A subscription.
    Subscription(SubscriptionCounters),
}

/// A publisher or a subscription.
#[derive(Debug, Clone)]
pub struct EndpointReport {
    /// Its participant; `None` for a publisher that has left while messages of it remain.
    pub owner: Option<Identity>,
    /// Whether that participant is alive. `None` where that cannot be told.
    pub alive: Option<bool>,
    /// Its gid.
    pub gid: Gid,
    /// Number of its memory domain on this topic: 0 is the host.
    pub domain: u32,
    /// That memory domain; `None` where the topic names none of this number.
    pub memory: Option<DomainId>,
    /// What it has counted.
    pub counters: EndpointCounters,
    /// Messages: published by a publisher, waiting for a subscription.
    pub messages: u64,
    /// Messages dropped for want of memory (publisher), held right now (subscription).
    pub dropped_or_held: u64,
}

/// A payload segment.
#[derive(Debug, Clone)]
pub struct SegmentReport {
    /// The file.
    pub file: FileReport,
    /// Its id.
    pub id: SegmentId,
    /// Name of its topic's file.
    pub topic: String,
    /// The participant that made it.
    pub owner: Option<Identity>,
    /// Why it is there.
    pub state: SegmentState,
}

/// Why a segment is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    /// Its publisher's participant is alive.
    InUse,
    /// Its publisher is gone, but the topic is open and names it: unread messages may lie in it.
    Unread,
    /// Nobody needs it.
    Leftover,
}

/// A file.
#[derive(Debug, Clone)]
pub struct FileReport {
    /// Where.
    pub path: PathBuf,
    /// Bytes of memory it takes.
    pub bytes: u64,
    /// User id of its owner.
    pub user: u32,
    /// When it was made.
    pub since: Option<SystemTime>,
}

impl Report {
    /// Whether somebody is alive in it, or might be.
    pub fn is_inhabited(&self) -> bool {
        self.participants.iter().any(|participant| participant.alive != Some(false))
    }

    /// Everything in it that nobody holds: what [`clean`] would remove.
    pub fn leftovers(&self) -> Vec<&FileReport> {
        let segments = self.segments.iter().filter(|segment| segment.state == SegmentState::Leftover);
        let topics = self.topics.iter().filter(|topic| !topic.open);
        segments.map(|segment| &segment.file).chain(topics.map(|topic| &topic.file)).collect()
    }
}
